// What a graph computes, in plain loops with double sums: the oracle of the kernels and the plan.
#ifndef MFS_NN_GRAPH_REFERENCE_H_
#define MFS_NN_GRAPH_REFERENCE_H_

#include <vector>

#include "nn/graph.h"

namespace mfs {

// input: the input layer's shape, channels innermost. One vector per output, likewise.
std::vector<std::vector<float>> RunReference(const Graph& graph, const float* input);

}  // namespace mfs

#endif  // MFS_NN_GRAPH_REFERENCE_H_
