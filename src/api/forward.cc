#include "api/forward.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>

#include "net/framing.h"
#include "service/sealed.h"

namespace berth::api {
namespace {

constexpr auto kProofLasts = std::chrono::seconds(60);  // clocks of machines differ

Task<void> pump(std::shared_ptr<net::UpstreamResponse> upstream, net::BodySink& sink) {
  for (;;) {
    auto piece = co_await upstream->read();
    // A body that breaks off must not look complete.
    if (!piece) throw std::runtime_error("upstream body broke off");
    if (piece->empty()) co_return;
    if (auto sent = co_await sink.write(*piece); !sent) co_return;
  }
}

std::string words_of(Timestamp at, const net::Request& request) {
  return fmt::format("{} {} {} ", at.micros, request.method, request.target);
}

}  // namespace

bool passes_on(std::string_view name, std::string_view connection) {
  static constexpr std::array kDropped{"connection",
                                       "keep-alive",
                                       "proxy-authenticate",
                                       "proxy-authorization",
                                       "te",
                                       "trailer",
                                       "transfer-encoding",
                                       "upgrade",
                                       "proxy-connection",
                                       "expect",
                                       "berth-internal"};
  for (const auto* dropped : kDropped) {
    if (net::equal_ignoring_case(name, dropped)) return false;
  }
  while (!connection.empty()) {  // whatever Connection names
    const auto comma = std::min(connection.find(','), connection.size());
    auto word = connection.substr(0, comma);
    while (!word.empty() && word.front() == ' ') word.remove_prefix(1);
    while (!word.empty() && word.back() == ' ') word.remove_suffix(1);
    if (net::equal_ignoring_case(name, word)) return false;
    connection.remove_prefix(std::min(comma + 1, connection.size()));
  }
  return !net::equal_ignoring_case(name.substr(0, 12), "x-forwarded-") &&
         !net::equal_ignoring_case(name, "forwarded");
}

net::Response relay(std::unique_ptr<net::UpstreamResponse> upstream,
                    std::unique_ptr<net::BodySource> source) {
  std::shared_ptr<net::UpstreamResponse> shared = std::move(upstream);
  net::Response out;
  out.status = shared->status();
  const auto connection = net::find_header(shared->headers(), "Connection");
  for (const auto& header : shared->headers()) {
    if (passes_on(header.name, connection) && !net::equal_ignoring_case(header.name, "Date"))
      out.headers.push_back(header);
  }
  std::shared_ptr<net::BodySource> kept = std::move(source);
  out.stream = [shared, kept](net::BodySink& sink) { return pump(shared, sink); };
  return out;
}

std::string internal_proof(const std::string& secret, Timestamp now, const net::Request& request) {
  return seal(words_of(now, request) + request.peer, secret);
}

std::optional<std::string> check_internal(const std::string& secret, Timestamp now,
                                          const net::Request& request) {
  const auto given = net::find_header(request.headers, kInternalHeader);
  if (given.empty()) return std::nullopt;
  const auto text = unseal(given, secret);
  if (!text) return std::nullopt;
  Timestamp at;
  const auto [end, ec] = std::from_chars(text->data(), text->data() + text->size(), at.micros);
  if (ec != std::errc{}) return std::nullopt;
  const auto age = now.since(at);
  if (age > kProofLasts || age < -kProofLasts) return std::nullopt;
  const std::string words = words_of(at, request);
  if (!text->starts_with(words)) return std::nullopt;
  return text->substr(words.size());
}

Task<Result<net::Response>> forward(Context& c, const std::string& address,
                                    const std::string& secret, Timestamp now,
                                    std::chrono::milliseconds patience) {
  net::UpstreamRequest request;
  request.address = address;
  request.connect_timeout = std::min(request.connect_timeout, patience);
  request.head_timeout = patience;
  request.method = c.request.method;
  request.target = c.request.target;
  const auto connection = net::find_header(c.request.headers, "Connection");
  for (const auto& header : c.request.headers) {
    if (!net::equal_ignoring_case(header.name, "X-Request-Id") &&
        passes_on(header.name, connection))
      request.headers.push_back(header);
  }
  request.headers.push_back({"X-Request-Id", c.request_id});
  request.headers.push_back({std::string(kInternalHeader), internal_proof(secret, now, c.request)});
  request.body = c.request.body;
  request.stream = c.request.stream.get();
  auto upstream = co_await net::exchange(std::move(request));
  if (!upstream) co_return std::unexpected(std::move(upstream.error()));
  auto out = relay(std::move(*upstream), std::move(c.request.stream));
  std::erase_if(out.headers,
                [](const auto& h) { return net::equal_ignoring_case(h.name, "X-Request-Id"); });
  co_return out;
}

}  // namespace berth::api
