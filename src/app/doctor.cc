#include "app/doctor.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <fstream>

#include "app/databases.h"
#include "app/doctor_shared.h"
#include "app/findings.h"
#include "cli/exit_code.h"
#include "cli/output.h"
#include "scheduler/journal.h"
#include "service/restore.h"
#include "store/sqlite/sqlite_store.h"

namespace berth::app {
namespace {

bool check_data_dir(const ServeConfig& config, Findings& out) {
  struct stat info{};
  const std::string path = std::filesystem::absolute(config.data_dir).string();
  if (stat(path.c_str(), &info) != 0 || !S_ISDIR(info.st_mode)) {
    out.broken("data directory",
               fmt::format("{} does not exist; 'berth serve --data-dir {}' makes it.", path, path));
    return false;
  }
  if ((info.st_mode & 066) != 0) {
    out.broken("data directory",
               fmt::format("Others may read or write {}; run: chmod 700 {}", path, path));
  } else if (info.st_uid != geteuid()) {
    out.warn("data directory", fmt::format("{} belongs to user {}, and you are user {}.", path,
                                           info.st_uid, geteuid()));
  } else {
    out.fine("data directory", path);
  }
  struct statvfs disk{};
  if (statvfs(path.c_str(), &disk) == 0 && disk.f_blocks > 0) {
    const auto percent = 100 * disk.f_bavail / disk.f_blocks;
    const auto free = memory_text(static_cast<std::int64_t>(disk.f_bavail * disk.f_frsize));
    if (percent < 10) {
      out.warn("disk", fmt::format("Only {} ({} %) are free; a full disk refuses every change.",
                                   free, percent));
    } else {
      out.fine("disk", fmt::format("{} free", free));
    }
  }
  return true;
}

void check_server(const ServeConfig& config, Findings& out) {
  const auto file = config.data_dir / "lock";
  const int fd = ::open(file.c_str(), O_RDWR | O_CLOEXEC);
  if (fd < 0) return out.fine("server", "never ran on this data directory");
  const bool free = flock(fd, LOCK_SH | LOCK_NB) == 0;
  ::close(fd);
  std::string pid;
  std::getline(std::ifstream(file) >> std::ws, pid);
  out.fine("server", free ? "not running" : fmt::format("running as process {}", pid));
}

void check_settings(const ServeConfig& config, Findings& out) {
  const bool loopback = config.host == "127.0.0.1" || config.host == "::1";
  if (!loopback) {
    out.warn("listen", fmt::format("{} is reachable from other machines, and Berth speaks plain "
                                   "HTTP: put a proxy with TLS in front and listen on 127.0.0.1.",
                                   config.host));
    if (config.open_registration)
      out.warn("registration",
               "Anybody who reaches the server may register; --registration invite asks for an "
               "invite code.");
  } else {
    out.fine("listen", fmt::format("{}: this machine only", config.host));
  }
  if (config.rate_per_second == 0)
    out.warn("rate limit", "Off: one caller can use up the server; give --rate-limit N.");
  if (geteuid() == 0 && config.process_runtime && !config.separate_users) {
    out.warn("workload users",
             "Commands run as root, like the server; --workload-users separate gives each a user "
             "of its own.");
  }
}

// Decides everything once more that a cluster's record has. Another version may decide otherwise,
// so a difference is no damage.
Result<std::size_t> check_journal(ReadView& view, const Cluster& cluster, Findings& out) {
  constexpr std::size_t kPage = 256;
  journal::Replay replay(journal::Mode::compare);
  for (;;) {
    const auto entries = view.journal(cluster.id, replay.index() + 1, kPage);
    if (!entries) return std::unexpected(entries.error());
    for (const auto& entry : *entries) {
      const auto done = replay.take(entry.index, entry.payload);
      if (done) continue;
      const auto what = fmt::format("cluster {}: {}", cluster.name, done.error().message);
      if (done.error().reason == "diverged") {
        out.warn("record", what + " Either another version has decided it, or the record differs.");
      } else {
        out.broken("record", what);
      }
      return replay.counts().entries;
    }
    if (entries->size() < kPage) return replay.counts().entries;
  }
}

// Loads every cluster into an engine of its own and lets it check itself.
Result<void> check_engines(ReadView& view, Findings& out) {
  auto clusters = view.all_clusters();
  if (!clusters) return std::unexpected(std::move(clusters.error()));
  std::size_t active_count = 0, waiting_count = 0, entry_count = 0;
  for (const auto& cluster : *clusters) {
    const auto replayed = check_journal(view, cluster, out);
    if (!replayed) return std::unexpected(replayed.error());
    entry_count += *replayed;
    ClusterEngine engine = empty_engine(cluster);
    auto active = view.active(cluster.id);
    if (!active) return std::unexpected(std::move(active.error()));
    bool placed = true;
    for (const auto& d : *active) {
      const auto entry = active_entry(cluster, d);
      if (!entry) {
        out.broken("places",
                   fmt::format("{} of cluster {} holds a place on a node that is not there.",
                               d.id.str(), cluster.name));
        placed = false;
        continue;
      }
      engine.restore_active(*entry);
    }
    if (!placed) continue;
    auto rows = view.for_each_waiting(cluster.id, [&](const WaitingRow& row) {
      engine.restore_waiting(queued_entry(row, tenant_of(cluster, row.organization).value_or(0)));
      ++waiting_count;
    });
    if (!rows) return rows;
    active_count += active->size();
    try {
      engine.check();
    } catch (const std::logic_error& e) {
      out.broken("scheduler", fmt::format("cluster {}: {}", cluster.name, e.what()));
    }
  }
  out.fine("clusters", fmt::format("{} clusters, {} deployments active, {} waiting",
                                   clusters->size(), active_count, waiting_count));
  out.fine("record", fmt::format("{} entries of decisions replayed", entry_count));
  return {};
}

Result<void> check_record(ReadView& view, Findings& out) {
  auto damage = view.check_integrity();
  if (!damage) return std::unexpected(std::move(damage.error()));
  for (const auto& what : *damage) out.broken("database", what + "; restore a backup.");
  if (damage->empty()) out.fine("database", "whole");
  auto ledger = view.audit_ledger();
  if (!ledger) return std::unexpected(std::move(ledger.error()));
  for (const auto& f : *ledger) out.broken(f.invariant, f.detail);
  if (ledger->empty())
    out.fine("ledger",
             "free and reserved add up to the capacity on every node and device; every active "
             "attempt has its reservation; the history has no gap");
  auto users = view.count_users();
  if (!users) return std::unexpected(std::move(users.error()));
  if (*users == 0)
    out.warn("set-up",
             "Nobody has set it up yet: use the link that the server printed, or 'berth admin "
             "create-user'.");
  return check_engines(view, out);
}

void check_file(const std::filesystem::path& file, Findings& out) {
  if (!std::filesystem::exists(file)) return out.fine("database", "not there yet");
  Result<void> looked;
  try {
    auto view = sqlite::SqliteStore::open_read_only(file.string());
    looked = view ? check_record(**view, out) : std::unexpected(std::move(view.error()));
  } catch (const std::exception& e) {
    looked = fail(Code::internal, "database", e.what());
  }
  if (!looked) out.broken("database", looked.error().message);
}

void check_shared(const ServeConfig& config, bool repair, Findings& out) {
  Result<void> looked;
  try {
    const auto store = open_store(config);
    {
      auto state = store->open_snapshot();  // engines must see one state
      looked = state ? check_record(**state, out) : std::unexpected(std::move(state.error()));
    }
    auto view = store->open_view();
    if (!view) looked = std::unexpected(std::move(view.error()));
    if (looked) looked = check_processes(config, **view, repair, out);
  } catch (const std::exception& e) {
    looked = fail(Code::internal, "database", e.what());
  }
  if (!looked) out.broken("database", looked.error().message);
}

void print(const std::vector<Finding>& findings, const cli::Global& global) {
  static constexpr std::array kWords{"ok", "WARNING", "BROKEN"};
  boost::json::array rows;
  cli::Table table({"", "CHECK", "FOUND"});
  for (const auto& f : findings) {
    const char* word = kWords.at(static_cast<std::size_t>(f.verdict));
    table.add({word, f.check, f.detail});
    rows.push_back(boost::json::object{{"verdict", f.verdict == Verdict::fine      ? "ok"
                                                   : f.verdict == Verdict::warning ? "warning"
                                                                                   : "broken"},
                                       {"check", f.check},
                                       {"detail", f.detail}});
  }
  cli::print_value(global, boost::json::object{{"findings", std::move(rows)}}, table);
}

}  // namespace

int doctor(const ServeConfig& config, bool repair, const cli::Global& global) {
  if (auto fine = check(config); !fine) {
    fmt::print(stderr, "berth: {}\n", fine.error().message);
    return cli::kUsage;
  }
  Findings out;
  if (is_shared(config)) {
    check_shared(config, repair, out);
  } else if (check_data_dir(config, out)) {
    check_server(config, out);
    check_file(sqlite_file(config), out);
  }
  check_settings(config, out);
  print(out.all, global);
  const auto broken = std::count_if(out.all.begin(), out.all.end(),
                                    [](const Finding& f) { return f.verdict == Verdict::broken; });
  return broken == 0 ? cli::kOk : cli::kUnexpected;
}

}  // namespace berth::app
