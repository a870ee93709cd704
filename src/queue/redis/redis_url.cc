#include "queue/redis/redis_url.h"

#include <boost/url/parse.hpp>
#include <boost/url/url_view.hpp>
#include <charconv>

namespace berth::redis {
namespace {

namespace urls = boost::urls;

std::unexpected<Error> refuse(std::string message) {
  return fail(Code::invalid_argument, "invalid_url", std::move(message));
}

Result<int> database(std::string_view text) {
  int db = 0;
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), db);
  if (problem != std::errc() || end != text.data() + text.size() || db < 0) {
    return refuse("The database of a Redis URL is a number, for example /0.");
  }
  return db;
}

// Braces would move the hash tag, stars and brackets would widen what an ACL allows.
bool is_prefix(std::string_view text) {
  return !text.empty() && text.size() <= 64 && std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_' || c == '.' || c == ':';
  });
}

Result<void> read_query(const urls::url_view& url, Options& out) {
  for (const auto& parameter : url.params()) {
    if (parameter.key == "prefix") {
      if (!is_prefix(parameter.value)) {
        return refuse("The prefix consists of letters, digits, and '-', '_', '.', ':'.");
      }
      out.prefix = parameter.value;
    } else if (parameter.key == "ca" && out.tls) {
      out.ca_file = parameter.value;
    } else if (parameter.key == "db" && !out.socket.empty()) {
      const auto db = database(parameter.value);
      if (!db) return pass(db.error());
      out.db = *db;
    } else {
      return refuse("A Redis URL does not know the parameter '" + parameter.key +
                    "' here; there are prefix, ca (with rediss) and db (with redis+unix).");
    }
  }
  return {};
}

Result<void> read_address(const urls::url_view& url, Options& out) {
  out.host = url.host_address();
  if (out.host.empty()) return refuse("A Redis URL names a host: redis://HOST:6379.");
  if (url.has_port() && !url.port().empty()) {
    if (url.port_number() == 0) return refuse("The port of a Redis URL is from 1 to 65535.");
    out.port = url.port();
  }
  const std::string path = url.path();
  if (path.empty() || path == "/") return {};
  const auto db = database(std::string_view(path).substr(1));
  if (!db) return pass(db.error());
  out.db = *db;
  return {};
}

}  // namespace

bool Options::on_this_machine() const {
  return !socket.empty() || host == "localhost" || host == "::1" || host.starts_with("127.");
}

Result<Options> parse_redis_url(std::string_view text) {
  const auto parsed = urls::parse_uri(urls::string_view(text.data(), text.size()));
  if (!parsed) return refuse("That is not a URL; a Redis URL looks like redis://HOST:6379/0.");
  const urls::url_view& url = *parsed;
  Options out;
  const std::string scheme = url.scheme();
  out.tls = scheme == "rediss";
  if (scheme != "redis" && scheme != "rediss" && scheme != "redis+unix") {
    return refuse("A Redis URL begins with redis://, rediss:// or redis+unix://.");
  }
  if (url.has_fragment()) return refuse("A Redis URL has no part after '#': write %23.");
  out.user = url.user();
  out.password = url.password();
  if (!out.user.empty() && out.password.empty()) {
    return refuse("A Redis URL with a user has a password, too: redis://USER:PASSWORD@HOST.");
  }
  if (scheme == "redis+unix") {
    out.socket = url.path();
    if (!url.encoded_host().empty() || out.socket.size() < 2 || !out.socket.starts_with('/')) {
      return refuse("A socket's URL has an absolute path: redis+unix:///run/redis/redis.sock.");
    }
  } else if (auto address = read_address(url, out); !address) {
    return pass(address.error());
  }
  if (auto query = read_query(url, out); !query) return pass(query.error());
  return out;
}

}  // namespace berth::redis
