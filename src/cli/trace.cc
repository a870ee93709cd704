#include "cli/trace.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>
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
  job.constraint.gpu_model = row.text("gpu_spec");  // "V100M16|V100M32"; mostly empty
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
  job.tenant = row.text("vc");
  return job;
}

// By submission, the first at 0.
void put_in_order(std::vector<TraceJob>& jobs) {
  std::sort(jobs.begin(), jobs.end(), [](const auto& a, const auto& b) {
    return std::pair(a.submit_s, a.line) < std::pair(b.submit_s, b.line);
  });
  if (jobs.empty()) return;
  const double first = jobs.front().submit_s;
  for (auto& job : jobs) job.submit_s -= first;
}

// --- Standard Workload Format: 18 numbers a line, -1 where unknown, comments behind ';' ---------

enum SwfField { kSubmit = 1, kRunTime = 3, kProcessors = 4, kAskedProcessors = 7, kAskedTime = 8 };

Result<std::vector<TraceJob>> read_swf(const std::string& file) {
  std::ifstream in(file);
  if (!in) return fail(Code::invalid_argument, "bad_trace", fmt::format("Cannot read {}.", file));
  std::vector<TraceJob> jobs;
  std::string text;
  for (std::size_t line = 1; std::getline(in, text); ++line) {
    const auto begin = text.find_first_not_of(" \t\r");
    if (begin == std::string::npos || text[begin] == ';') continue;
    std::istringstream cells(text);
    std::array<double, 18> field{};
    for (double& value : field) {
      if (!(cells >> value)) return bad(file, line, "a job of this format has 18 numbers");
    }
    const double processors =
        field[kAskedProcessors] > 0 ? field[kAskedProcessors] : field[kProcessors];
    if (field[kRunTime] < 0 || processors <= 0) continue;  // cancelled before it ran
    TraceJob job;
    job.name = fmt::format("swf-{:.0f}", field[0]);
    job.demand.cpu_milli = std::llround(processors) * 1000;
    job.submit_s = std::max(0.0, field[kSubmit]);
    job.duration_s = std::max(1.0, field[kRunTime]);
    if (field[kAskedTime] > 0) job.limit_s = field[kAskedTime];
    job.line = jobs.size();
    jobs.push_back(std::move(job));
  }
  put_in_order(jobs);
  return jobs;
}

// "; MaxProcs: 128" in its head.
Result<std::vector<Node>> swf_machine(const std::string& file) {
  std::ifstream in(file);
  std::string text;
  while (std::getline(in, text) && text.starts_with(';')) {
    const auto at = text.find("MaxProcs:");
    if (at == std::string::npos) continue;
    const long processors = std::strtol(text.c_str() + at + 9, nullptr, 10);
    if (processors > 0) return std::vector<Node>{{"all", {processors * 1000, 0, 0}, ""}};
  }
  return fail(Code::invalid_argument, "bad_trace",
              fmt::format("{} does not say MaxProcs in its head: say --nodes FILE.", file));
}

// As many nodes, in the order of the list, as have `gpus` devices together; 0: all of them.
std::vector<Node> first_gpus(std::vector<Node> nodes, std::int64_t gpus) {
  if (gpus == 0) return nodes;
  std::vector<Node> out;
  for (auto& node : nodes) {
    if (gpus <= 0) break;
    if (node.devices() == 0 || node.devices() > gpus) continue;
    gpus -= node.devices();
    out.push_back(std::move(node));
  }
  return out;
}

// A trace without a node list: machines of eight devices.
std::vector<Node> eights(std::int64_t gpus) {
  std::vector<Node> out;
  for (std::int64_t left = gpus; left > 0; left -= 8) {
    const auto devices = std::min<std::int64_t>(8, left);
    out.push_back({fmt::format("node-{:03}", out.size()),
                   {96'000, std::int64_t{768} << 30, devices * kGpuDevice},
                   ""});
  }
  return out;
}

}  // namespace

Result<std::vector<TraceJob>> read_trace(const std::string& file) {
  if (file.ends_with(".swf")) return read_swf(file);
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
  put_in_order(jobs);
  return jobs;
}

Result<std::vector<TraceJob>> read_traces(const std::vector<std::string>& files) {
  std::vector<TraceJob> all;
  for (const std::string& file : files) {
    auto jobs = read_trace(file);
    if (!jobs || files.size() == 1) return jobs;
    const std::string name = std::filesystem::path(file).stem().string();
    for (TraceJob& job : *jobs) {
      job.tenant = job.tenant.empty() ? name : fmt::format("{}/{}", name, job.tenant);
      job.line = all.size();
      all.push_back(std::move(job));
    }
  }
  put_in_order(all);
  return all;
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

Result<std::vector<Node>> nodes_for_trace(const std::string& trace, const std::string& nodes,
                                          std::int64_t gpus) {
  std::string file = nodes;
  const std::filesystem::path path(trace);
  if (file.empty() && path.filename().string().starts_with("openb")) {
    const auto beside = path.parent_path() / "openb_nodes.csv";
    if (std::filesystem::exists(beside)) file = beside.string();
  }
  if (file.empty() && trace.ends_with(".swf")) return swf_machine(trace);
  if (file.empty()) {
    if (gpus > 0) return eights(gpus);
    return fail(Code::invalid_argument, "no_nodes",
                "This trace comes without a node list: say --nodes FILE, or --gpus N for machines "
                "of eight.");
  }
  auto list = read_nodes(file);
  if (!list) return list;
  auto out = first_gpus(std::move(*list), gpus);
  if (out.empty()) {
    return fail(Code::invalid_argument, "no_nodes",
                fmt::format("{} has no nodes that together have {} GPUs.", file, gpus));
  }
  return out;
}

}  // namespace berth::cli
