// berth: server and command line in one binary.
#include <fmt/format.h>

#include <CLI/CLI.hpp>

#include "app/server.h"

int main(int argc, char** argv) {
  CLI::App app{"berth"};
  app.require_subcommand(1);
  std::string listen = "127.0.0.1:8000", data_dir = berth::app::default_data_dir(), rate = "2000";
  auto* serve = app.add_subcommand("serve", "Run the server");
  serve->add_option("--listen", listen);
  serve->add_option("--data-dir", data_dir);
  serve->add_option("--rate-limit", rate);
  CLI11_PARSE(app, argc, argv);
  berth::app::ServeConfig config;
  if (auto ok = berth::app::set_listen(config, listen); !ok) return fmt::print(stderr, "{}\n", ok.error().message), 2;
  config.data_dir = data_dir;
  config.rate_per_second = rate == "off" ? 0 : std::stoll(rate);
  return berth::app::serve(config);
}
