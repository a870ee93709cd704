// A small model server: handwritten digits over the Open Inference Protocol, version 2.
//
//   PORT=8080 digits-server --weights weights.bin [--host 127.0.0.1]
//
// One thread does everything. A request is at most 4 MiB and has 30 seconds to arrive and leave;
// at most 64 connections are open at once, further ones wait outside. SIGTERM ends it at once.
// train.py says what is in the weights file.
#include <algorithm>
#include <array>
#include <bit>
#include <boost/asio.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http.hpp>
#include <boost/json.hpp>
#include <charconv>
#include <chrono>
#include <cmath>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <expected>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "page.h"

namespace {

namespace asio = boost::asio;
namespace http = boost::beast::http;
namespace json = boost::json;
using asio::ip::tcp;
using boost::system::error_code;
using Clock = std::chrono::steady_clock;
using Request = http::request<http::string_body>;
using Response = http::response<http::string_body>;

constexpr std::size_t kPixels = 64;
constexpr std::size_t kDigits = 10;
constexpr float kPixelMax = 16;
constexpr std::uint64_t kBodyBytesMax = 4 << 20;
constexpr std::size_t kDrainBytesMax = 64 << 20;
constexpr std::size_t kConnectionsMax = 64;
constexpr std::chrono::seconds kRequestTime{30};
constexpr std::chrono::seconds kDrainTime{5};
constexpr std::chrono::milliseconds kAcceptPause{20};
// Two bytes are the least that a pixel takes in a body.
constexpr std::int64_t kImagesMax = kBodyBytesMax / (2 * kPixels);

static_assert(std::endian::native == std::endian::little, "the weights file is little-endian");

class Model {
 public:
  struct Answer {
    std::array<float, kDigits> probabilities;
    std::size_t label;
  };

  // Errors: a sentence for the person who gave the file.
  static std::expected<Model, std::string> load(const char* path) {
    const std::string file(path);
    const std::unique_ptr<std::FILE, int (*)(std::FILE*)> in(std::fopen(path, "rb"), std::fclose);
    if (!in) return std::unexpected("cannot open the weights file " + file);
    const auto read = [&in](auto& to) {
      return std::fread(to.data(), sizeof(to[0]), to.size(), in.get()) == to.size();
    };

    std::array<char, 8> magic{};
    std::array<std::uint32_t, 3> sizes{};
    if (!read(magic) || !read(sizes) ||
        std::string_view(magic.data(), magic.size()) != std::string_view("DIGITS1\0", 8))
      return std::unexpected(file + " is not a weights file of the digits model");
    const auto [inputs, hidden, outputs] = sizes;
    if (inputs != kPixels || outputs != kDigits || hidden == 0 || hidden > kHiddenMax)
      return std::unexpected(file + " is for a network of another shape");

    Model model;
    for (auto [part, count] : {std::pair{&model.hidden_weights_, hidden * inputs},
                               {&model.hidden_biases_, hidden},
                               {&model.output_weights_, outputs * hidden},
                               {&model.output_biases_, outputs}}) {
      part->resize(count);
      // The bound keeps every later sum finite.
      if (!read(*part) ||
          !std::ranges::all_of(*part, [](float w) { return std::abs(w) <= kWeightMax; }))
        return std::unexpected(file + " is cut short or holds numbers that are no weights");
    }
    if (std::fgetc(in.get()) != EOF)
      return std::unexpected(file + " goes on after the last weight");
    return model;
  }

  [[nodiscard]] Answer answer(std::span<const float, kPixels> image) const {
    std::vector<float> hidden = hidden_biases_;
    add_product(hidden_weights_, image, hidden);
    for (float& unit : hidden) unit = std::max(unit, 0.0F);

    std::vector<float> scores = output_biases_;
    add_product(output_weights_, hidden, scores);
    const auto best = std::ranges::max_element(scores);

    Answer out{.probabilities = {}, .label = static_cast<std::size_t>(best - scores.begin())};
    float sum = 0;
    for (std::size_t i = 0; i < kDigits; ++i)
      sum += out.probabilities[i] = std::exp(scores[i] - *best);
    for (float& p : out.probabilities) p /= sum;
    return out;
  }

 private:
  static constexpr std::uint32_t kHiddenMax = 4096;
  static constexpr float kWeightMax = 1e6F;

  Model() = default;

  // to += weights * from; weights are stored row by row, a row for each element of `to`.
  static void add_product(std::span<const float> weights, std::span<const float> from,
                          std::span<float> to) {
    for (std::size_t row = 0; row < to.size(); ++row)
      for (std::size_t i = 0; i < from.size(); ++i)
        to[row] += weights[row * from.size() + i] * from[i];
  }

  std::vector<float> hidden_weights_, hidden_biases_, output_weights_, output_biases_;
};

// Why a request is refused: the sentence for its sender.
using Refusal = std::unexpected<std::string>;

void append_number(std::string& to, float number) {
  std::array<char, 32> text{};
  to.append(text.data(), std::to_chars(text.begin(), text.end(), number).ptr);
}

struct Wish {
  std::optional<std::string> id;
  std::vector<float> pixels;                // of all images, one after the other
  bool probabilities = true, label = true;  // the outputs to send

  [[nodiscard]] std::size_t images() const { return pixels.size() / kPixels; }
};

// Appends the numbers of `from` and says whether all of them are pixels.
bool append_pixels(const json::array& from, std::vector<float>& to) {
  return std::ranges::all_of(from, [&to](const json::value& value) {
    error_code failed;
    const auto number = value.to_number<double>(failed);
    if (failed || !(number >= 0 && number <= kPixelMax)) return false;  // not a number included
    to.push_back(static_cast<float>(number));
    return true;
  });
}

// The number of images that "shape" announces.
std::expected<std::int64_t, std::string> decode_shape(const json::value* shape) {
  const auto bad = Refusal("\"shape\" of the input must be [n, 64]");
  if (!shape || !shape->is_array() || shape->get_array().size() != 2) return bad;
  error_code failed_images, failed_pixels;
  const auto images = shape->get_array()[0].to_number<std::int64_t>(failed_images);
  const auto pixels = shape->get_array()[1].to_number<std::int64_t>(failed_pixels);
  if (failed_images || failed_pixels || pixels != kPixels || images < 1) return bad;
  if (images > kImagesMax)
    return Refusal("a request can carry at most " + std::to_string(kImagesMax) + " images");
  return images;
}

// Fills `to` with n x 64 pixels, written flat or as n arrays of 64.
std::expected<void, std::string> decode_pixels(const json::object& input, std::vector<float>& to) {
  const auto images = decode_shape(input.if_contains("shape"));
  if (!images) return Refusal(images.error());
  const auto rows = static_cast<std::size_t>(*images);
  const auto* data = input.if_contains("data");
  if (!data || !data->is_array()) return Refusal("\"data\" of the input must be an array");

  const auto bad_number = Refusal("a pixel must be a number between 0 and 16");
  const json::array& list = data->get_array();
  if (list.empty() || !list.front().is_array()) {
    if (list.size() != rows * kPixels)
      return Refusal("\"data\" has " + std::to_string(list.size()) +
                     " numbers, \"shape\" asks for " + std::to_string(rows * kPixels));
    to.reserve(list.size());
    if (!append_pixels(list, to)) return bad_number;
    return {};
  }
  if (list.size() != rows)
    return Refusal("\"data\" has " + std::to_string(list.size()) + " rows, \"shape\" asks for " +
                   std::to_string(rows));
  to.reserve(rows * kPixels);
  for (const json::value& row : list) {
    if (!row.is_array() || row.get_array().size() != kPixels)
      return Refusal("a row of \"data\" must have 64 numbers");
    if (!append_pixels(row.get_array(), to)) return bad_number;
  }
  return {};
}

std::expected<void, std::string> decode_outputs(const json::value& outputs, Wish& wish) {
  const auto bad =
      Refusal("\"outputs\" must be a list of {\"name\": \"probabilities\" or \"label\"}");
  if (!outputs.is_array()) return bad;
  if (outputs.get_array().empty()) return {};
  wish.probabilities = wish.label = false;
  for (const json::value& output : outputs.get_array()) {
    const json::object* object = output.if_object();
    const json::value* name = object ? object->if_contains("name") : nullptr;
    if (!name || !name->is_string()) return bad;
    if (name->get_string() == "probabilities")
      wish.probabilities = true;
    else if (name->get_string() == "label")
      wish.label = true;
    else
      return bad;
  }
  return {};
}

std::expected<Wish, std::string> decode(std::string_view body) {
  error_code failed;
  const json::value document = json::parse(body, failed);
  if (failed) return Refusal("the body is not JSON: " + failed.message());
  if (!document.is_object()) return Refusal("the body must be a JSON object");
  const json::object& request = document.get_object();

  Wish wish;
  if (const auto* id = request.if_contains("id")) {
    if (!id->is_string()) return Refusal("\"id\" must be a string");
    wish.id = std::string(id->get_string());
  }
  const auto* inputs = request.if_contains("inputs");
  if (!inputs || !inputs->is_array() || inputs->get_array().size() != 1 ||
      !inputs->get_array()[0].is_object())
    return Refusal("\"inputs\" must be a list of one input, named \"image\"");
  const json::object& input = inputs->get_array()[0].get_object();
  const auto says = [&input](std::string_view field, std::string_view text) {
    const auto* value = input.if_contains(field);
    return value && value->is_string() && value->get_string() == text;
  };
  if (!says("name", "image")) return Refusal("the name of the input must be \"image\"");
  if (!says("datatype", "FP32")) return Refusal("\"datatype\" of the input must be \"FP32\"");
  if (auto done = decode_pixels(input, wish.pixels); !done) return Refusal(done.error());
  if (const auto* outputs = request.if_contains("outputs"))
    if (auto done = decode_outputs(*outputs, wish); !done) return Refusal(done.error());
  return wish;
}

std::string encode(const Wish& wish, const Model& model) {
  std::string probabilities, labels;
  const std::span<const float> pixels = wish.pixels;
  for (std::size_t image = 0; image < wish.images(); ++image) {
    const auto answer = model.answer(pixels.subspan(image * kPixels).first<kPixels>());
    if (image != 0) labels += ',';
    labels += std::to_string(answer.label);
    for (float p : answer.probabilities) {
      if (!probabilities.empty()) probabilities += ',';
      append_number(probabilities, p);
    }
  }
  const std::string count = std::to_string(wish.images());
  std::string out = R"({"model_name":"digits","model_version":"1")";
  if (wish.id) out += R"(,"id":)" + json::serialize(json::string_view(*wish.id));
  out += R"(,"outputs":[)";
  if (wish.probabilities)
    out += R"({"name":"probabilities","datatype":"FP32","shape":[)" + count + R"(,10],"data":[)" +
           probabilities + "]}";
  if (wish.probabilities && wish.label) out += ',';
  if (wish.label)
    out +=
        R"({"name":"label","datatype":"INT64","shape":[)" + count + R"(],"data":[)" + labels + "]}";
  return out + "]}";
}

Response reply(http::status status, std::string body, const char* type = "application/json") {
  Response out{status, 11};
  out.set(http::field::content_type, type);
  out.set("X-Content-Type-Options", "nosniff");
  out.body() = std::move(body);
  return out;
}

Response refuse(http::status status, std::string_view sentence) {
  return reply(status, R"({"error":)" + json::serialize(json::string_view(sentence)) + "}");
}

struct Route {
  std::string_view path;
  std::string_view answer;  // empty: the route is not a plain JSON document
};
constexpr std::string_view kPagePath = "/";
constexpr std::string_view kInferPath = "/v2/models/digits/infer";
constexpr std::array kRoutes{
    Route{kPagePath, {}},
    Route{kInferPath, {}},
    Route{"/v2/health/live", R"({"live":true})"},
    Route{"/v2/health/ready", R"({"ready":true})"},
    Route{"/v2", R"({"name":"digits-server","version":"1","extensions":[]})"},
    Route{"/v2/models/digits/ready", R"({"name":"digits","ready":true})"},
    Route{"/v2/models/digits",
          R"({"name":"digits","versions":["1"],"platform":"digits-server",)"
          R"("inputs":[{"name":"image","datatype":"FP32","shape":[-1,64]}],)"
          R"("outputs":[{"name":"probabilities","datatype":"FP32","shape":[-1,10]},)"
          R"({"name":"label","datatype":"INT64","shape":[-1]}]})"},
};

// "/v2/models/digits/versions/1/infer?x=1" is "/v2/models/digits/infer".
std::string path_of(std::string_view target) {
  std::string path(target.substr(0, target.find('?')));
  constexpr std::string_view model = "/v2/models/digits", version = "/versions/1";
  if (path.starts_with(model)) {
    const std::string_view rest = std::string_view(path).substr(model.size());
    if (rest == version || rest.starts_with("/versions/1/"))
      path.erase(model.size(), version.size());
  }
  return path;
}

Response answer(const Request& request, const Model& model) {
  const std::string path = path_of(request.target());
  const auto route = std::ranges::find(kRoutes, path, &Route::path);
  if (route == kRoutes.end())
    return refuse(http::status::not_found, "there is nothing at this path");

  const bool infer = route->path == kInferPath;
  const auto method = request.method();
  if (infer ? method != http::verb::post
            : method != http::verb::get && method != http::verb::head) {
    Response out = refuse(http::status::method_not_allowed,
                          infer ? "this path takes POST only" : "this path takes GET only");
    out.set(http::field::allow, infer ? "POST" : "GET, HEAD");
    return out;
  }
  if (infer) {
    const auto wish = decode(request.body());
    if (!wish) return refuse(http::status::bad_request, wish.error());
    return reply(http::status::ok, encode(*wish, model));
  }
  if (route->path == kPagePath) {
    Response out = reply(http::status::ok, std::string(kPage), "text/html; charset=utf-8");
    out.set("Content-Security-Policy",
            "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
            "connect-src 'self'");
    return out;
  }
  return reply(http::status::ok, std::string(route->answer));
}

void log(const Request& request, unsigned status, Clock::time_point since) {
  std::string target(std::string_view(request.target()).substr(0, 200));
  std::ranges::replace_if(target, [](char c) { return c <= ' ' || c > '~'; }, '?');
  const std::string method(std::string_view(request.method_string()).substr(0, 20));
  const std::chrono::duration<double, std::milli> took = Clock::now() - since;
  std::printf("%s %s %u %.2f\n", method.empty() ? "-" : method.c_str(),
              target.empty() ? "-" : target.c_str(), status, took.count());
  std::fflush(stdout);
}

// What the connections share. It outlives all of them.
struct Server {
  const Model& model;
  std::size_t connections = 0;
};

// Counts one connection for as long as it lives.
class Place {
 public:
  explicit Place(Server& server) : server_(server) { ++server_.connections; }
  ~Place() { --server_.connections; }
  Place(const Place&) = delete;
  Place& operator=(const Place&) = delete;

 private:
  Server& server_;
};

constexpr auto kQuietly = asio::as_tuple(asio::use_awaitable);

// Sends a last answer to somebody who may still be writing: closing at once would throw it away.
asio::awaitable<void> send_last(boost::beast::tcp_stream& stream, Response response) {
  response.keep_alive(false);
  response.prepare_payload();
  stream.expires_after(kDrainTime);
  auto [failed, sent] = co_await http::async_write(stream, response, kQuietly);
  if (failed) co_return;
  error_code ignored;
  stream.socket().shutdown(tcp::socket::shutdown_send, ignored);
  std::array<char, 16384> unread;
  for (std::size_t drained = 0; drained < kDrainBytesMax;) {
    auto [ended, count] = co_await stream.async_read_some(asio::buffer(unread), kQuietly);
    if (ended) co_return;
    drained += count;
  }
}

// Reads the rest of a request. Says 100 first to those who wait for it.
asio::awaitable<error_code> read_request(boost::beast::tcp_stream& stream,
                                         boost::beast::flat_buffer& buffer,
                                         http::request_parser<http::string_body>& parser) {
  auto [bad_header, header_bytes] =
      co_await http::async_read_header(stream, buffer, parser, kQuietly);
  if (bad_header) co_return bad_header;
  if (boost::beast::iequals(parser.get()[http::field::expect], "100-continue")) {
    http::response<http::empty_body> go_on{http::status::continue_, 11};
    auto [not_sent, sent_bytes] = co_await http::async_write(stream, go_on, kQuietly);
    if (not_sent) co_return not_sent;
  }
  auto [bad_body, body_bytes] = co_await http::async_read(stream, buffer, parser, kQuietly);
  co_return bad_body;
}

asio::awaitable<void> serve(boost::beast::tcp_stream stream, Server& server) {
  const Place place(server);
  error_code ignored;
  stream.socket().set_option(tcp::no_delay(true), ignored);
  boost::beast::flat_buffer buffer(64 << 10);
  for (;;) {
    http::request_parser<http::string_body> parser;
    parser.body_limit(kBodyBytesMax);
    stream.expires_after(kRequestTime);
    const error_code failed = co_await read_request(stream, buffer, parser);
    const auto since = Clock::now();
    const Request& request = parser.get();
    if (failed) {
      // Only what the parser found wrong deserves an answer; the rest is a connection that ended.
      const bool http_error =
          failed.category() == make_error_code(http::error::body_limit).category();
      if (!http_error || failed == http::error::end_of_stream ||
          failed == http::error::partial_message)
        co_return;
      Response response =
          failed == http::error::body_limit
              ? refuse(http::status::payload_too_large, "the body is larger than 4 MiB")
              : refuse(http::status::bad_request,
                       "this is not an HTTP request: " + failed.message());
      log(request, response.result_int(), since);
      co_await send_last(stream, std::move(response));
      co_return;
    }
    Response response = answer(request, server.model);
    response.keep_alive(request.keep_alive());
    response.prepare_payload();
    if (request.method() == http::verb::head) response.body().clear();
    const bool last = !response.keep_alive();
    auto [not_sent, sent_bytes] = co_await http::async_write(stream, response, kQuietly);
    if (not_sent) co_return;
    log(request, response.result_int(), since);
    if (last) co_return;
  }
}

asio::awaitable<void> accept(tcp::acceptor& acceptor, Server& server) {
  asio::steady_timer pause(acceptor.get_executor());
  for (;;) {
    auto [failed, socket] = co_await acceptor.async_accept(kQuietly);
    if (failed) {  // out of descriptors, or the other side left already
      pause.expires_after(kAcceptPause);
      co_await pause.async_wait(kQuietly);
      continue;
    }
    // A connection that runs out of memory ends alone.
    asio::co_spawn(acceptor.get_executor(),
                   serve(boost::beast::tcp_stream(std::move(socket)), server),
                   [](std::exception_ptr) {});
    while (server.connections >= kConnectionsMax) {
      pause.expires_after(kAcceptPause);
      co_await pause.async_wait(kQuietly);
    }
  }
}

int fail(const std::string& sentence) {
  std::fprintf(stderr, "digits-server: %s\n", sentence.c_str());
  return 2;
}

int run(std::span<char*> arguments) {
  const char* weights = nullptr;
  std::string host = "127.0.0.1";
  for (std::size_t i = 1; i < arguments.size(); i += 2) {
    const std::string_view name = arguments[i];
    if (i + 1 == arguments.size() || (name != "--weights" && name != "--host"))
      return fail("usage: PORT=8080 digits-server --weights FILE [--host 127.0.0.1]");
    if (name == "--weights") weights = arguments[i + 1];
    if (name == "--host") host = arguments[i + 1];
  }
  if (!weights) return fail("say where the weights are: --weights FILE");

  const char* port_text = std::getenv("PORT");
  if (!port_text) return fail("PORT is not set: it says where to listen, 0 for any free port");
  std::uint16_t port = 0;
  const char* port_end = port_text + std::strlen(port_text);
  if (const auto [end, bad] = std::from_chars(port_text, port_end, port);
      bad != std::errc{} || end != port_end)
    return fail("PORT must be a number between 0 and 65535");

  error_code failed;
  const auto address = asio::ip::make_address(host, failed);
  if (failed) return fail("--host must be an IP address");
  const auto model = Model::load(weights);
  if (!model) return fail(model.error());

  Server server{.model = *model};
  asio::io_context io(1);
  tcp::acceptor acceptor(io);
  const tcp::endpoint endpoint(address, port);
  acceptor.open(endpoint.protocol());
  acceptor.set_option(tcp::acceptor::reuse_address(true));
  acceptor.bind(endpoint, failed);
  if (failed)
    return fail("cannot listen on " + host + " port " + port_text + ": " + failed.message());
  acceptor.listen();

  std::signal(SIGPIPE, SIG_IGN);  // a reader of our log may leave
  asio::signal_set stop(io, SIGTERM, SIGINT);
  stop.async_wait([&io](error_code, int) { io.stop(); });
  asio::co_spawn(io, accept(acceptor, server), asio::detached);
  std::printf("listening on http://%s:%u\n",
              address.is_v6() ? ("[" + host + "]").c_str() : host.c_str(),
              acceptor.local_endpoint().port());
  std::fflush(stdout);
  io.run();
  return 0;
}

}  // namespace

int main(int count, char** arguments) {
  try {
    return run({arguments, static_cast<std::size_t>(count)});
  } catch (const std::exception& error) {
    return fail(error.what());
  }
}
