#include "cli/simulation_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "scheduler/node_table.h"

namespace berth::cli {
namespace {

double seconds(SimulatedTime t) { return static_cast<double>(t) / 1000.0; }

WaitSummary summary(std::vector<double> waits) {
  WaitSummary out;
  out.jobs = waits.size();
  if (waits.empty()) return out;
  std::ranges::sort(waits);
  double sum = 0;
  for (const double w : waits) sum += w;
  const auto quantile = [&](double q) {
    const auto rank = static_cast<std::size_t>(std::ceil(q * static_cast<double>(waits.size())));
    return waits[std::clamp<std::size_t>(rank, 1, waits.size()) - 1];
  };
  out.mean_s = sum / static_cast<double>(waits.size());
  out.p50_s = quantile(0.5);
  out.p99_s = quantile(0.99);
  out.longest_s = waits.back();
  return out;
}

// Adds `amount` x time to the slices that [from, to) touches.
void spread(std::vector<double>& slices, SimulatedTime span, SimulatedTime from, SimulatedTime to,
            double amount) {
  const double width = static_cast<double>(span) / static_cast<double>(slices.size());
  const auto last = slices.size() - 1;
  const auto slice = [&](SimulatedTime t) {
    return std::min(static_cast<std::size_t>(static_cast<double>(t) / width), last);
  };
  for (std::size_t i = slice(from); i <= slice(to); ++i) {
    const double begin = std::max(static_cast<double>(from), width * static_cast<double>(i));
    const double end = std::min(static_cast<double>(to), width * static_cast<double>(i + 1));
    if (end > begin) slices[i] += amount * (end - begin) / width;
  }
}

double share(double used, std::int64_t capacity) {
  return capacity == 0 ? 0 : used / static_cast<double>(capacity);
}

struct Totals {
  std::map<Priority, std::vector<double>> by_priority;
  std::map<std::string, std::vector<double>> by_size;
  std::map<std::uint32_t, std::vector<double>> by_tenant;
  double cpu = 0, memory = 0, gpu = 0;  // amounts x milliseconds
  double slowdown = 0;
};

void count(const SimulatedJob& job, const SimulatedOutcome& outcome, Totals& totals) {
  const double wait = seconds(outcome.start - job.submit);
  const double run = seconds(job.duration);
  totals.by_priority[job.priority].push_back(wait);
  const Resources demand = repeated(job.demand, job.replicas);
  totals.by_size[size_class(demand)].push_back(wait);
  totals.by_tenant[job.tenant].push_back(wait);
  const auto held = static_cast<double>(job.duration);
  totals.cpu += held * static_cast<double>(demand.cpu_milli);
  totals.memory += held * static_cast<double>(demand.memory_bytes);
  totals.gpu += held * static_cast<double>(demand.gpu_milli);
  totals.slowdown += std::max(1.0, (wait + run) / std::max(run, 10.0));
}

void add_fragmentation(const SimulationResult& result, SimulatedTime span,
                       const Resources& capacity, SimulationReport& out) {
  const auto& points = result.fragmentation;
  if (points.empty()) return;
  double sum = 0;
  for (std::size_t i = 0; i < points.size(); ++i) {
    const SimulatedTime until = i + 1 < points.size() ? points[i + 1].when : span;
    const double part = share(points[i].unusable, capacity.gpu_milli);
    sum += part * static_cast<double>(until - points[i].when) / static_cast<double>(span);
    if (until > points[i].when) spread(out.curve.unusable, span, points[i].when, until, part);
  }
  out.fragmentation = sum;
}

double median(std::vector<double> values) { return summary(std::move(values)).p50_s; }

std::map<std::string, ForecastSummary> summaries(std::span<const SimulatedForecast> forecasts) {
  struct Lists {
    std::vector<double> waits, widths, relative;
  };
  std::map<std::string, ForecastSummary> out;
  std::map<std::string, Lists> lists;
  for (const SimulatedForecast& one : forecasts) {
    const StartForecast& told = one.forecast;
    const std::string name = fmt::format("{} {}", to_text(told.method), to_text(told.priority));
    ForecastSummary& s = out[name];
    ++s.cases;
    const double wait = seconds(one.start - one.asked);
    lists[name].waits.push_back(wait);
    if (!told.latest) continue;
    const bool late = one.start > *told.latest;
    s.before += one.start < told.earliest ? 1 : 0;
    s.after += late ? 1 : 0;
    s.inside += one.start >= told.earliest && !late ? 1 : 0;
    s.guaranteed += told.never_later ? 1 : 0;
    s.guarantees_broken += told.never_later && one.start > *told.never_later ? 1 : 0;
    const double width = seconds(*told.latest - told.earliest);
    lists[name].widths.push_back(width);
    lists[name].relative.push_back(width / std::max(wait, 1.0));
  }
  for (auto& [name, s] : out) {
    s.median_wait_s = median(std::move(lists[name].waits));
    s.median_width_s = median(std::move(lists[name].widths));
    s.median_relative_width = median(std::move(lists[name].relative));
  }
  return out;
}

}  // namespace

std::string size_class(const Resources& demand) {
  if (demand.gpu_milli == 0) return "no gpu";
  if (demand.gpu_milli < kGpuDevice) return "gpu share";
  const auto devices = demand.gpu_milli / kGpuDevice;
  if (devices == 1) return "gpu 1";
  if (devices <= 4) return "gpu 2-4";
  return devices <= 8 ? "gpu 5-8" : "gpu 9+";
}

SimulationReport report_on(std::string policy, std::span<const SimulatedJob> jobs,
                           const SimulationResult& result, const Resources& capacity,
                           std::size_t slices) {
  SimulationReport out;
  out.policy = std::move(policy);
  out.jobs = jobs.size();
  out.events = result.events;
  out.forecasts = summaries(result.forecasts);
  const SimulatedTime span = std::max<SimulatedTime>(result.end, 1);
  out.span_s = seconds(span);
  const std::vector<double> flat(slices);
  out.curve = {flat, flat, flat, flat};
  Totals totals;
  for (std::size_t i = 0; i < jobs.size(); ++i) {
    const SimulatedOutcome& outcome = result.jobs[i];
    out.refused += outcome.refused ? 1 : 0;
    out.evictions += outcome.evictions;
    out.wasted_s += seconds(outcome.wasted);
    if (outcome.end < 0) continue;
    ++out.finished;
    count(jobs[i], outcome, totals);
    const Resources demand = repeated(jobs[i].demand, jobs[i].replicas);
    spread(out.curve.cpu, span, outcome.start, outcome.end,
           share(static_cast<double>(demand.cpu_milli), capacity.cpu_milli));
    spread(out.curve.gpu, span, outcome.start, outcome.end,
           share(static_cast<double>(demand.gpu_milli), capacity.gpu_milli));
    spread(out.curve.waiting, span, jobs[i].submit, outcome.start, 1);
  }
  add_fragmentation(result, span, capacity, out);
  for (auto& [priority, waits] : totals.by_priority) {
    out.by_priority[priority] = summary(std::move(waits));
  }
  for (auto& [size, waits] : totals.by_size) out.by_size[size] = summary(std::move(waits));
  for (auto& [tenant, waits] : totals.by_tenant) out.by_tenant[tenant] = summary(std::move(waits));
  const auto whole = static_cast<double>(span);
  out.cpu = share(totals.cpu / whole, capacity.cpu_milli);
  out.memory = share(totals.memory / whole, capacity.memory_bytes);
  out.gpu = share(totals.gpu / whole, capacity.gpu_milli);
  if (out.finished > 0) out.bounded_slowdown = totals.slowdown / static_cast<double>(out.finished);
  return out;
}

// --- the picture
// ----------------------------------------------------------------------------------

namespace {

constexpr double kLeft = 70, kWidth = 820, kHeight = 180;

std::string line(const std::vector<double>& values, double most, double top, const char* color) {
  std::string points;
  for (std::size_t i = 0; i < values.size(); ++i) {
    const double x =
        kLeft + kWidth * (static_cast<double>(i) + 0.5) / static_cast<double>(values.size());
    const double y = top + kHeight * (1 - std::min(values[i] / most, 1.0));
    points += fmt::format("{:.1f},{:.1f} ", x, y);
  }
  return fmt::format("<polyline fill=\"none\" stroke=\"{}\" stroke-width=\"1.5\" points=\"{}\"/>\n",
                     color, points);
}

std::string text(double x, double y, const char* anchor, std::string_view words,
                 const char* color = "#333") {
  return fmt::format("<text x=\"{}\" y=\"{}\" text-anchor=\"{}\" fill=\"{}\">{}</text>\n", x, y,
                     anchor, color, words);
}

// A frame with three horizontal lines, labelled with parts of `most`.
std::string frame(double top, double most, std::string_view unit) {
  std::string out;
  for (const double part : {0.0, 0.5, 1.0}) {
    const double y = top + kHeight * (1 - part);
    out += fmt::format("<path d=\"M{} {}h{}\" stroke=\"#ddd\"/>\n", kLeft, y, kWidth);
    out += text(kLeft - 8, y + 4, "end", fmt::format("{:.0f}{}", most * part, unit));
  }
  return out;
}

std::string time_axis(double top, double span_s) {
  const bool days = span_s > 4 * 86'400.0;
  const bool hours = !days && span_s > 4 * 3'600.0;
  const double unit = days ? 86'400.0 : hours ? 3'600.0 : 60.0;
  std::string out;
  for (const double part : {0.0, 0.25, 0.5, 0.75, 1.0}) {
    out += text(kLeft + kWidth * part, top + kHeight + 18, "middle",
                fmt::format("{:.4g} {}", span_s * part / unit,
                            days    ? "days"
                            : hours ? "hours"
                                    : "min"));
  }
  return out;
}

}  // namespace

std::string svg_of(const SimulationReport& report) {
  constexpr double kFirst = 50, kSecond = 300;
  const double longest = std::max(1.0, std::ceil(std::ranges::max(report.curve.waiting)));
  std::string out =
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 940 520\" "
      "font-family=\"sans-serif\" font-size=\"12\">\n"
      "<rect width=\"940\" height=\"520\" fill=\"white\"/>\n";
  out += text(kLeft, 24, "start",
              fmt::format("policy {}: {} jobs, mean utilization cpu {:.1f} %, gpu {:.1f} %",
                          report.policy, report.finished, report.cpu * 100, report.gpu * 100));
  out += text(kLeft, kFirst - 8, "start", "in use:");
  out += text(kLeft + 60, kFirst - 8, "start", "gpu", "#1f6f54");
  out += text(kLeft + 100, kFirst - 8, "start", "cpu", "#3a62b0");
  out += text(kLeft + 140, kFirst - 8, "start", "gpu free but too scattered", "#9a7b1e");
  out += frame(kFirst, 100, " %");
  out += line(report.curve.cpu, 1, kFirst, "#3a62b0");
  out += line(report.curve.unusable, 1, kFirst, "#9a7b1e");
  out += line(report.curve.gpu, 1, kFirst, "#1f6f54");
  out += time_axis(kFirst, report.span_s);
  out += text(kLeft, kSecond - 8, "start", "waiting");
  out += frame(kSecond, longest, "");
  out += line(report.curve.waiting, longest, kSecond, "#b3512f");
  out += time_axis(kSecond, report.span_s);
  return out + "</svg>\n";
}

}  // namespace berth::cli
