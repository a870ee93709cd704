// Requests that another process answers: a workload's endpoint, or the scheduler that decides about
// a cluster.
#pragma once
#include <chrono>
#include <memory>
#include <optional>
#include <string>

#include "api/context.h"
#include "net/http_client.h"

namespace berth::api {

// Headers about one connection are nobody else's business; and neither are those that say where a
// request came from, which each hop writes anew.
[[nodiscard]] bool passes_on(std::string_view name, std::string_view connection);
// The upstream's answer as ours, its body streamed. Keeps the request's source alive meanwhile.
[[nodiscard]] net::Response relay(std::unique_ptr<net::UpstreamResponse> upstream,
                                  std::unique_ptr<net::BodySource> source);

// --- between processes of one installation
// --------------------------------------------------------

inline constexpr std::string_view kInternalHeader = "Berth-Internal";

// Proof that a request comes from a process that knows the installation's secret: sealed, for this
// request and this minute, with the address of the client who asked.
[[nodiscard]] std::string internal_proof(const std::string& secret, Timestamp now,
                                         const net::Request& request);
// The client's address; empty when it proves nothing.
[[nodiscard]] std::optional<std::string> check_internal(const std::string& secret, Timestamp now,
                                                        const net::Request& request);
// The same request to a process on `address`, which begins to answer within `patience`. Errors:
// those of net::exchange.
Task<Result<net::Response>> forward(Context& c, const std::string& address,
                                    const std::string& secret, Timestamp now,
                                    std::chrono::milliseconds patience);

}  // namespace berth::api
