// The page of a training run: curves of log.csv and the latest sample sheets, refreshed while it runs.
#ifndef MFS_TRAIN_REPORT_H_
#define MFS_TRAIN_REPORT_H_

#include <string>

#include "base/status.h"

namespace mfs::train {

// Writes FOLDER/report.html from FOLDER/log.csv and FOLDER/samples-*.jpg. Needs no server and no network to be looked at.
// caption: what the sheets show, from left to right.
Status WriteReport(const std::string& folder, const std::string& caption);

}  // namespace mfs::train

#endif  // MFS_TRAIN_REPORT_H_
