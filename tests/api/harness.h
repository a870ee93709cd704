// A real server in this process, spoken to over a real socket. Every answer, whatever the test is
// about, is held against the conventions of the API and against the server's own description.
#pragma once
#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>

#include "api/route.h"
#include "app/server.h"
#include "installation.h"
#include "net/http_client.h"

namespace berth::test {

namespace js = boost::json;

struct Answer {
  int status = 0;
  net::Headers headers;
  std::string body;
  js::value json;  // null when the body is not JSON

  [[nodiscard]] std::string header(std::string_view name) const {
    return std::string(net::find_header(headers, name));
  }
  // What stands at a JSON pointer; null when nothing does.
  [[nodiscard]] const js::value& at(std::string_view pointer) const;
  [[nodiscard]] std::string text(std::string_view pointer) const;
  [[nodiscard]] std::int64_t number(std::string_view pointer) const;
  [[nodiscard]] bool has(std::string_view pointer) const { return !at(pointer).is_null(); }
  [[nodiscard]] std::string code() const { return text("/code"); }
  // The pointers of errors[], joined by spaces.
  [[nodiscard]] std::string fields() const;
  // One member of every entry of "items", joined by spaces.
  [[nodiscard]] std::string items(std::string_view member) const;
};
std::ostream& operator<<(std::ostream& out, const Answer& answer);

// One JSON value; lines of them (jsonl) are not one.
[[nodiscard]] inline bool is_json_type(std::string_view type) {
  return type.contains("json") && !type.contains("jsonl");
}

struct Ask {
  std::string method = "GET";
  std::string path;
  std::string token = {};
  std::string body = {};
  net::Headers headers = {};
};

struct Person {
  std::string id;
  std::string name;
  std::string token;
  std::string refresh;
};

inline const std::string kPassword = "sturdy harbour 42";

// The server's description, to hold answers against.
class Description {
 public:
  explicit Description(js::value document);
  // Complaints about an answer; empty: as described.
  [[nodiscard]] std::string judge(const std::string& method, std::string_view path,
                                  const Answer& answer) const;
  [[nodiscard]] const js::object& document() const { return document_.as_object(); }

 private:
  [[nodiscard]] const js::object* operation(const std::string& method, std::string_view path) const;
  std::string check(const js::value& value, const js::object& schema, const std::string& at) const;
  js::value document_;
};

class TestServer {
 public:
  static app::ServeConfig quick();  // no limits of rate, no pauses after failures
  explicit TestServer(app::ServeConfig config = quick());

  // Stops it and starts it again on the same data.
  void restart(std::function<void(app::ServeConfig&)> change = {});

  Answer call(const Ask& ask);
  Answer get(const std::string& path, const std::string& token = "", net::Headers headers = {});
  Answer post(const std::string& path, const js::value& body, const std::string& token = "",
              net::Headers headers = {});
  Answer post(const std::string& path, const std::string& token);  // without a body
  Answer patch(const std::string& path, const js::value& body, const std::string& token,
               net::Headers headers = {});
  Answer remove(const std::string& path, const std::string& token, net::Headers headers = {});

  // GET /metrics: of all processes together, as who collects them would add them up.
  Answer metrics(const std::string& token = "");

  // Asks again until it is so, at most 20 s; the last answer.
  Answer until(const std::string& path, const std::string& token,
               const std::function<bool(const Answer&)>& so);
  Answer until_state(const std::string& deployment, const std::string& token,
                     const std::string& state);

  Person person(const std::string& name);
  std::string organization(const std::string& name, const Person& owner);
  // Joins by an invite of the owner.
  void join(const std::string& organization, const Person& owner, const Person& who,
            const std::string& role);
  std::string cluster(const std::string& organization, const std::string& name, const Person& who,
                      const js::value& resources);
  std::string cluster_of_nodes(const std::string& organization, const std::string& name,
                               const Person& who, const js::array& nodes);
  // "extra" is merged into the body.
  Answer submit(const std::string& cluster, const std::string& name, const Person& who,
                const js::object& resources, const js::object& extra = {});

  [[nodiscard]] app::Server& server() { return installation_.first(); }
  [[nodiscard]] std::string setup_token() { return installation_.setup_token(); }
  [[nodiscard]] const Description& description() const { return *description_; }
  [[nodiscard]] std::string url(std::string_view path);
  // The files of the data directory, or of the database's, that hold this text.
  [[nodiscard]] std::string files_with(const std::string& text) const;

 private:
  Installation installation_;
  std::unique_ptr<Description> description_;
};

// Checks what holds for every answer of the API.
void check_conventions(const Ask& ask, const Answer& answer);

// The one server of a test program, and names that no other test has taken.
TestServer& shared_server();
std::string fresh(const std::string& stem);

// An organization of its own with an owner and a cluster; what most tests begin with.
struct Site {
  explicit Site(const js::value& resources = {{"cpu", 8}, {"memory", "32GiB"}, {"gpu", 2}},
                TestServer& s = shared_server());
  TestServer& server;
  Person owner;
  std::string organization;
  std::string cluster;
  Answer submit(const std::string& name, const js::object& resources, const js::object& extra = {});
  [[nodiscard]] std::string id(const std::string& name) const { return ids.at(name); }
  Answer show(const std::string& name);
  std::string state(const std::string& name) { return show(name).text("/state"); }
  void until(const std::string& name, const std::string& state);
  // The names in the queue, in order.
  std::string queue();
  std::map<std::string, std::string> ids;
};

}  // namespace berth::test
