// Errors on the wire: RFC 9457 problem replies. The one place that knows which code is which
// status.
#pragma once
#include "base/result.h"
#include "net/http.h"

namespace berth::api {

[[nodiscard]] int status_of(const Error& error);
[[nodiscard]] net::Response problem(const Error& error, std::string_view instance,
                                    std::string_view request_id);
// For what has a status and no Error: malformed requests, unknown routes.
[[nodiscard]] net::Response problem(int status, std::string reason, std::string detail,
                                    std::string_view instance, std::string_view request_id);

}  // namespace berth::api
