// One line per happening, with its time and weight, to standard error.
#pragma once
#include <string_view>

namespace berth {

void log_info(std::string_view what, std::string_view detail = {});
void log_error(std::string_view what, std::string_view detail = {});

}  // namespace berth
