// How Redis is reached: addresses, passwords, users, certificates.
#include <sys/wait.h>

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/write.hpp>
#include <thread>

#include "redis_server.h"

namespace berth::test {
namespace {

namespace asio = boost::asio;

std::uint16_t free_port() {
  asio::io_context context;
  asio::ip::tcp::acceptor acceptor(context, {asio::ip::address_v4::loopback(), 0});
  return acceptor.local_endpoint().port();
}

redis::RedisQueue queue_at(const std::string& url) {
  return redis::RedisQueue(must(redis::parse_redis_url(url)));
}

// Everything that a process does with the queue.
Result<void> use(WorkQueue& queue) {
  QueueNames names;
  const auto pool = names.cluster();
  const auto a = names.entry(Priority::low, 1);
  auto reader = queue.reader("s1");
  if (!reader) return pass(reader.error());
  auto nudges = queue.nudges();
  if (!nudges) return pass(nudges.error());
  if (auto step = queue.rebuild(pool, std::vector{a}, 1); !step) return step;
  if (auto step = queue.publish(std::vector{leaves(2, pool, a.id)}); !step) return step;
  if (auto step = queue.nudge(); !step) return step;
  const auto content = queue.content(pool);
  if (!content) return pass(content.error());
  EXPECT_EQ(*content, (QueueContent{2, {}, {}}));
  EXPECT_EQ(wakes_of(**reader, 1), (std::vector<Wake>{{2, WakeKind::changed, pool}}));
  EXPECT_FALSE(must((*nudges)->wait(milliseconds(0))) && must((*nudges)->wait(milliseconds(20))));
  if (auto known = queue.clusters(); !known) return pass(known.error());
  if (auto marks = queue.marks(std::vector{pool}); !marks) return pass(marks.error());
  if (auto step = queue.forget_readers({}); !step) return step;
  return queue.remove(pool);
}

void expect_unavailable(const Result<void>& result, const std::string& part) {
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, Code::unavailable);
  EXPECT_EQ(result.error().reason, "queue_unavailable");
  EXPECT_NE(result.error().message.find(part), std::string::npos) << result.error().message;
}

TEST(RedisAccess, APasswordAndADatabase) {
  const auto port = std::to_string(free_port());
  RedisServer server("port " + port + "\nbind 127.0.0.1\nrequirepass sesame:&/\n");
  auto right = queue_at("redis://:sesame%3A%26%2F@127.0.0.1:" + port + "/3");
  must(use(right));
  auto wrong = queue_at("redis://:sesam@127.0.0.1:" + port);
  expect_unavailable(use(wrong), "refused the user or the password");
  auto none = queue_at("redis://127.0.0.1:" + port);
  expect_unavailable(use(none), "refused the user or the password");
  auto nowhere = queue_at("redis://:sesame%3A%26%2F@127.0.0.1:" + port + "/99");
  expect_unavailable(use(nowhere), "DB index is out of range");
}

// The line of the documentation, word for word.
constexpr const char* kUser =
    "user berth on >secret resetkeys ~berth:* resetchannels &berth:* -@all +@read +@write "
    "+@connection +@transaction +@pubsub +@scripting -@dangerous +info +config|get\n";

TEST(RedisAccess, TheDocumentedUserSufficesAndReachesNothingElse) {
  RedisServer server(kUser);
  auto options = server.options();
  options.user = "berth";
  options.password = "secret";
  redis::RedisQueue queue(options);
  must(use(queue));
  EXPECT_EQ(must(queue.warnings()), std::vector<std::string>{});

  redis::Connection connection(options);
  redis::Pipeline forbidden;
  forbidden.add({"GET", "others"});
  forbidden.add({"SET", "others", "1"});
  forbidden.add({"PUBLISH", "others", "1"});
  forbidden.add({"FLUSHALL"});
  forbidden.add({"CONFIG", "SET", "maxmemory", "1"});
  forbidden.add({"EVAL", "return redis.call('GET', 'others')", "0"});
  for (const auto& reply : must(connection.exchange(forbidden))) {
    EXPECT_EQ(reply->type, REDIS_REPLY_ERROR);
  }
  options.prefix = "other";
  redis::RedisQueue outside(options);
  expect_unavailable(use(outside), "NOPERM");
}

TEST(RedisAccess, SettingsThatEndangerAreNamed) {
  RedisServer server(
      "maxmemory-policy allkeys-lru\nprotected-mode no\n"
      "user little on >secret ~* &* +@all -config -info\n");
  redis::RedisQueue queue(server.options());
  EXPECT_EQ(must(queue.warnings()),
            (std::vector<std::string>{
                "Redis may throw queues away when memory is short: set maxmemory-policy to "
                "noeviction, it is allkeys-lru.",
                "Redis lets anybody in who reaches it: protected-mode is off and no password is "
                "set."}));
  auto options = server.options();
  options.user = "little";
  options.password = "secret";
  redis::RedisQueue silent(options);
  EXPECT_EQ(must(silent.warnings()),
            (std::vector<std::string>{
                "Redis is version unknown; use 7.0 or newer, at least 6.2.",
                "Redis does not let us read its settings (CONFIG GET): see yourself that "
                "maxmemory-policy is noeviction."}));
}

class RedisTls : public ::testing::Test {
 protected:
  RedisTls() {
    const std::string at = folder.folder();
    const auto made =
        std::system(("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 "
                     "-nodes -days 2 -subj /CN=berth-test "
                     "-addext subjectAltName=DNS:localhost -keyout " +
                     at + "/key.pem -out " + at + "/cert.pem 2>/dev/null")
                        .c_str());
    if (made != 0) throw std::runtime_error("openssl made no certificate");
    server = std::make_unique<RedisServer>(
        "tls-port " + port + "\nbind 127.0.0.1\ntls-auth-clients no\ntls-cert-file " + at +
        "/cert.pem\ntls-key-file " + at + "/key.pem\ntls-ca-cert-file " + at + "/cert.pem\n");
  }
  [[nodiscard]] std::string ca() const { return "?ca=" + folder.folder() + "/cert.pem"; }

  RedisServer folder;  // only for its folder: the certificate must be there before the server
  const std::string port = std::to_string(free_port());
  std::unique_ptr<RedisServer> server;
};

TEST_F(RedisTls, ACertificateThatWeKnowIsAccepted) {
  auto queue = queue_at("rediss://localhost:" + port + "/0" + ca());
  must(use(queue));
  // Waiting in vain breaks nothing, and much fits through.
  auto nudges = must(queue.nudges());
  for (int i = 0; i < 5; ++i) EXPECT_FALSE(must(nudges->wait(milliseconds(5))));
  must(queue.nudge());
  EXPECT_TRUE(must(nudges->wait(milliseconds(10'000))));
  QueueNames names;
  const auto pool = names.cluster();
  std::vector<WaitingEntry> many;
  for (std::uint64_t i = 0; i < 30'000; ++i) many.push_back(names.entry(Priority::high, i));
  must(queue.rebuild(pool, many, 5));
  EXPECT_EQ(must(queue.content(pool)), (QueueContent{5, many, {}}));
}

TEST_F(RedisTls, AllOthersAreRefused) {
  auto unknown = queue_at("rediss://localhost:" + port);
  expect_unavailable(use(unknown), "certificate verify failed");
  auto other_name = queue_at("rediss://127.0.0.1:" + port + "/0" + ca());
  expect_unavailable(use(other_name), "certificate verify failed");
  auto no_file = queue_at("rediss://localhost:" + port + "/0?ca=/nowhere/ca.pem");
  expect_unavailable(use(no_file), "cannot be read");
  auto plain = queue_at("redis://localhost:" + port);
  expect_unavailable(use(plain), "Redis");
}

// What the script promises: no server is left behind by a test that is killed.
TEST(RedisAccess, AServerEndsWithItsOwner) {
  const auto owner = fork();
  if (owner == 0) {
    pause();
    _exit(0);
  }
  RedisServer server("", owner);
  redis::RedisQueue queue(server.options());
  EXPECT_TRUE(queue.nudge());
  kill(owner, SIGKILL);
  waitpid(owner, nullptr, 0);
  const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (queue.nudge() && std::chrono::steady_clock::now() < until) {
    std::this_thread::sleep_for(milliseconds(50));
  }
  EXPECT_FALSE(queue.nudge());
}

TEST(RedisAccess, NobodyAndSomebodyElse) {
  auto nobody = queue_at("redis://127.0.0.1:" + std::to_string(free_port()));
  expect_unavailable(use(nobody), "cannot be reached");
  auto no_socket = queue_at("redis+unix:///nowhere/redis.sock");
  expect_unavailable(use(no_socket), "cannot be reached");
  auto no_host = queue_at("redis://berth-test.invalid");
  expect_unavailable(use(no_host), "");

  asio::io_context context;
  asio::ip::tcp::acceptor acceptor(context, {asio::ip::address_v4::loopback(), 0});
  std::thread web([&] {
    auto peer = acceptor.accept();
    std::string request;
    asio::read_until(peer, asio::dynamic_buffer(request), "\r\n");
    asio::write(peer, asio::buffer(std::string_view("HTTP/1.1 400 Bad Request\r\n\r\n")));
  });
  auto web_server =
      queue_at("redis://127.0.0.1:" + std::to_string(acceptor.local_endpoint().port()));
  const auto answer = web_server.nudge();
  web.join();
  expect_unavailable(answer, "not a Redis");
}

}  // namespace
}  // namespace berth::test
