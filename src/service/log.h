// One line per happening, JSON or plain by the process's setting; to stderr.
#pragma once
#include <string_view>

namespace berth {

void log_info(std::string_view what, std::string_view detail = {});
void log_error(std::string_view what, std::string_view detail = {});

}  // namespace berth
