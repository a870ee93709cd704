#include "app/operator_commands.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <charconv>

#include "app/doctor.h"
#include "app/server.h"
#include "cli/prompt.h"

namespace berth::app {
namespace {

struct Flags {
  std::string listen = "127.0.0.1:8000";
  std::string data_dir = default_data_dir().string();
  std::string rate = "2000";
  std::string registration = "open";
  std::string users = "auto";
  int threads = 0;
  int keep_events_days = 90;
};
using SharedFlags = std::shared_ptr<Flags>;

[[noreturn]] void usage(const std::string& why) { throw cli::Failure{cli::kUsage, why, "", {}}; }

ServeConfig config_of(const Flags& flags) {
  ServeConfig config;
  if (auto ok = set_listen(config, flags.listen); !ok) usage(ok.error().message);
  config.data_dir = flags.data_dir;
  config.threads = flags.threads;
  config.open_registration = flags.registration == "open";
  config.keep_events = std::chrono::days(flags.keep_events_days);
  if (flags.users != "auto") config.separate_users = flags.users == "separate";
  if (flags.rate == "off") {
    config.rate_per_second = 0;
    return config;
  }
  std::int64_t rate = 0;
  const auto [end, ec] =
      std::from_chars(flags.rate.data(), flags.rate.data() + flags.rate.size(), rate);
  if (ec != std::errc{} || end != flags.rate.data() + flags.rate.size() || rate < 1) {
    usage(fmt::format("--rate-limit takes requests per second, or off; '{}' is neither.",
                      flags.rate));
  }
  config.rate_per_second = rate;
  return config;
}

void add_data_dir(CLI::App* command, const SharedFlags& f) {
  command->add_option("--data-dir", f->data_dir, "Where the server keeps everything")
      ->envname("BERTH_DATA_DIR")
      ->capture_default_str();
}

void add_server_flags(CLI::App* command, const SharedFlags& f) {
  add_data_dir(command, f);
  command->add_option("--listen", f->listen, "HOST:PORT")
      ->envname("BERTH_LISTEN")
      ->capture_default_str();
  command->add_option("--rate-limit", f->rate, "Requests per second and caller, or off")
      ->envname("BERTH_RATE_LIMIT")
      ->capture_default_str();
  command
      ->add_option("--registration", f->registration, "open, or invite: only with an invite code")
      ->envname("BERTH_REGISTRATION")
      ->check(CLI::IsMember({"open", "invite"}))
      ->capture_default_str();
  command
      ->add_option("--workload-users", f->users,
                   "separate: each attempt runs as a user of its own (needs root); same; auto: "
                   "separate for root")
      ->envname("BERTH_WORKLOAD_USERS")
      ->check(CLI::IsMember({"auto", "separate", "same"}))
      ->capture_default_str();
  command->add_option("--threads", f->threads, "For requests; 0: one for each core, at most four")
      ->envname("BERTH_THREADS")
      ->check(CLI::Range(0, 64));
  command->add_option("--keep-events", f->keep_events_days, "Days that the history is kept")
      ->envname("BERTH_KEEP_EVENTS")
      ->check(CLI::Range(1, 36500))
      ->capture_default_str();
}

void add_admin(CLI::App& app, cli::Selected& selected, const SharedFlags& f) {
  auto* admin = app.add_subcommand("admin", "On the data directory of a server that is not running")
                    ->require_subcommand(1);
  auto user = std::make_shared<AdminUser>();
  auto file = std::make_shared<std::string>();
  auto* create =
      admin->add_subcommand("create-user", "Create an administrator, or give one a new password");
  add_data_dir(create, f);
  create->add_option("--username,-u", user->username, "Username")->required();
  create->add_option("--email", user->email, "Email address")->required();
  create->add_option("--password-file", *file,
                     "File with the password; - for standard input; asked for when absent");
  create->callback([&selected, f, user, file] {
    selected = [f, user, file] {
      user->password = file->empty() ? cli::ask_secret("Password") : cli::read_secret_file(*file);
      return create_admin(config_of(*f), *user);
    };
  });
}

}  // namespace

void add_operator_commands(CLI::App& app, cli::Global& global, cli::Selected& selected) {
  auto f = std::make_shared<Flags>();
  auto* run = app.add_subcommand(
      "serve", "Run the server: API, scheduler and runtimes in one process, nothing else needed");
  add_server_flags(run, f);
  run->callback([&selected, f] { selected = [f] { return serve(config_of(*f)); }; });
  add_admin(app, selected, f);
  auto* look = app.add_subcommand(
      "doctor", "Check an installation: invariants, and settings that are not fit for production");
  add_server_flags(look, f);
  look->callback([&selected, &global, f] {
    selected = [&global, f] { return doctor(config_of(*f), global); };
  });
}

}  // namespace berth::app
