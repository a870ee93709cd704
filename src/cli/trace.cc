#include "cli/trace.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <fstream>
#include <map>
#include <string_view>

namespace berth::cli {
namespace {

constexpr std::int64_t kMiB = std::int64_t{1} << 20;

std::unexpected<Error> bad(const std::string& file, std::size_t line, std::string_view why) {
  return fail(Code::invalid_argument, "bad_trace", fmt::format("{}:{}: {}", file, line, why));
}

// A CSV file without quotes, by column name. All known traces are of this kind.
class Columns {
 public:
  static Result<Columns> open(const std::string& file) {
    Columns out;
    out.file_ = file;
    out.in_.open(file);
    std::string head;
    if (!out.in_ || !std::getline(out.in_, head)) {
      return fail(Code::invalid_argument, "bad_trace", fmt::format("Cannot read {}.", file));
    }
    const auto names = split(head);
    for (std::size_t i = 0; i < names.size(); ++i) out.index_.emplace(std::string(names[i]), i);
    return out;
  }
  [[nodiscard]] bool has(std::string_view name) const { return index_.contains(name); }
  bool next() {
    while (std::getline(in_, text_)) {
      ++line_;
      if (text_.empty() || text_ == "\r") continue;
      cells_ = split(text_);
      return true;
    }
    return false;
  }
  [[nodiscard]] std::string_view text(std::string_view name) const {
    const auto found = index_.find(name);
    return found == index_.end() || found->second >= cells_.size() ? std::string_view()
                                                                   : cells_[found->second];
  }
  [[nodiscard]] Result<std::int64_t> number(std::string_view name) const {
    const auto cell = text(name);
    std::int64_t value = 0;
    const auto [end, ec] = std::from_chars(cell.data(), cell.data() + cell.size(), value);
    if (ec != std::errc{} || end != cell.data() + cell.size() || value < 0) {
      return bad(file_, line_, fmt::format("column '{}' is no whole number: '{}'", name, cell));
    }
    return value;
  }
  // Several at once; the first that is wrong is named.
  template <std::size_t N>
  [[nodiscard]] Result<std::array<std::int64_t, N>> numbers(
      const std::array<std::string_view, N>& names) const {
    std::array<std::int64_t, N> out{};
    for (std::size_t i = 0; i < N; ++i) {
      auto value = number(names[i]);
      if (!value) return std::unexpected(std::move(value.error()));
      out[i] = *value;
    }
    return out;
  }

 private:
  static std::vector<std::string_view> split(std::string_view line) {
    if (line.ends_with('\r')) line.remove_suffix(1);
    std::vector<std::string_view> out;
    for (;;) {
      const auto comma = std::min(line.find(','), line.size());
      out.push_back(line.substr(0, comma));
      if (comma == line.size()) return out;
      line.remove_prefix(comma + 1);
    }
  }

  std::string file_;
  std::ifstream in_;
  std::map<std::string, std::size_t, std::less<>> index_;
  std::string text_;
  std::vector<std::string_view> cells_;  // into text_
  std::size_t line_ = 1;
};

// Several devices are whole ones; one device may be shared.
std::int64_t gpu_of(std::int64_t devices, std::int64_t milli) {
  return devices == 1 ? milli : devices * kGpuDevice;
}

Result<TraceJob> openb_job(const Columns& row) {
  const auto n = row.numbers<6>(
      {"cpu_milli", "memory_mib", "num_gpu", "gpu_milli", "creation_time", "deletion_time"});
  if (!n) return std::unexpected(n.error());
  const auto [cpu, memory, gpus, share, created, deleted] = *n;
  TraceJob job;
  job.name = row.text("name");
  job.demand = {cpu, memory * kMiB, gpu_of(gpus, share)};
  // Latency-sensitive and guaranteed pods are the urgent ones; best effort is not.
  job.priority = row.text("qos") == "BE" ? Priority::low : Priority::high;
  const auto started =
      row.text("scheduled_time").empty() ? created : row.number("scheduled_time").value_or(created);
  job.submit_s = static_cast<double>(created);
  job.duration_s = static_cast<double>(std::max<std::int64_t>(1, deleted - started));
  return job;
}

Result<TraceJob> philly_job(const Columns& row) {
  const auto n = row.numbers<4>({"num_gpu", "submit_time", "duration", "priority"});
  if (!n) return std::unexpected(n.error());
  const auto [gpus, submitted, lasts, priority] = *n;
  TraceJob job;
  job.name = fmt::format("philly-{}", row.text("job_id"));
  job.demand = {0, 0, gpus * kGpuDevice};  // the trace knows neither CPU nor memory
  job.priority = priority > 0 ? Priority::high : Priority::low;
  job.submit_s = static_cast<double>(submitted) / 1000.0;
  job.duration_s = std::max(1.0, static_cast<double>(lasts) / 1000.0);
  return job;
}

}  // namespace

Result<std::vector<TraceJob>> read_trace(const std::string& file) {
  auto rows = Columns::open(file);
  if (!rows) return std::unexpected(std::move(rows.error()));
  const bool openb = rows->has("cpu_milli") && rows->has("creation_time") && rows->has("num_gpu");
  const bool philly = rows->has("submit_time") && rows->has("duration") && rows->has("num_gpu");
  if (!openb && !philly) {
    return bad(file, 1,
               "this is no trace that Berth knows: its header has the columns of neither openb "
               "(cpu_milli, memory_mib, "
               "num_gpu, gpu_milli, creation_time, deletion_time) nor Philly (num_gpu, "
               "submit_time, duration, priority)");
  }
  std::vector<TraceJob> jobs;
  while (rows->next()) {
    auto job = openb ? openb_job(*rows) : philly_job(*rows);
    if (!job) return std::unexpected(std::move(job.error()));
    job->line = jobs.size();
    jobs.push_back(std::move(*job));
  }
  std::sort(jobs.begin(), jobs.end(), [](const auto& a, const auto& b) {
    return std::pair(a.submit_s, a.line) < std::pair(b.submit_s, b.line);
  });
  if (!jobs.empty()) {
    const double first = jobs.front().submit_s;
    for (auto& job : jobs) job.submit_s -= first;
  }
  return jobs;
}

Result<std::vector<Node>> read_nodes(const std::string& file) {
  auto rows = Columns::open(file);
  if (!rows) return std::unexpected(std::move(rows.error()));
  if (!rows->has("sn") || !rows->has("cpu_milli") || !rows->has("gpu")) {
    return bad(file, 1,
               "this is no node list that Berth knows: its header lacks sn, cpu_milli, memory_mib, "
               "gpu, model");
  }
  std::vector<Node> nodes;
  while (rows->next()) {
    const auto n = rows->numbers<3>({"cpu_milli", "memory_mib", "gpu"});
    if (!n) return std::unexpected(n.error());
    const auto [cpu, memory, gpus] = *n;
    nodes.push_back({std::string(rows->text("sn")),
                     {cpu, memory * kMiB, gpus * kGpuDevice},
                     std::string(rows->text("model"))});
  }
  return nodes;
}

}  // namespace berth::cli
