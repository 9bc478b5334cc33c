#ifndef MFS_IDN_IDN_REFERENCE_H_
#define MFS_IDN_IDN_REFERENCE_H_

#include <memory>

#include "idn/idn.h"

namespace mfs {

// The network written down as the paper draws it, one scalar loop per operator, double sums: the oracle of every kernel.
std::unique_ptr<Idn> CreateIdnReference(const IdnWeights& weights, int size);

}  // namespace mfs

#endif  // MFS_IDN_IDN_REFERENCE_H_
