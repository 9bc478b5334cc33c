// The IDN on OpenCV's DNN module (Debian's libopencv-dnn-dev), from the same ONNX file as ONNX Runtime.
#include <opencv2/dnn.hpp>

#include "idn/idn_onnx.h"
#include "nets.h"

namespace mfs::bench {

Status AddIdnOpencv(std::shared_ptr<const IdnCase> c, Race* race) {
  struct Net {
    cv::dnn::Net net;
    std::vector<std::string> outputs;
    std::vector<float> image;
  };
  try {
    const auto bytes = IdnToOnnx(c->weights, kIdnSize, true);
    for (int threads : {1, 2}) {
      auto n = std::make_shared<Net>();
      n->net = cv::dnn::readNetFromONNX(reinterpret_cast<const char*>(bytes.data()), bytes.size());
      n->net.setPreferableBackend(cv::dnn::DNN_BACKEND_OPENCV);
      n->outputs = n->net.getUnconnectedOutLayersNames();
      const auto run = [=]() -> Status {
        cv::setNumThreads(threads);
        const int shape[4] = {1, 3, kIdnSize, kIdnSize};
        n->net.setInput(cv::Mat(4, shape, CV_32F, const_cast<float*>(c->target.data())));
        std::vector<cv::Mat> results;
        n->net.forward(results, n->outputs);
        for (const cv::Mat& m : results) {
          if (m.total() == c->target.size()) n->image.assign(m.ptr<float>(), m.ptr<float>() + m.total());
        }
        return Status::Ok();
      };
      race->Add({"idn224", "opencv", "-", threads, kIdnMmac, run, [=] { return &n->image; }});
    }
  } catch (const cv::Exception& e) {
    return Internal(std::string("OpenCV: ") + e.what());
  }
  return Status::Ok();
}

}  // namespace mfs::bench
