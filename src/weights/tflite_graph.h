// TFLite networks as graphs of our own layers: float operators, one input, constants in single or half precision.
#ifndef MFS_WEIGHTS_TFLITE_GRAPH_H_
#define MFS_WEIGHTS_TFLITE_GRAPH_H_

#include <string>

#include "base/status.h"
#include "nn/graph.h"

namespace mfs {

// bytes: a .tflite file; its batch is taken as one. Nothing of the file is trusted: every offset is checked.
// Errors: kCorruptData (no TFLite file, cut, offsets or shapes that do not fit), kUnsupported (an operator that our networks do not have).
StatusOr<Graph> GraphFromTflite(const std::string& bytes);

}  // namespace mfs

#endif  // MFS_WEIGHTS_TFLITE_GRAPH_H_
