#include "json/yaml.h"

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/parser.h>

#include <charconv>
#include <cmath>
#include <sstream>

#include "json/pointer.h"
#include "json/utf8.h"
#include "json/writer.h"

namespace berth::json {
namespace {

namespace bj = boost::json;

constexpr std::size_t kMaxText = 1024 * 1024;
constexpr std::size_t kMaxNodes = 10'000;

// Leaves the library's parser when an event is refused; does not leave this file.
struct Refused {
  FieldError field;
};

std::string place(const YAML::Mark& mark) {
  if (mark.is_null()) return "unknown place";
  return fmt::format("line {}, column {}", mark.line + 1, mark.column + 1);
}

std::size_t skip_digits(std::string_view text, std::size_t at) {
  while (at < text.size() && text[at] >= '0' && text[at] <= '9') ++at;
  return at;
}

// [-+]? ( \. [0-9]+ | [0-9]+ ( \. [0-9]* )? ) ( [eE] [-+]? [0-9]+ )?
bool is_float(std::string_view text) {
  std::size_t at = !text.empty() && (text[0] == '-' || text[0] == '+') ? 1 : 0;
  const std::size_t whole = skip_digits(text, at);
  std::size_t digits = whole - at;
  at = whole;
  if (at < text.size() && text[at] == '.') {
    const std::size_t end = skip_digits(text, at + 1);
    digits += end - at - 1;
    at = end;
  }
  if (digits == 0) return false;
  if (at == text.size()) return true;
  if (text[at] != 'e' && text[at] != 'E') return false;
  ++at;
  if (at < text.size() && (text[at] == '-' || text[at] == '+')) ++at;
  return at < text.size() && skip_digits(text, at) == text.size();
}

bool one_of(std::string_view text, std::initializer_list<std::string_view> words) {
  return std::ranges::find(words, text) != words.end();
}

template <class Int>
bool integer(std::string_view text, int base, Int& out) {
  const char* end = text.data() + text.size();
  const auto [stop, ec] = std::from_chars(text.data(), end, out, base);
  return ec == std::errc{} && stop == end;
}

// The core schema of YAML 1.2 (10.3.2). Absent: a number that JSON does not have.
std::optional<Value> resolve(std::string_view text) {
  if (one_of(text, {"", "~", "null", "Null", "NULL"})) return Value(nullptr);
  if (one_of(text, {"true", "True", "TRUE"})) return Value(true);
  if (one_of(text, {"false", "False", "FALSE"})) return Value(false);
  if (one_of(text, {".nan", ".NaN", ".NAN"})) return std::nullopt;
  const bool sign = text[0] == '-' || text[0] == '+';
  if (one_of(text.substr(sign ? 1 : 0), {".inf", ".Inf", ".INF"})) return std::nullopt;
  std::uint64_t bits = 0;
  for (const auto& [prefix, base] : {std::pair{"0x", 16}, std::pair{"0o", 8}}) {
    if (!text.starts_with(prefix) || text.size() == 2) continue;
    const std::string_view digits = text.substr(2);
    const std::string_view letters = base == 16 ? "0123456789abcdefABCDEF" : "01234567";
    if (digits.find_first_not_of(letters) != std::string_view::npos) continue;
    if (!integer(digits, base, bits)) return std::nullopt;
    if (bits <= INT64_MAX) return Value(static_cast<std::int64_t>(bits));
    return Value(bits);
  }
  if (!is_float(text)) return Value(text);
  if (text[0] == '+') text.remove_prefix(1);
  std::int64_t whole = 0;
  if (integer(text, 10, whole)) return Value(whole);
  if (integer(text, 10, bits)) return Value(bits);
  double number = 0;
  if (text.size() > kMaxNumber ||
      std::from_chars(text.data(), text.data() + text.size(), number).ec != std::errc{}) {
    return std::nullopt;
  }
  return Value(number);
}

class Builder final : public YAML::EventHandler {
 public:
  void OnDocumentStart(const YAML::Mark& mark) override {
    if (std::exchange(started_, true)) refuse(mark, "only one document is accepted");
  }
  void OnDocumentEnd() override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t) override { scalar(mark, Value(nullptr), ""); }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t) override {
    refuse(mark, "aliases are not supported; repeat the value instead");
  }
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t,
                const std::string& text) override {
    if (text.size() > kMaxString) refuse(mark, "this text is longer than 65536 bytes");
    if (tag == "!" || tag == "tag:yaml.org,2002:str") return scalar(mark, Value(text), text);
    check_tag(mark, tag);
    auto value = resolve(text);
    if (!value && !wants_key()) refuse(mark, "JSON has no such number");
    scalar(mark, value ? *std::move(value) : Value(nullptr), text);
  }

  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t,
                       YAML::EmitterStyle::value) override {
    open(mark, tag, bj::array());
  }
  void OnSequenceEnd() override { close(); }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t,
                  YAML::EmitterStyle::value) override {
    open(mark, tag, bj::object());
  }
  void OnMapEnd() override { close(); }

  [[nodiscard]] Value release() { return std::move(root_); }

 private:
  struct Open {
    Value value;
    std::string key;
    bool has_key = false;
  };

  [[noreturn]] void refuse(const YAML::Mark& mark, std::string_view what) const {
    throw Refused{{"", "invalid_yaml", fmt::format("Invalid YAML at {}: {}.", place(mark), what)}};
  }
  void check_tag(const YAML::Mark& mark, const std::string& tag) const {
    if (!tag.empty() && tag != "?" && tag != "!") {
      refuse(mark, "tags other than !!str are not supported");
    }
  }
  void count(const YAML::Mark& mark) {
    if (++nodes_ > kMaxNodes) refuse(mark, "the document has more than 10000 values");
  }
  [[nodiscard]] bool wants_key() const {
    return !open_.empty() && open_.back().value.is_object() && !open_.back().has_key;
  }

  void open(const YAML::Mark& mark, const std::string& tag, Value empty) {
    count(mark);
    check_tag(mark, tag);
    if (wants_key()) refuse(mark, "a key must be plain text");
    if (open_.size() >= kMaxDepth) refuse(mark, "values are nested more than 32 levels deep");
    open_.push_back({std::move(empty), {}, false});
  }
  void close() {
    Value done = std::move(open_.back().value);
    open_.pop_back();
    attach(std::move(done));
  }

  void scalar(const YAML::Mark& mark, Value value, const std::string& text) {
    count(mark);
    if (!wants_key()) return attach(std::move(value));
    Open& map = open_.back();
    if (text.size() > kMaxKey) refuse(mark, "this key is longer than 1024 bytes");
    if (map.value.get_object().size() >= kMaxKeys) refuse(mark, "a map has more than 1000 keys");
    if (map.value.get_object().contains(text)) {
      std::string at = pointer();
      append_token(at, text);
      throw Refused{
          {std::move(at), "duplicate_key",
           fmt::format("At {}: the key {} is given more than once.", place(mark), quoted(text))}};
    }
    map.key = text;
    map.has_key = true;
  }

  void attach(Value value) {
    if (open_.empty()) {
      root_ = std::move(value);
    } else if (bj::array* items = open_.back().value.if_array()) {
      items->push_back(std::move(value));
    } else {
      open_.back().value.get_object()[open_.back().key] = std::move(value);
      open_.back().has_key = false;
    }
  }

  // JSON pointer to the innermost open value.
  [[nodiscard]] std::string pointer() const {
    std::string out;
    for (std::size_t i = 0; i + 1 < open_.size(); ++i) {
      if (const bj::array* items = open_[i].value.if_array()) {
        append_token(out, items->size());
      } else {
        append_token(out, open_[i].key);
      }
    }
    return out;
  }

  Value root_;
  std::vector<Open> open_;
  std::size_t nodes_ = 0;
  bool started_ = false;
};

std::unexpected<Error> refused(FieldError field) {
  return fail_field(std::move(field.pointer), std::move(field.code), std::move(field.message));
}

std::optional<FieldError> check_characters(std::string_view text) {
  if (text.size() > kMaxText) {
    return FieldError{"", "invalid_yaml", "The document is larger than 1 MiB."};
  }
  // The library guesses encodings and stops at some control characters; neither is wanted.
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t length = utf8_length(text.substr(at));
    const auto c = static_cast<unsigned char>(text[at]);
    const bool control = c < 0x20 && c != '\n' && c != '\r' && c != '\t';
    if (length == 0 || control || (at == 0 && text.starts_with("\xEF\xBB\xBF"))) {
      return FieldError{
          "", "invalid_yaml",
          fmt::format("Invalid YAML at {}: {}.", position_text(text, at),
                      length == 0 ? "this is not UTF-8" : "this character is not accepted")};
    }
    at += length;
  }
  return std::nullopt;
}

// Whether the text stays this string when written without quotes, in YAML 1.1 readers too.
bool plain(std::string_view text) {
  constexpr std::string_view kLetters =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./-";
  if (text.empty() || text.find_first_not_of(kLetters) != std::string_view::npos) return false;
  const char first = text[0];
  const bool letter = (first >= 'a' && first <= 'z') || (first >= 'A' && first <= 'Z');
  if (!letter && first != '/' && first != '_') return false;
  const auto same = [&](std::string_view word) {
    return std::ranges::equal(text, word, {}, [](char c) {
      return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
    });
  };
  constexpr std::array<std::string_view, 9> kWords{"null", "true", "false", "yes", "no",
                                                   "on",   "off",  "y",     "n"};
  return std::ranges::none_of(kWords, same);
}

void write_text(std::string& out, std::string_view text) {
  if (plain(text)) {
    out += text;
  } else {
    detail::write_string(out, text);  // a JSON string is a double-quoted scalar
  }
}

// `inside`: the value continues a line that already has a dash.
void write_block(std::string& out, const Value& value, std::size_t level, bool inside) {
  const auto start = [&] {
    if (!std::exchange(inside, false)) out.append(level * 2, ' ');
  };
  const auto nested = [](const Value& v) {
    return (v.is_array() && !v.get_array().empty()) || (v.is_object() && !v.get_object().empty());
  };
  if (!nested(value)) {
    start();
    if (value.is_string()) {
      write_text(out, value.get_string());
    } else {
      write(out, value);
    }
    out += '\n';
  } else if (const bj::array* items = value.if_array()) {
    for (const Value& item : *items) {
      start();
      out += "- ";
      write_block(out, item, level + 1, true);
    }
  } else {
    for (const auto& member : value.get_object()) {
      start();
      write_text(out, member.key());
      out += ':';
      if (nested(member.value())) {
        out += '\n';
        write_block(out, member.value(), level + 1, false);
      } else {
        out += ' ';
        write_block(out, member.value(), level, true);
      }
    }
  }
}

}  // namespace

Result<Value> from_yaml(std::string_view text) {
  if (auto wrong = check_characters(text)) return refused(*std::move(wrong));
  Builder builder;
  try {
    std::istringstream stream{std::string(text)};
    YAML::Parser parser(stream);
    if (!parser.HandleNextDocument(builder)) {
      return fail_field("", "invalid_yaml", "The document is empty.");
    }
    while (parser.HandleNextDocument(builder)) {
    }
  } catch (Refused& refusal) {
    return refused(std::move(refusal.field));
  } catch (const YAML::Exception& e) {
    return fail_field("", "invalid_yaml",
                      fmt::format("Invalid YAML at {}: {}.", place(e.mark), e.msg));
  }
  return builder.release();
}

std::string to_yaml(const Value& value) {
  std::string out;
  write_block(out, value, 0, false);
  return out;
}

}  // namespace berth::json
