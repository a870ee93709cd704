// A real PostgreSQL for tests: in a temporary folder, stopped with the test. One server serves many
// tests, each in a database of its own.
#pragma once
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <stdexcept>
#include <string>

#include "store/postgres/link.h"

namespace berth::test {

class PostgresServer {
 public:
  PostgresServer() {
    std::string name = (std::filesystem::temp_directory_path() / "berth-pg-XXXXXX").string();
    if (mkdtemp(name.data()) == nullptr) throw std::runtime_error("no temporary directory");
    folder_ = name;
    start();
  }
  ~PostgresServer() {
    try {
      crash();
    } catch (const std::runtime_error&) {  // a test left it stopped
    }
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
  }
  PostgresServer(const PostgresServer&) = delete;
  PostgresServer& operator=(const PostgresServer&) = delete;

  void start() {
    url_ = call("start " + folder_ + " " + std::to_string(getpid()));
    while (!url_.empty() && url_.back() == '\n') url_.pop_back();
  }
  // As a power cut would, as far as one process can: nobody is told, nothing is written any more.
  void crash() { (void)call("stop " + folder_ + " immediate"); }

  void stop() { (void)call("stop " + folder_); }
  [[nodiscard]] std::string folder() const { return folder_; }

  [[nodiscard]] std::string url() const { return url_; }  // of the database that is there at first
  [[nodiscard]] std::string url_of(const std::string& database) const {
    return "postgresql://berth@/" + database + "?host=" + folder_;
  }
  // What an operator could do with psql.
  std::string run(const std::string& sql, const std::string& database = "berth") const {
    auto link = postgres::Link::open(postgres::Options{url_of(database)}, false);
    if (!link) throw std::runtime_error(link.error().message);
    const auto answer = (*link)->run(sql);
    if (!answer) throw std::runtime_error(answer.error().message);
    return PQntuples(answer->get()) > 0 ? PQgetvalue(answer->get(), 0, 0) : "";
  }
  std::string create_database(const std::string& copied_from = "template1") {
    const std::string name = "t" + std::to_string(++made_);
    run("CREATE DATABASE " + name + " TEMPLATE " + copied_from, "postgres");
    return name;
  }
  void drop_database(const std::string& name) const {
    run("DROP DATABASE " + name + " WITH (FORCE)", "postgres");
  }

 private:
  static std::string call(const std::string& arguments) {
    FILE* pipe = popen((std::string(BERTH_POSTGRES_SCRIPT) + " " + arguments).c_str(), "r");
    if (pipe == nullptr) throw std::runtime_error("no shell");
    std::string out;
    std::array<char, 512> buffer{};
    while (fgets(buffer.data(), buffer.size(), pipe) != nullptr) out += buffer.data();
    if (pclose(pipe) != 0) throw std::runtime_error("postgres.sh " + arguments + " failed");
    return out;
  }

  std::string folder_, url_;
  int made_ = 0;
};

}  // namespace berth::test
