// The blocking client, on libcurl: TLS, proxies and name resolution come with it.
#include <curl/curl.h>

#include <charconv>

#include <mutex>

#include "net/framing.h"
#include "net/http_client.h"

namespace berth::net {
namespace {

constexpr std::size_t body_max = 64 << 20;

struct EasyDeleter {
  void operator()(CURL* handle) const { curl_easy_cleanup(handle); }
};
struct ListDeleter {
  void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};
using Easy = std::unique_ptr<CURL, EasyDeleter>;
using List = std::unique_ptr<curl_slist, ListDeleter>;

// One handle per thread keeps its connections between calls.
CURL* handle_of_thread() {
  static std::once_flag once;
  std::call_once(once, [] { curl_global_init(CURL_GLOBAL_DEFAULT); });
  thread_local Easy handle(curl_easy_init());
  if (handle) curl_easy_reset(handle.get());
  return handle.get();
}

struct Exchange {
  const ClientRequest& request;
  ClientResponse response;
  int status = 0;  // of the head that came last
  bool ended_early = false;
  bool too_large = false;
};

std::size_t take_header(char* bytes, std::size_t, std::size_t n, void* self) {
  auto& exchange = *static_cast<Exchange*>(self);
  const std::string_view line(bytes, n);
  if (line.starts_with("HTTP/")) {
    exchange.response.headers.clear();  // an interim response came before this one
    if (const auto blank = line.find(' '); blank != std::string_view::npos) {
      std::from_chars(line.data() + blank + 1, line.data() + n, exchange.status);
    }
  } else if (const auto colon = line.find(':'); colon != std::string_view::npos) {
    auto value = line.substr(colon + 1);
    while (value.ends_with('\n') || value.ends_with('\r')) value.remove_suffix(1);
    exchange.response.headers.push_back(
        {std::string(line.substr(0, colon)), std::string(trim_blanks(value))});
  }
  return n;
}

std::size_t take_body(char* bytes, std::size_t, std::size_t n, void* self) {
  auto& exchange = *static_cast<Exchange*>(self);
  // A refusal is not what the caller wanted to see piece by piece.
  if (exchange.request.on_body && exchange.status < 400) {
    if (exchange.request.on_body({bytes, n})) return n;
    exchange.ended_early = true;
    return 0;
  }
  if (exchange.response.body.size() + n > body_max) {
    exchange.too_large = true;
    return 0;
  }
  exchange.response.body.append(bytes, n);
  return n;
}

Error describe(CURLcode code, const char* details, const ClientRequest& request) {
  const std::string why = *details != '\0' ? details : curl_easy_strerror(code);
  switch (code) {
    case CURLE_OPERATION_TIMEDOUT:
      return {Code::resource_exhausted, "timeout",
              fmt::format("No answer from {} in time: {}.", request.url, why)};
    case CURLE_URL_MALFORMAT:
    case CURLE_UNSUPPORTED_PROTOCOL:
      return {Code::invalid_argument, "bad_url",
              fmt::format("{} is not an http or https URL: {}.", request.url, why)};
    default:
      return {Code::unavailable, "unreachable",
              fmt::format("Cannot reach {}: {}.", request.url, why)};
  }
}

}  // namespace

Result<ClientResponse> fetch(const ClientRequest& request) {
  CURL* curl = handle_of_thread();
  if (!curl) return fail(Code::internal, "no_client", "libcurl could not be started.");
  if (!is_token(request.method)) {
    return fail(Code::invalid_argument, "bad_method", "The method is not a word.");
  }

  List headers;
  const auto add = [&headers](const std::string& line) {
    if (auto* longer = curl_slist_append(headers.get(), line.c_str())) {
      (void)headers.release();
      headers.reset(longer);
    }
  };
  for (const auto& header : request.headers) {
    if (!is_token(header.name) || !is_value(header.value)) {
      return fail(Code::invalid_argument, "bad_header",
                  "The header " + header.name + " holds a character that is not allowed.");
    }
    // With a semicolon instead of the colon curl sends an empty value; with it, no header at all.
    add(header.value.empty() ? header.name + ";" : header.name + ": " + header.value);
  }
  // Waiting for "100 Continue" costs a second with servers that do not know it.
  if (!has_header(request.headers, "expect")) add("Expect:");
  if (!has_header(request.headers, "content-type")) add("Content-Type:");

  Exchange exchange{request, {}};
  char details[CURL_ERROR_SIZE] = "";
  const auto timeout_ms = static_cast<long>(
      std::chrono::duration_cast<std::chrono::milliseconds>(request.timeout).count());

  curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, details);
  curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);  // threads: timeouts must not use SIGALRM
  curl_easy_setopt(curl, CURLOPT_URL, request.url.c_str());
  curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(curl, CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));
  curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L);
  curl_easy_setopt(curl, CURLOPT_PATH_AS_IS, 1L);
  curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, 1L);
  curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, 2L);
  if (!request.ca_file.empty()) curl_easy_setopt(curl, CURLOPT_CAINFO, request.ca_file.c_str());
  curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, timeout_ms);
  if (request.on_body) {
    curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, static_cast<long>(request.timeout.count()));
  } else {
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, timeout_ms);
  }
  curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, take_header);
  curl_easy_setopt(curl, CURLOPT_HEADERDATA, &exchange);
  curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_body);
  curl_easy_setopt(curl, CURLOPT_WRITEDATA, &exchange);
  curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers.get());

  const bool takes_body =
      request.method == "POST" || request.method == "PUT" || request.method == "PATCH";
  if (request.method == "HEAD") {
    curl_easy_setopt(curl, CURLOPT_NOBODY, 1L);
  } else if (takes_body || !request.body.empty()) {
    curl_easy_setopt(curl, CURLOPT_POST, 1L);
    curl_easy_setopt(curl, CURLOPT_POSTFIELDS, request.body.data());
    curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE,
                     static_cast<curl_off_t>(request.body.size()));
  }
  curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, request.method.c_str());

  const auto code = curl_easy_perform(curl);
  if (exchange.too_large) {
    return fail(Code::too_large, "answer_too_large", "The answer has more than 64 MiB.");
  }
  if (code != CURLE_OK && !exchange.ended_early) {
    return pass(describe(code, details, request));
  }
  long status = 0;
  curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
  exchange.response.status = static_cast<int>(status);
  return std::move(exchange.response);
}

}  // namespace berth::net
