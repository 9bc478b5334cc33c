// The page of a training run: curves of log.csv and the latest sample sheets, refreshed while it runs.
#ifndef MFS_TRAIN_REPORT_H_
#define MFS_TRAIN_REPORT_H_

#include <string>

#include "base/status.h"

namespace mfs::train {

// Writes FOLDER/report.html from FOLDER/log.csv and FOLDER/samples-*.jpg. Needs no server and no network to be looked at.
Status WriteReport(const std::string& folder);

}  // namespace mfs::train

#endif  // MFS_TRAIN_REPORT_H_
