// The API from the outside: requests with the context's token, refreshed when it has expired, and
// failures as sentences with exit codes.
#pragma once
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cli/context.h"
#include "cli/exit_code.h"
#include "json/value.h"

namespace berth::cli {

using Value = json::Value;

// What ends a command early: a sentence on stderr and an exit code.
struct Failure {
  int exit_code = kUnexpected;
  std::string message;
  std::string code;  // the problem's code, if the server said it
  std::vector<std::pair<std::string, std::string>> fields;  // pointer, message
};

// Of a file that cannot be used as it is; a missing flag is a usage error.
[[nodiscard]] Failure file_failure(const Error& error);

struct Global {
  std::string context;  // --context, else BERTH_CONTEXT, else the file's current one
  std::string server;   // --server, else BERTH_SERVER
  std::string output = "table";
  bool no_color = false;
  bool quiet = false;
};

class Client {
 public:
  // Throws Failure.
  explicit Client(const Global& global);

  Value get(const std::string& path) { return request("GET", path, nullptr); }
  Value post(const std::string& path, const Value& body);
  Value post(const std::string& path);
  Value patch(const std::string& path, const Value& body);
  Value put(const std::string& path, const Value& body);
  void remove(const std::string& path);
  // Every page of a list, up to `most` entries.
  std::vector<Value> list(const std::string& path, std::size_t most = 10'000);
  // Text as it comes; return false to stop.
  void stream(const std::string& path, const std::function<bool(std::string_view)>& use);

  [[nodiscard]] Context& context() { return contexts_.all[name_]; }
  [[nodiscard]] const std::string& context_name() const { return name_; }
  void save();
  [[nodiscard]] Contexts& contexts() { return contexts_; }

  // Names to ids. Throws Failure with what there is.
  std::string organization_id(const std::string& name_or_id);
  std::string cluster_id(const std::string& name_or_id);
  std::string deployment_id(const std::string& name_or_id);

 private:
  Value request(const std::string& method, const std::string& path, const Value* body);
  bool refresh();

  Contexts contexts_;
  std::string name_;
};

[[nodiscard]] std::string text_at(const Value& value, std::string_view key);
[[nodiscard]] double number_at(const Value& value, std::string_view key);
[[nodiscard]] const Value& at(const Value& value, std::string_view key);  // null when absent

}  // namespace berth::cli
