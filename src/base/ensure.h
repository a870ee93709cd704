// A broken invariant of ours stops the process, in release builds too: better no answer than a
// wrong one, and starting is recovering. Never used on input.
#pragma once
#include <source_location>

namespace berth {

[[noreturn]] void die(const char* what, std::source_location at);

constexpr void ensure(bool ok, const char* what,
                      std::source_location at = std::source_location::current()) {
  if (!ok) die(what, at);
}

}  // namespace berth
