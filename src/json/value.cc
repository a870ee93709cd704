#include "json/value.h"

#include <boost/json/basic_parser_impl.hpp>
#include <boost/json/value_stack.hpp>
#include <charconv>

#include "json/pointer.h"
#include "json/utf8.h"
#include "json/writer.h"

namespace berth::json {
namespace {

namespace bj = boost::json;

// Receives the events of the parser, builds the document, and keeps what the library does not: the
// keys of every open object (for duplicates) and the way to the present value (for pointers).
class Builder {
 public:
  static constexpr std::size_t max_object_size = kMaxKeys;
  static constexpr std::size_t max_array_size = kMaxItems;
  static constexpr std::size_t max_key_size = kMaxKey;
  static constexpr std::size_t max_string_size = kMaxString;

  explicit Builder(bj::storage_ptr storage) : stack_(bj::storage_ptr(), scratch_, sizeof scratch_) {
    stack_.reset(std::move(storage));
  }

  [[nodiscard]] Value release() { return stack_.release(); }
  [[nodiscard]] const std::optional<FieldError>& refusal() const { return refusal_; }

  // JSON pointer to the value that is being read.
  [[nodiscard]] std::string pointer() const { return pointer(depth_); }
  // The same, to the innermost open array or object.
  [[nodiscard]] std::string container() const { return pointer(depth_ == 0 ? 0 : depth_ - 1); }

  bool on_document_begin(bj::error_code&) { return true; }
  bool on_document_end(bj::error_code&) { return true; }

  bool on_object_begin(bj::error_code&) { return open(false); }
  bool on_object_end(std::size_t n, bj::error_code& ec) {
    if (!keys_differ(ec)) return false;
    stack_.push_object(n);
    return close();
  }
  bool on_array_begin(bj::error_code&) { return open(true); }
  bool on_array_end(std::size_t n, bj::error_code&) {
    stack_.push_array(n);
    return close();
  }

  bool on_key_part(std::string_view part, std::size_t, bj::error_code&) {
    letters_.append(part);
    stack_.push_chars(part);
    return true;
  }
  bool on_key(std::string_view part, std::size_t, bj::error_code&) {
    letters_.append(part);
    stack_.push_key(part);
    keys_.push_back(letters_.size());
    return true;
  }
  bool on_string_part(std::string_view part, std::size_t, bj::error_code&) {
    stack_.push_chars(part);
    return true;
  }
  bool on_string(std::string_view part, std::size_t, bj::error_code&) {
    stack_.push_string(part);
    return done();
  }
  bool on_number_part(std::string_view part, bj::error_code&) {
    number_.append(part);
    return true;
  }
  bool on_int64(std::int64_t value, std::string_view, bj::error_code&) {
    number_.clear();
    stack_.push_int64(value);
    return done();
  }
  bool on_uint64(std::uint64_t value, std::string_view, bj::error_code&) {
    number_.clear();
    stack_.push_uint64(value);
    return done();
  }
  // The library's own conversion is off by a unit in the last place now and then; quantities are
  // checked for exactness, so the text is converted again.
  bool on_double(double, std::string_view part, bj::error_code& ec) {
    number_.append(part);
    double value = 0;
    const char* end = number_.data() + number_.size();
    const bool fits = number_.size() <= kMaxNumber;
    if (!fits || std::from_chars(number_.data(), end, value).ec != std::errc{}) {
      return refuse(ec, "out_of_range", pointer(), "is a number that does not fit in 64 bits.");
    }
    number_.clear();
    stack_.push_double(value);
    return done();
  }
  bool on_bool(bool value, bj::error_code&) {
    stack_.push_bool(value);
    return done();
  }
  bool on_null(bj::error_code&) {
    stack_.push_null();
    return done();
  }
  bool on_comment_part(std::string_view, bj::error_code&) { return true; }
  bool on_comment(std::string_view, bj::error_code&) { return true; }

  bool refuse(bj::error_code& ec, std::string_view code, std::string pointer,
              std::string_view rest) {
    refusal_ = field_error(std::move(pointer), code, rest);
    ec = bj::error::exception;
    return false;
  }

 private:
  struct Frame {
    bool array = false;
    std::size_t items = 0;      // finished elements
    std::size_t first_key = 0;  // of keys_
  };

  bool open(bool array) {
    frames_[depth_++] = Frame{array, 0, keys_.size()};
    return true;
  }
  bool close() {
    const std::size_t first = frames_[--depth_].first_key;
    keys_.resize(first);
    letters_.resize(first == 0 ? 0 : keys_.back());
    return done();
  }
  bool done() {
    if (depth_ > 0) ++frames_[depth_ - 1].items;
    return true;
  }

  [[nodiscard]] std::string_view key(std::size_t i) const {
    const std::size_t begin = i == 0 ? 0 : keys_[i - 1];
    return std::string_view(letters_).substr(begin, keys_[i] - begin);
  }

  // Looks once, when the object ends: sorting keeps a thousand keys cheap.
  bool keys_differ(bj::error_code& ec) {
    const std::size_t first = frames_[depth_ - 1].first_key;
    sorted_.clear();
    for (std::size_t i = first; i < keys_.size(); ++i) sorted_.push_back(key(i));
    std::ranges::sort(sorted_);
    const auto twin = std::ranges::adjacent_find(sorted_);
    if (twin == sorted_.end()) return true;
    std::string at = container();
    append_token(at, *twin);
    return refuse(ec, "duplicate_key", std::move(at), "is given more than once.");
  }

  [[nodiscard]] std::string pointer(std::size_t levels) const {
    std::string out;
    for (std::size_t i = 0; i < levels; ++i) {
      const Frame& frame = frames_[i];
      const std::size_t end = i + 1 < depth_ ? frames_[i + 1].first_key : keys_.size();
      if (frame.array) {
        append_token(out, frame.items);
      } else if (frame.first_key != end) {
        append_token(out, key(end - 1));
      }
    }
    return out;
  }

  unsigned char scratch_[2048];
  bj::value_stack stack_;
  std::array<Frame, kMaxDepth + 1> frames_;
  std::size_t depth_ = 0;
  std::string letters_;            // the keys of all open objects, one after another
  std::vector<std::size_t> keys_;  // where each of them ends in letters_
  std::vector<std::string_view> sorted_;
  std::string number_;
  std::optional<FieldError> refusal_;
};

std::string_view sentence(const bj::error_code& ec) {
  switch (static_cast<bj::error>(ec.value())) {
    case bj::error::extra_data:
      return "there is text after the end of the value";
    case bj::error::incomplete:
      return "the text ends too early";
    case bj::error::too_deep:
      return "values are nested more than 32 levels deep";
    case bj::error::illegal_leading_surrogate:
    case bj::error::illegal_trailing_surrogate:
    case bj::error::expected_utf16_escape:
      return "a \\u escape is half of a surrogate pair";
    case bj::error::expected_hex_digit:
      return "a \\u escape needs four hexadecimal digits";
    default:
      return "this is not JSON";
  }
}

void write_pretty(std::string& out, const Value& value, std::size_t indent) {
  const auto line = [&](std::size_t level) {
    out += '\n';
    out.append(level * 2, ' ');
  };
  if (const bj::array* items = value.if_array(); items && !items->empty()) {
    char separator = '[';
    for (const Value& item : *items) {
      out += separator;
      separator = ',';
      line(indent + 1);
      write_pretty(out, item, indent + 1);
    }
    line(indent);
    out += ']';
  } else if (const bj::object* members = value.if_object(); members && !members->empty()) {
    char separator = '{';
    for (const auto& member : *members) {
      out += separator;
      separator = ',';
      line(indent + 1);
      detail::write_string(out, member.key());
      out += ": ";
      write_pretty(out, member.value(), indent + 1);
    }
    line(indent);
    out += '}';
  } else {
    write(out, value);
  }
}

}  // namespace

Result<Value> parse(std::string_view text) { return parse(text, bj::storage_ptr()); }

Result<Value> parse(std::string_view text, bj::storage_ptr storage) {
  bj::parse_options options;
  options.max_depth = kMaxDepth;
  bj::basic_parser<Builder> parser(options, std::move(storage));
  bj::error_code ec;
  const std::size_t used = parser.write_some(false, text.data(), text.size(), ec);
  if (!ec && used < text.size()) ec = bj::error::extra_data;
  if (!ec) return parser.handler().release();

  Builder& builder = parser.handler();
  if (!builder.refusal()) {
    switch (static_cast<bj::error>(ec.value())) {
      case bj::error::array_too_large:
        builder.refuse(ec, "too_many", builder.container(), "must have at most 10000 items.");
        break;
      case bj::error::object_too_large:
        builder.refuse(ec, "too_many", builder.container(), "must have at most 1000 members.");
        break;
      case bj::error::string_too_large:
        builder.refuse(ec, "too_long", builder.pointer(), "must be at most 65536 bytes long.");
        break;
      case bj::error::key_too_large:
        builder.refuse(ec, "too_long", builder.container(), "has a name longer than 1024 bytes.");
        break;
      case bj::error::exponent_overflow:
        builder.refuse(ec, "out_of_range", builder.pointer(),
                       "is a number that does not fit in 64 bits.");
        break;
      default:
        return fail_field(
            "", "invalid_json",
            fmt::format("Invalid JSON at {}: {}.", position_text(text, used), sentence(ec)));
    }
  }
  const FieldError& at = *builder.refusal();
  return fail_field(at.pointer, at.code, at.message);
}

void write(std::string& out, const Value& value) {
  switch (value.kind()) {
    case bj::kind::null:
      out += "null";
      return;
    case bj::kind::bool_:
      out += value.get_bool() ? "true" : "false";
      return;
    case bj::kind::int64:
      detail::write_integer(out, value.get_int64());
      return;
    case bj::kind::uint64:
      detail::write_integer(out, value.get_uint64());
      return;
    case bj::kind::double_:
      detail::write_double(out, value.get_double());
      return;
    case bj::kind::string:
      detail::write_string(out, value.get_string());
      return;
    case bj::kind::array: {
      out += '[';
      bool first = true;
      for (const Value& item : value.get_array()) {
        if (!std::exchange(first, false)) out += ',';
        write(out, item);
      }
      out += ']';
      return;
    }
    case bj::kind::object: {
      out += '{';
      bool first = true;
      for (const auto& member : value.get_object()) {
        if (!std::exchange(first, false)) out += ',';
        detail::write_string(out, member.key());
        out += ':';
        write(out, member.value());
      }
      out += '}';
      return;
    }
  }
}

std::string to_text(const Value& value) {
  std::string out;
  write(out, value);
  return out;
}

std::string pretty(const Value& value) {
  std::string out;
  write_pretty(out, value, 0);
  return out;
}

}  // namespace berth::json
