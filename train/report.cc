#include "report.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <sstream>
#include <vector>

#include "base/file.h"

namespace mfs::train {
namespace {

constexpr size_t kPoints = 500;  // of a curve
constexpr size_t kSheets = 6;

constexpr char kHead[] = R"(<!doctype html><meta charset="utf-8"><meta http-equiv="refresh" content="30"><title>mfs-train</title>
<style>body{font:14px sans-serif;margin:1em;background:#fafafa}figure{display:inline-block;margin:.5em;background:#fff;border:1px solid #ddd;padding:.5em}
figcaption{font-weight:bold}img{max-width:100%}</style><h1>mfs-train</h1><div id="curves"></div>)";
// One curve for each column of the log but the first.
constexpr char kScript[] = R"(<script>
for (let c = 1; c < log.names.length; ++c) {
  const v = log.rows.map(r => r[c]), x = log.rows.map(r => r[0]), w = 320, h = 140;
  const lo = Math.min(...v), hi = Math.max(...v), x0 = x[0], x1 = x[x.length - 1];
  const points = v.map((y, i) => `${((x[i] - x0) / (x1 - x0 || 1) * w).toFixed(1)},${(h - (y - lo) / (hi - lo || 1) * h).toFixed(1)}`).join(' ');
  document.getElementById('curves').insertAdjacentHTML('beforeend', `<figure><figcaption>${log.names[c]}: ${v[v.length - 1]}</figcaption>` +
    `<svg width="${w}" height="${h}" viewBox="-2 -2 ${w + 4} ${h + 4}"><polyline fill="none" stroke="#06c" stroke-width="1.5" points="${points}"/></svg>` +
    `<div>steps ${x0} to ${x1}, ${lo} to ${hi}</div></figure>`);
}
</script>
)";

}  // namespace

Status WriteReport(const std::string& folder, const std::string& caption) {
  MFS_ASSIGN_OR_RETURN(const std::string csv, ReadFile(folder + "/log.csv"));
  std::istringstream lines(csv);
  std::string line;
  nlohmann::json log{{"names", nlohmann::json::array()}, {"rows", nlohmann::json::array()}};
  std::vector<nlohmann::json> rows;
  while (std::getline(lines, line)) {
    std::istringstream cells(line);
    nlohmann::json row = nlohmann::json::array();
    for (std::string cell; std::getline(cells, cell, ',');) {
      if (log["names"].empty()) {
        row.push_back(cell);
      } else {
        row.push_back(std::strtod(cell.c_str(), nullptr));
      }
    }
    if (log["names"].empty()) {
      log["names"] = row;
    } else {
      rows.push_back(std::move(row));
    }
  }
  const size_t stride = rows.size() / kPoints + 1;
  for (size_t i = 0; i < rows.size(); i += stride) log["rows"].push_back(rows[i]);
  std::vector<std::string> sheets;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(folder, error)) {
    const std::string name = entry.path().filename().string();
    if (name.rfind("samples-", 0) == 0) sheets.push_back(name);
  }
  std::sort(sheets.rbegin(), sheets.rend());
  if (sheets.size() > kSheets) sheets.resize(kSheets);
  std::string page = kHead + ("<h2>Samples: " + caption + "</h2>\n");
  for (const std::string& name : sheets) page += "<h3>" + name + "</h3><img src=\"" + name + "\" alt=\"\">\n";
  page += "<script>const log = " + log.dump() + ";</script>\n" + kScript;
  return WriteFileAtomically(folder + "/report.html", page.data(), page.size());
}

}  // namespace mfs::train
