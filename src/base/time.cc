#include "base/time.h"

#include <fmt/format.h>

#include <charconv>

namespace berth {
namespace {

using std::chrono::days;
using std::chrono::sys_days;

template <class Int>
bool digits(std::string_view text, std::size_t at, std::size_t n, Int& out) {
  if (at + n > text.size()) return false;
  const char* first = text.data() + at;
  auto [end, ec] = std::from_chars(first, first + n, out);
  return ec == std::errc{} && end == first + n && *first != '-' && *first != '+';
}

}  // namespace

std::string to_rfc3339(Timestamp t) {
  const std::chrono::sys_time<std::chrono::microseconds> point{std::chrono::microseconds(t.micros)};
  const auto day = std::chrono::floor<days>(point);
  const std::chrono::year_month_day ymd{day};
  const std::chrono::hh_mm_ss hms{point - day};
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:06}Z", static_cast<int>(ymd.year()),
                     static_cast<unsigned>(ymd.month()), static_cast<unsigned>(ymd.day()),
                     hms.hours().count(), hms.minutes().count(), hms.seconds().count(),
                     hms.subseconds().count());
}

std::optional<Timestamp> from_rfc3339(std::string_view text) {
  int year = 0;
  unsigned month = 0, day = 0, hour = 0, minute = 0, second = 0;
  const bool shape = text.size() >= 20 && text[4] == '-' && text[7] == '-' &&
                     (text[10] == 'T' || text[10] == 't') && text[13] == ':' && text[16] == ':';
  if (!shape || !digits(text, 0, 4, year) || !digits(text, 5, 2, month) ||
      !digits(text, 8, 2, day) || !digits(text, 11, 2, hour) || !digits(text, 14, 2, minute) ||
      !digits(text, 17, 2, second)) {
    return std::nullopt;
  }
  const std::chrono::year_month_day ymd{std::chrono::year(year), std::chrono::month(month),
                                        std::chrono::day(day)};
  if (!ymd.ok() || hour > 23 || minute > 59 || second > 59) return std::nullopt;
  std::int64_t fraction = 0;
  std::size_t at = 19;
  if (text[at] == '.') {
    std::int64_t unit = 100'000;
    for (++at; at < text.size() && text[at] >= '0' && text[at] <= '9'; ++at, unit /= 10) {
      fraction += (text[at] - '0') * unit;
    }
  }
  std::int64_t offset_minutes = 0;
  const std::string_view zone = text.substr(at);
  if (zone != "Z" && zone != "z") {
    int h = 0, m = 0;
    if (zone.size() != 6 || (zone[0] != '+' && zone[0] != '-') || zone[3] != ':' ||
        !digits(zone, 1, 2, h) || !digits(zone, 4, 2, m) || h > 23 || m > 59) {
      return std::nullopt;
    }
    offset_minutes = (zone[0] == '-' ? -1 : 1) * (h * 60 + m);
  }
  const std::int64_t seconds = sys_days(ymd).time_since_epoch().count() * 86'400LL + hour * 3600LL +
                               minute * 60LL + second - offset_minutes * 60;
  return Timestamp{seconds * 1'000'000 + fraction};
}

std::string humane(std::chrono::microseconds d) {
  const std::int64_t us = d.count() < 0 ? 0 : d.count();
  const std::int64_t s = us / 1'000'000;
  if (us < 1'000'000) return fmt::format("{}ms", us / 1000);
  if (s < 60) return fmt::format("{}s", s);
  if (s < 3600) return fmt::format("{}m {:02}s", s / 60, s % 60);
  if (s < 86'400) return fmt::format("{}h {:02}m", s / 3600, s % 3600 / 60);
  return fmt::format("{}d {}h", s / 86'400, s % 86'400 / 3600);
}

Timestamp SystemClock::now() const {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return {std::chrono::duration_cast<std::chrono::microseconds>(now).count()};
}

}  // namespace berth
