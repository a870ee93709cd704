// Hostile bytes. Each row is sent on a connection of its own; the server must give exactly the one
// answer, close, and serve the next client.
#include "wire.h"

namespace berth::net {
namespace {

using wire::Raw;
using wire::Server;
using wire::statuses;

struct Row {
  const char* name;
  std::string bytes;
  std::vector<int> answers;  // none: closed without a word
};

std::string get(std::string_view headers) {
  return "GET / HTTP/1.1\r\nHost: a\r\n" + std::string(headers) + "\r\n";
}
std::string line(std::string_view request_line) {
  return std::string(request_line) + "\r\nHost: a\r\n\r\n";
}
std::string post(std::string_view headers, std::string_view body) {
  return "POST / HTTP/1.1\r\nHost: a\r\n" + std::string(headers) + "\r\n" + std::string(body);
}
std::string chunked(std::string_view body) { return post("Transfer-Encoding: chunked\r\n", body); }
std::string many_headers(int n) {
  std::string out;
  for (int i = 0; i < n; ++i) out += "X-" + std::to_string(i) + ": 1\r\n";
  return get(out);
}
constexpr std::string_view smuggled = "GET /admin HTTP/1.1\r\nHost: a\r\n\r\n";

std::vector<Row> hostile() {
  using std::string;
  using namespace std::string_literals;
  return {
      // Lengths that two readers could read in two ways.
      {"both lengths",
       post("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"),
       {400}},
      {"both, other order",
       post("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", "0\r\n\r\n"),
       {400}},
      {"CL.TE smuggling",
       post("Content-Length: 4\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n" + string(smuggled)),
       {400}},
      {"length twice", post("Content-Length: 1\r\nContent-Length: 1\r\n", "x"), {400}},
      {"two lengths", post("Content-Length: 1\r\nContent-Length: 2\r\n", "xy"), {400}},
      {"length list", post("Content-Length: 1, 1\r\n", "x"), {400}},
      {"length comma", post("Content-Length: 1,\r\n", "x"), {400}},
      {"length plus", post("Content-Length: +1\r\n", "x"), {400}},
      {"length minus", post("Content-Length: -1\r\n", "x"), {400}},
      {"length minus zero", post("Content-Length: -0\r\n", ""), {400}},
      {"length hex", post("Content-Length: 0x1\r\n", "x"), {400}},
      {"length letters", post("Content-Length: abc\r\n", "x"), {400}},
      {"length with letter", post("Content-Length: 1a\r\n", "x"), {400}},
      {"length empty", post("Content-Length:\r\n", "x"), {400}},
      {"length blank", post("Content-Length:  \r\n", "x"), {400}},
      {"length with blank", post("Content-Length: 1 0\r\n", "x"), {400}},
      {"length with point", post("Content-Length: 1.0\r\n", "x"), {400}},
      {"length exponent", post("Content-Length: 1e3\r\n", "x"), {400}},
      {"length quoted", post("Content-Length: \"1\"\r\n", "x"), {400}},
      {"length 2^64", post("Content-Length: 18446744073709551616\r\n", "x"), {400}},
      {"length of 40 digits", post("Content-Length: " + string(40, '9') + "\r\n", "x"), {400}},
      {"length with underscore digits", post("Content-Length: 1_0\r\n", "x"), {400}},
      {"length with vertical tab", post("Content-Length: \v1\r\n", "x"), {400}},
      {"length too large", post("Content-Length: 1048577\r\n", ""), {413}},
      {"length 1 GiB", post("Content-Length: 1073741824\r\n", ""), {413}},
      {"length 2^63", post("Content-Length: 9223372036854775808\r\n", ""), {413}},
      // Transfer codings.
      {"coding gzip", post("Transfer-Encoding: gzip\r\n", "x"), {400}},
      {"coding identity", post("Transfer-Encoding: identity\r\n", "x"), {400}},
      {"coding list", post("Transfer-Encoding: gzip, chunked\r\n", "0\r\n\r\n"), {400}},
      {"coding chunked twice", post("Transfer-Encoding: chunked, chunked\r\n", "0\r\n\r\n"), {400}},
      {"coding repeated",
       post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"),
       {400}},
      {"coding repeated, hidden",
       post("Transfer-Encoding: chunked\r\nTransfer-encoding: cow\r\n", "0\r\n\r\n"),
       {400}},
      {"coding xchunked", post("Transfer-Encoding: xchunked\r\n", "0\r\n\r\n"), {400}},
      {"coding with tail", post("Transfer-Encoding: chunked;a=b\r\n", "0\r\n\r\n"), {400}},
      {"coding empty", post("Transfer-Encoding:\r\n", "0\r\n\r\n"), {400}},
      {"coding quoted", post("Transfer-Encoding: \"chunked\"\r\n", "0\r\n\r\n"), {400}},
      {"coding with vertical tab",
       post("Transfer-Encoding: \x0b"
            "chunked\r\n",
            "0\r\n\r\n"),
       {400}},
      {"coding in HTTP/1.0",
       "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
       {400}},
      {"space before coding's colon", post("Transfer-Encoding : chunked\r\n", "0\r\n\r\n"), {400}},
      {"tab before length's colon", post("Content-Length\t: 1\r\n", "x"), {400}},
      {"folded coding", post("Transfer-Encoding:\r\n chunked\r\n", "0\r\n\r\n"), {400}},
      {"coding behind LF", post("X: y\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"), {400}},
      // Chunks.
      {"chunk size hex prefix", chunked("0x1\r\nx\r\n0\r\n\r\n"), {400}},
      {"chunk size plus", chunked("+1\r\nx\r\n0\r\n\r\n"), {400}},
      {"chunk size minus", chunked("-1\r\nx\r\n0\r\n\r\n"), {400}},
      {"chunk size letters", chunked("xyz\r\nx\r\n0\r\n\r\n"), {400}},
      {"chunk size empty", chunked("\r\nx\r\n0\r\n\r\n"), {400}},
      {"chunk size blank before", chunked(" 1\r\nx\r\n0\r\n\r\n"), {400}},
      {"chunk size blank behind", chunked("1 \r\nx\r\n0\r\n\r\n"), {400}},
      {"chunk size with junk", chunked("1g\r\nx\r\n0\r\n\r\n"), {400}},
      {"chunk size 2^64", chunked("10000000000000000\r\nx\r\n0\r\n\r\n"), {400}},
      {"chunk size of zeros without end", chunked(string(5000, '0')), {400}},
      {"chunk size 2^64-1", chunked("ffffffffffffffff\r\nx"), {413}},
      {"chunk too large", chunked("100001\r\n"), {413}},
      {"chunks too large together",
       chunked("80000\r\n" + string(0x80000, 'x') + "\r\n80001\r\n"),
       {413}},
      {"chunk line ends with LF", chunked("1\nx\r\n0\r\n\r\n"), {400}},
      {"chunk line ends with CR", chunked("1\rx\r\n0\r\n\r\n"), {400}},
      {"chunk without CR LF behind", chunked("1\r\nxy\r\n0\r\n\r\n"), {400}},
      {"chunk with LF behind", chunked("1\r\nx\n0\r\n\r\n"), {400}},
      {"chunk shorter than said", chunked("5\r\nx\r\n0\r\n\r\nzzzz"), {400}},
      {"chunk longer than said", chunked("1\r\nxxxx\r\n0\r\n\r\n"), {400}},
      {"chunk extension oversize",
       chunked("1;a=" + string(300, 'b') + "\r\nx\r\n0\r\n\r\n"),
       {400}},
      {"chunk extension endless", chunked("1;a=" + string(9000, 'b')), {400}},
      {"chunk extension with NUL", chunked("1;a=\0\r\nx\r\n0\r\n\r\n"s), {400}},
      {"chunk extension with LF", chunked("1;a\nb\r\nx\r\n0\r\n\r\n"), {400}},
      {"chunk extension without name", chunked("1;\r\nx\r\n0\r\n\r\n"), {400}},
      {"last chunk with junk", chunked("0g\r\n\r\n"), {400}},
      {"last chunk extension oversize", chunked("0;" + string(300, 'a') + "\r\n\r\n"), {400}},
      {"trailer", chunked("0\r\nX: y\r\n\r\n"), {400}},
      {"trailer that frames", chunked("0\r\nContent-Length: 9\r\n\r\n"), {400}},
      {"trailer folded", chunked("0\r\nX: y\r\n z\r\n\r\n"), {400}},
      {"trailer without end", chunked("0\r\nX: " + string(9000, 'y')), {400}},
      {"smuggled behind a bad chunk", chunked("1\r\nx0\r\n\r\n" + string(smuggled)), {400}},
      // Lines.
      {"LF ends the lines", "GET / HTTP/1.1\nHost: a\n\n", {400}},
      {"LF ends one line", "GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n", {400}},
      {"LF ends the head", "GET / HTTP/1.1\r\nHost: a\r\n\n", {400}},
      {"CR ends a line", "GET / HTTP/1.1\r\nHost: a\rX: y\r\n\r\n", {400}},
      {"CR CR LF", "GET / HTTP/1.1\r\nHost: a\r\r\n\r\n", {400}},
      {"CR ends the request line", "GET / HTTP/1.1\rHost: a\r\n\r\n", {400}},
      {"folded with blank", get("X: y\r\n z\r\n"), {400}},
      {"folded with tab", get("X: y\r\n\tz\r\n"), {400}},
      {"folded first header", "GET / HTTP/1.1\r\n Host: a\r\n\r\n", {400}},
      {"blank line of blanks", "GET / HTTP/1.1\r\nHost: a\r\n \r\n\r\n", {400}},
      {"two empty lines first", "\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", {400}},
      {"LF first", "\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", {400}},
      // Header names and values.
      {"blank before colon", get("X : y\r\n"), {400}},
      {"blank inside name", get("X Y: z\r\n"), {400}},
      {"empty name", get(": y\r\n"), {400}},
      {"no colon", get("X\r\n"), {400}},
      {"name with parenthesis", get("X(y): z\r\n"), {400}},
      {"name with slash", get("X/y: z\r\n"), {400}},
      {"name with at", get("X@y: z\r\n"), {400}},
      {"name with quote", get("\"X\": z\r\n"), {400}},
      {"name with NUL", get("X\0: z\r\n"s), {400}},
      {"name with letter above ASCII", get("X\xc3\xa4: z\r\n"), {400}},
      {"name with DEL", get("X\x7f: z\r\n"), {400}},
      {"value with NUL", get("X: a\0b\r\n"s), {400}},
      {"value with escape",
       get("X: a\x1b"
           "b\r\n"),
       {400}},
      {"value with backspace", get("X: a\bb\r\n"), {400}},
      {"value with form feed", get("X: a\fb\r\n"), {400}},
      {"value with DEL", get("X: a\x7f\r\n"), {400}},
      {"value with 0x01", get("X: \x01\r\n"), {400}},
      // Host.
      {"no host", "GET / HTTP/1.1\r\n\r\n", {400}},
      {"host twice", get("Host: a\r\n"), {400}},
      {"two hosts", get("Host: b\r\n"), {400}},
      {"host empty", "GET / HTTP/1.1\r\nHost:\r\n\r\n", {400}},
      {"host list", "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", {400}},
      {"host with blank", "GET / HTTP/1.1\r\nHost: a b\r\n\r\n", {400}},
      {"host with user", "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", {400}},
      {"host with path", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", {400}},
      {"host with query", "GET / HTTP/1.1\r\nHost: a?b\r\n\r\n", {400}},
      {"host twice in HTTP/1.0", "GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n", {400}},
      // Request lines.
      {"version 2.0", line("GET / HTTP/2.0"), {505}},
      {"version 1.2", line("GET / HTTP/1.2"), {505}},
      {"version 0.9", line("GET / HTTP/0.9"), {505}},
      {"version 3.1", line("GET / HTTP/3.1"), {505}},
      {"HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", {505}},
      {"version lower case", line("GET / http/1.1"), {400}},
      {"version short", line("GET / HTTP/1"), {400}},
      {"version long", line("GET / HTTP/1.10"), {400}},
      {"version letters", line("GET / HTTP/a.b"), {400}},
      {"version other protocol", line("GET / ICY/1.1"), {400}},
      {"version with blank behind", line("GET / HTTP/1.1 "), {400}},
      {"HTTP/0.9", "GET /\r\n", {400}},
      {"no target", line("GET HTTP/1.1"), {400}},
      {"only a word", "GET\r\n\r\n", {400}},
      {"two blanks before target", line("GET  / HTTP/1.1"), {400}},
      {"two blanks before version", line("GET /  HTTP/1.1"), {400}},
      {"tab between", line("GET\t/\tHTTP/1.1"), {400}},
      {"blank first", line(" GET / HTTP/1.1"), {400}},
      {"method lower case", line("get / HTTP/1.1"), {400}},
      {"method with colon", line("GE:T / HTTP/1.1"), {400}},
      {"method with NUL", line("G\0T / HTTP/1.1"s), {400}},
      {"method empty", line(" / HTTP/1.1"), {400}},
      {"method too long", line(string(100, 'A') + " / HTTP/1.1"), {400}},
      {"method endless", string(40, 'A'), {400}},
      {"CONNECT", line("CONNECT a:443 HTTP/1.1"), {405}},
      {"TRACE", line("TRACE / HTTP/1.1"), {405}},
      {"asterisk for GET", line("GET * HTTP/1.1"), {400}},
      {"absolute target", line("GET http://a/ HTTP/1.1"), {400}},
      {"absolute target of another host", line("GET http://b/ HTTP/1.1"), {400}},
      {"target without slash", line("GET a HTTP/1.1"), {400}},
      {"target is a question", line("GET ?a HTTP/1.1"), {400}},
      {"target with blank", line("GET /a b HTTP/1.1"), {400}},
      {"target with fragment", line("GET /a#b HTTP/1.1"), {400}},
      {"target with NUL", line("GET /a\0b HTTP/1.1"s), {400}},
      {"target with control", line("GET /a\x01 HTTP/1.1"), {400}},
      {"target with DEL", line("GET /a\x7f HTTP/1.1"), {400}},
      {"target above ASCII", line("GET /\xc3\xa4 HTTP/1.1"), {400}},
      {"target not UTF-8", line("GET /\xff HTTP/1.1"), {400}},
      {"target too long", line("GET /" + string(9000, 'a') + " HTTP/1.1"), {414}},
      {"target endless", "GET /" + string(9000, 'a'), {414}},
      {"target of 64 KiB", line("GET /" + string(65536, 'a') + " HTTP/1.1"), {414}},
      // Sizes.
      {"header of 64 KiB", get("X: " + string(65536, 'a') + "\r\n"), {431}},
      {"header without end", "GET / HTTP/1.1\r\nHost: a\r\nX: " + string(17000, 'a'), {431}},
      {"101 headers", many_headers(100), {431}},
      {"10000 headers", many_headers(10'000), {431}},
      // Other protocols.
      {"TLS",
       string("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 11) + string(64, '\x55'),
       {400}},
      {"TLS, one byte", "\x16", {400}},
      {"SSH", "SSH-2.0-OpenSSH_9.2\r\n", {400}},
      {"Redis", "*1\r\n$4\r\nPING\r\n", {400}},
      {"SOCKS", string("\x05\x01\x00", 3), {400}},
      {"NULs", string(16, '\0'), {400}},
      {"JSON", "{\"a\":1}\r\n\r\n", {400}},
      {"high bytes", string(16, '\xff'), {400}},
      // Expectations.
      {"unknown expectation", post("Expect: 200-ok\r\nContent-Length: 1\r\n", "x"), {417}},
      {"expectation of too much",
       post("Expect: 100-continue\r\nContent-Length: 1073741824\r\n", ""),
       {413}},
      // A good request first: one answer for it, one for the bad one, none for what follows.
      {"bad after good", get("") + line("GET http://a/ HTTP/1.1") + string(smuggled), {200, 400}},
      {"body where none was said", post("Content-Length: 1\r\n", "xGARBAGE\r\n\r\n"), {200, 400}},
      {"smuggled in a refused body", post("Content-Length: 2000000\r\n", smuggled), {413}},
  };
}

std::string good() { return "GET /good HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"; }

TEST(Malformed, EveryRowGetsItsOneAnswerAndTheNextClientIsServed) {
  Server server;
  const auto rows = hostile();
  EXPECT_GE(rows.size(), 150u);
  for (const auto& row : rows) {
    auto raw = server.connect();
    raw.send(row.bytes);
    EXPECT_EQ(statuses(raw.receive_all()), row.answers) << row.name;
    EXPECT_EQ(statuses(server.say(good())), std::vector{200}) << "after " << row.name;
  }
}

// The verdict must not depend on how the network cut the bytes.
TEST(Malformed, ByteByByteTheVerdictIsTheSame) {
  Server server;
  for (const auto& row : hostile()) {
    if (row.bytes.size() > 400) continue;
    auto raw = server.connect();
    for (const char c : row.bytes) {
      if (!raw.send({&c, 1})) break;
    }
    EXPECT_EQ(statuses(raw.receive_all()), row.answers) << row.name;
  }
  EXPECT_EQ(statuses(server.say(good())), std::vector{200});
}

TEST(Malformed, AnEndAtAnyByteIsNoRequest) {
  Server server;
  const std::string request =
      "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc";
  for (std::size_t n = 0; n < request.size(); ++n) {
    EXPECT_EQ(server.say(request.substr(0, n)), "") << n;
  }
  EXPECT_EQ(statuses(server.say(request)), std::vector{200});
  EXPECT_EQ(server.handler.handled, 1);

  const std::string in_chunks =
      "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
      "3;x=y\r\nabc\r\n00\r\n\r\n";
  for (std::size_t n = 0; n < in_chunks.size(); ++n) {
    EXPECT_EQ(server.say(in_chunks.substr(0, n)), "") << n;
  }
  EXPECT_EQ(statuses(server.say(in_chunks)), std::vector{200});
  EXPECT_EQ(server.handler.handled, 2);
}

TEST(Malformed, GoodRequestsOfUnusualShapeAreServed) {
  Server server;
  const std::vector<Row> rows = {
      {"HTTP/1.0", "GET / HTTP/1.0\r\n\r\n", {200}},
      {"empty line first", "\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", {200}},
      {"options asterisk", line("OPTIONS * HTTP/1.1"), {200}},
      {"host with port", "GET / HTTP/1.1\r\nHost: [::1]:8000\r\n\r\n", {200}},
      {"value with high bytes", get("X: \xc3\xa4\r\n"), {200}},
      {"value with tab", get("X:\ta\tb\t\r\n"), {200}},
      {"empty value", get("X:\r\n"), {200}},
      {"99 more headers", many_headers(99), {200}},
      {"length with zeros", post("Content-Length: 0001\r\n", "x"), {200}},
      {"upper case coding", post("transfer-encoding: CHUNKED\r\n", "1\r\nx\r\n0\r\n\r\n"), {200}},
      {"chunk with extension", chunked("1;a=\"b c\";d\r\nx\r\n0\r\n\r\n"), {200}},
      {"chunk size in both cases",
       chunked("A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n"),
       {200}},
      {"chunk size with zeros", chunked("00000000000000001\r\nx\r\n000\r\n\r\n"), {200}},
      {"other method", line("PROPFIND / HTTP/1.1"), {200}},
      {"query of odd characters", line("GET /?a={[|]}\"<> HTTP/1.1"), {200}},
  };
  for (const auto& row : rows) {
    EXPECT_EQ(statuses(server.say(row.bytes)), row.answers) << row.name;
  }
}

}  // namespace
}  // namespace berth::net
