#include "app/operator_commands.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <charconv>

#include "app/doctor.h"
#include "app/migrations.h"
#include "app/server.h"
#include "cli/prompt.h"

namespace berth::app {
namespace {

struct Flags {
  std::string file;
  std::string database;
  std::string queue = "memory";
  std::string lease = "5s";
  std::string advertise;
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

// "500ms", "5s", "2m".
std::chrono::milliseconds duration_of(const std::string& text) {
  std::int64_t number = 0;
  const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), number);
  const std::string_view unit(end, text.data() + text.size());
  if (ec == std::errc{} && number > 0 && number < 1'000'000) {
    if (unit == "ms") return std::chrono::milliseconds(number);
    if (unit == "s") return std::chrono::seconds(number);
    if (unit == "m") return std::chrono::minutes(number);
  }
  usage(fmt::format("--lease takes a time such as 5s or 1500ms; '{}' is none.", text));
}

ServeConfig config_of(const Flags& flags, ProcessRole role = ProcessRole::serve) {
  ServeConfig config;
  config.role = role;
  config.database = flags.database;
  config.queue = flags.queue;
  config.lease = duration_of(flags.lease);
  config.advertise = flags.advertise;
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

void add_database(CLI::App* command, const SharedFlags& f) {
  command
      ->add_option("--database", f->database,
                   "sqlite:///PATH, or postgresql://USER@HOST/NAME; without it a file of SQLite in "
                   "the data directory")
      ->envname("BERTH_DATABASE");
}

void add_shared_flags(CLI::App* command, const SharedFlags& f) {
  add_database(command, f);
  command
      ->add_option("--queue", f->queue,
                   "memory, redis://HOST:PORT, rediss://HOST:PORT or redis+unix:///PATH")
      ->envname("BERTH_QUEUE")
      ->capture_default_str();
}

void add_listen(CLI::App* command, const SharedFlags& f) {
  command->add_option("--listen", f->listen, "HOST:PORT")
      ->envname("BERTH_LISTEN")
      ->capture_default_str();
  command->add_option("--threads", f->threads, "For requests; 0: one for each core, at most four")
      ->envname("BERTH_THREADS")
      ->check(CLI::Range(0, 64));
}

void add_request_flags(CLI::App* command, const SharedFlags& f) {
  command->add_option("--rate-limit", f->rate, "Requests per second and caller, or off")
      ->envname("BERTH_RATE_LIMIT")
      ->capture_default_str();
  command
      ->add_option("--registration", f->registration, "open, or invite: only with an invite code")
      ->envname("BERTH_REGISTRATION")
      ->check(CLI::IsMember({"open", "invite"}))
      ->capture_default_str();
}

void add_scheduler_flags(CLI::App* command, const SharedFlags& f) {
  add_data_dir(command, f);
  command
      ->add_option("--workload-users", f->users,
                   "separate: each attempt runs as a user of its own (needs root); same; auto: "
                   "separate for root")
      ->envname("BERTH_WORKLOAD_USERS")
      ->check(CLI::IsMember({"auto", "separate", "same"}))
      ->capture_default_str();
  command->add_option("--keep-events", f->keep_events_days, "Days that the history is kept")
      ->envname("BERTH_KEEP_EVENTS")
      ->check(CLI::Range(1, 36500))
      ->capture_default_str();
  command
      ->add_option("--lease", f->lease,
                   "With PostgreSQL: how long a silent scheduler keeps its clusters")
      ->envname("BERTH_LEASE")
      ->capture_default_str();
  command
      ->add_option("--advertise", f->advertise,
                   "With PostgreSQL: HOST:PORT where the API processes reach this one; the address "
                   "of --listen when absent")
      ->envname("BERTH_ADVERTISE");
}

void add_file(CLI::App* command, const SharedFlags& f) {
  command->add_option("--config", f->file,
                      "File with settings, a line each: the flag's name without dashes, =, and the "
                      "value in quotes. Flags and the environment go before it");
}

// What neither a flag nor the environment says, the file may.
void read_file(CLI::App* command, const Flags& flags) {
  if (flags.file.empty()) return;
  std::vector<CLI::ConfigItem> items;
  try {
    items = CLI::ConfigTOML().from_file(flags.file);
  } catch (const CLI::Error& e) {
    usage(fmt::format("--config: cannot read {}: {}", flags.file, e.what()));
  }
  for (const auto& item : items) {
    auto* option = command->get_option_no_throw("--" + item.name);
    if (option == nullptr || item.name == "config" || item.name == "help" || !item.parents.empty())
      usage(fmt::format("{}: there is no setting '{}'.", flags.file, item.fullname()));
    if (option->count() > 0) continue;
    try {
      for (const auto& value : item.inputs) option->add_result(value);
      option->run_callback();
    } catch (const CLI::Error& e) {
      usage(fmt::format("{}: {}", flags.file, e.what()));
    }
  }
}

void add_server_flags(CLI::App* command, const SharedFlags& f) {
  add_shared_flags(command, f);
  add_listen(command, f);
  add_request_flags(command, f);
  add_scheduler_flags(command, f);
  add_file(command, f);
}

void add_create_user(CLI::App* admin, cli::Selected& selected, const SharedFlags& f) {
  auto user = std::make_shared<AdminUser>();
  auto file = std::make_shared<std::string>();
  auto* create =
      admin->add_subcommand("create-user", "Create an administrator, or give one a new password");
  add_data_dir(create, f);
  add_database(create, f);
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

void add_migrate(CLI::App* admin, cli::Global& global, cli::Selected& selected,
                 const SharedFlags& f) {
  auto* migrate =
      admin->add_subcommand("migrate", "The schema of the database")->require_subcommand(1);
  auto* status = migrate->add_subcommand("status", "Which migrations are applied");
  auto* up = migrate->add_subcommand("up", "Apply what is missing");
  for (auto* command : {status, up}) {
    add_data_dir(command, f);
    add_database(command, f);
  }
  status->callback([&selected, &global, f] {
    selected = [&global, f] { return show_migrations(config_of(*f), global); };
  });
  up->callback([&selected, &global, f] {
    selected = [&global, f] { return apply_migrations(config_of(*f), global); };
  });
}

void add_move(CLI::App* admin, cli::Global& global, cli::Selected& selected, const SharedFlags& f) {
  auto target = std::make_shared<std::string>();
  auto* move = admin->add_subcommand(
      "move", "Copy an installation from SQLite to PostgreSQL, and compare both");
  add_data_dir(move, f);
  add_database(move, f);
  move->add_option("--to", *target, "postgresql://USER@HOST/NAME; an empty database")->required();
  move->callback([&selected, &global, f, target] {
    selected = [&global, f, target] { return move_installation(config_of(*f), *target, global); };
  });
}

void add_admin(CLI::App& app, cli::Global& global, cli::Selected& selected, const SharedFlags& f) {
  auto* admin =
      app.add_subcommand("admin",
                         "On the data directory of a server that is not running, or on PostgreSQL")
          ->require_subcommand(1);
  add_create_user(admin, selected, f);
  add_migrate(admin, global, selected, f);
  add_move(admin, global, selected, f);
}

}  // namespace

void add_operator_commands(CLI::App& app, cli::Global& global, cli::Selected& selected) {
  auto f = std::make_shared<Flags>();
  auto* run = app.add_subcommand(
      "serve", "Run the server: API, scheduler and runtimes in one process, nothing else needed");
  add_server_flags(run, f);
  run->callback([&selected, f, run] {
    selected = [f, run] {
      read_file(run, *f);
      return serve(config_of(*f));
    };
  });

  auto* api = app.add_subcommand(
      "api", "Answer requests: one process of an installation over PostgreSQL and Redis");
  add_shared_flags(api, f);
  add_listen(api, f);
  add_request_flags(api, f);
  add_file(api, f);
  api->callback([&selected, f, api] {
    selected = [f, api] {
      read_file(api, *f);
      return serve(config_of(*f, ProcessRole::api));
    };
  });

  auto* scheduler = app.add_subcommand(
      "scheduler", "Decide and run: one process of an installation over PostgreSQL and Redis");
  add_shared_flags(scheduler, f);
  add_listen(scheduler, f);
  add_scheduler_flags(scheduler, f);
  add_file(scheduler, f);
  scheduler->callback([&selected, f, scheduler] {
    selected = [f, scheduler] {
      // Where only other processes ask, nobody has to know the port.
      if (scheduler->count("--listen") == 0) f->listen = "127.0.0.1:0";
      read_file(scheduler, *f);
      return serve(config_of(*f, ProcessRole::scheduler));
    };
  });

  add_admin(app, global, selected, f);
  auto* look = app.add_subcommand(
      "doctor", "Check an installation: invariants, and settings that are not fit for production");
  add_server_flags(look, f);
  auto repair = std::make_shared<bool>(false);
  look->add_flag("--repair", *repair, "Mend what can be mended safely: the queues in Redis");
  look->callback([&selected, &global, f, look, repair] {
    selected = [&global, f, look, repair] {
      read_file(look, *f);
      return doctor(config_of(*f), *repair, global);
    };
  });
}

}  // namespace berth::app
