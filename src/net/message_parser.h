// Beast's message parser with the least around it: the head lands in plain values and body bytes
// collect in one string that the reader empties. Included by the two .cc files that speak HTTP.
#pragma once
#include <boost/beast/http/basic_parser.hpp>
#include <cstdint>
#include <string>
#include <string_view>

#include "net/http.h"

namespace berth::net {

namespace http = boost::beast::http;

template <bool is_request>
class MessageParser final : public http::basic_parser<is_request> {
 public:
  using error_code = boost::beast::error_code;
  using text = boost::beast::string_view;

  explicit MessageParser(std::size_t head_bytes) {
    // Beast counts a little differently; the exact limit of requests is HeadCheck's.
    this->header_limit(static_cast<std::uint32_t>(head_bytes + 1024));
    this->body_limit(boost::none);
  }

  std::string method;  // requests only
  std::string target;  // requests only
  int status = 0;      // responses only
  Headers headers;
  std::string body;  // bytes decoded and not yet taken
  std::uint64_t body_total = 0;
  std::uint64_t body_max = UINT64_MAX;

 private:
  static constexpr std::size_t longest_chunk_extension = 256;

  static std::string copy(text t) { return std::string(t.data(), t.size()); }

  std::size_t keep(text piece, error_code& ec) {
    body_total += piece.size();
    if (body_total > body_max) {
      ec = http::error::body_limit;
      return 0;
    }
    body.append(piece.data(), piece.size());
    return piece.size();
  }

  void on_request_impl(http::verb, text method_text, text target_text, int, error_code&) override {
    method = copy(method_text);
    target = copy(target_text);
  }
  void on_response_impl(int code, text, int, error_code&) override { status = code; }
  void on_field_impl(http::field, text name, text value, error_code& ec) override {
    // Trailers come after the head was acted upon; a request that has them is refused, for what
    // they say would be ignored here and perhaps not elsewhere. Those of responses are dropped.
    if (this->is_header_done()) {
      if (is_request) ec = http::error::bad_field;
      return;
    }
    headers.push_back({copy(name), copy(value)});
  }
  void on_header_impl(error_code&) override {}
  void on_body_init_impl(const boost::optional<std::uint64_t>&, error_code&) override {}
  std::size_t on_body_impl(text piece, error_code& ec) override { return keep(piece, ec); }
  void on_chunk_header_impl(std::uint64_t size, text extensions, error_code& ec) override {
    if (extensions.size() > longest_chunk_extension) ec = http::error::bad_chunk_extension;
    // Said by the chunk's header already, so its bytes need not come first.
    if (size > body_max || body_total > body_max - size) ec = http::error::body_limit;
  }
  std::size_t on_chunk_body_impl(std::uint64_t, text piece, error_code& ec) override {
    return keep(piece, ec);
  }
  void on_finish_impl(error_code&) override {}
};

}  // namespace berth::net
