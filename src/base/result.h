// Failure as a value. One closed list of codes; the edge maps each to an HTTP status, an exit code
// and a sentence. Exceptions stay for programming errors and for start-up.
#pragma once
#include <chrono>
#include <expected>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace berth {

enum class Code {
  invalid_argument,     // the request itself is wrong; repeating it will not help
  unauthenticated,      // no valid credential
  permission_denied,    // known caller, role too small
  not_found,            // also said for things of other organizations
  already_exists,       // a name or an id is taken
  failed_precondition,  // not in this state (version mismatch, not empty, ...)
  aborted,              // lost a race: repeat the whole operation
  resource_exhausted,   // a limit of the caller: slow down
  too_large,            // more bytes than a bound allows
  unavailable,          // not our caller's fault: repeat the call later
  internal,             // a bug or a broken disk
};

// One refused field of a request. `pointer` is a JSON pointer into the body, or the name of a
// query parameter or header.
struct FieldError {
  std::string pointer;
  std::string code;     // stable word, for example "out_of_range"
  std::string message;  // a sentence that says what would be accepted
};

struct [[nodiscard]] Error {
  Code code = Code::internal;
  std::string reason;   // stable snake_case word, the `code` of a problem reply
  std::string message;  // a sentence for people: what happened, and what to do
  std::vector<FieldError> fields{};
  std::optional<std::chrono::seconds> retry_after{};
};

template <class T>
using Result = std::expected<T, Error>;

[[nodiscard]] inline std::unexpected<Error> fail(Code code, std::string reason,
                                                 std::string message) {
  return std::unexpected(Error{code, std::move(reason), std::move(message)});
}
[[nodiscard]] inline std::unexpected<Error> fail_field(std::string pointer, std::string word,
                                                       std::string message) {
  Error error{Code::invalid_argument, "invalid_request", message};
  error.fields.push_back({std::move(pointer), std::move(word), std::move(message)});
  return std::unexpected(std::move(error));
}
[[nodiscard]] inline std::unexpected<Error> pass(Error error) {
  return std::unexpected(std::move(error));
}

}  // namespace berth
