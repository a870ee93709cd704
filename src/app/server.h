// THE composition root: the only place that names adapters. Built top to bottom in the order of
// dependence; destroyed in reverse, which is the shutdown sequence.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "app/config.h"
#include "base/result.h"
#include "service/accounts.h"

namespace berth::api {
struct Route;
}

namespace berth::app {

class Server {
 public:
  // Throws std::runtime_error with a sentence when it cannot start.
  explicit Server(ServeConfig config);
  ~Server();

  [[nodiscard]] Result<void> start();
  // Answers what is in flight, then stops. What runs goes on.
  void stop();

  // Without a start: for the command line.
  [[nodiscard]] Result<User> put_admin(const Registration& wish);

  [[nodiscard]] std::uint16_t port() const;
  // Every route that it answers.
  [[nodiscard]] const std::vector<api::Route>& routes() const;
  [[nodiscard]] const ServeConfig& config() const;
  // Where other processes reach it: host:port.
  [[nodiscard]] std::string address() const;
  // Empty for a process without one.
  [[nodiscard]] std::string data_dir() const;
  // Empty once somebody has set it up.
  [[nodiscard]] const std::string& setup_token() const;
  [[nodiscard]] std::string setup_token_file() const;
  // A fresh one, also where several processes would take it from each other; empty: not needed.
  [[nodiscard]] Result<std::string> new_setup_token();
  // With several processes: this one has heard of the history up to this event, and where it
  // decides it has decided.
  [[nodiscard]] bool followed(std::int64_t event) const;

 private:
  Result<void> offer_setup();

  struct Parts;
  std::unique_ptr<Parts> parts_;
};

// `berth serve`: until SIGINT or SIGTERM. The exit code.
int serve(ServeConfig config);

// `berth admin create-user`, on the data directory, when the server is not running.
struct AdminUser {
  std::string username;
  std::string email;
  std::string password;
};
int create_admin(const ServeConfig& config, const AdminUser& user);

}  // namespace berth::app
