// ONNX networks as graphs of our own layers. One float input, batch 1; the operators that our networks have.
#ifndef MFS_WEIGHTS_ONNX_GRAPH_H_
#define MFS_WEIGHTS_ONNX_GRAPH_H_

#include <string>
#include <vector>

#include "base/status.h"
#include "nn/graph.h"

namespace mfs {

// bytes: an .onnx file. outputs: tensors by name, inner ones too; empty: the graph's own. Nodes that no output needs are not looked at,
// so a network can be cut where its own post-processing begins. Maps come out channel-last whatever the file's order is.
// Errors: kCorruptData (cut or damaged, shapes that do not fit), kUnsupported (an operator that our networks do not have).
StatusOr<Graph> GraphFromOnnx(const std::string& bytes, const std::vector<std::string>& outputs = {});

// The other way, for running a graph of any origin in ONNX Runtime (oracle, benchmarks): input "input" and outputs "output0", ... in
// NCHW order, operator set 13. Errors: kUnsupported (group norm, doubling).
StatusOr<std::string> GraphToOnnx(const Graph& graph);

}  // namespace mfs

#endif  // MFS_WEIGHTS_ONNX_GRAPH_H_
