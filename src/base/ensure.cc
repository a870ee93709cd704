#include "base/ensure.h"

#include <cstdio>
#include <cstdlib>

namespace berth {

void die(const char* what, std::source_location at) {
  std::fprintf(stderr, "berth: broken invariant: %s (%s:%u)\n", what, at.file_name(), at.line());
  std::fflush(stderr);
  std::abort();
}

}  // namespace berth
