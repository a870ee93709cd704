#include "runtime/process/core.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/this_coro.hpp>
#include <filesystem>

#include "base/hash.h"
#include "runtime/process/protocol.h"

namespace berth::process {
namespace {

namespace fs = std::filesystem;

Result<void> make_folder(const std::string& path, bool traversable) {
  std::error_code ec;
  fs::create_directories(path, ec);
  if (::chmod(path.c_str(), traversable ? 0711 : 0700) != 0)
    return system_failure("cannot use " + path);
  return {};
}

// Whether another user gets through every folder above.
bool is_reachable(const fs::path& path) {
  for (fs::path at = path; at != at.root_path(); at = at.parent_path()) {
    struct stat info{};
    if (::stat(at.c_str(), &info) != 0 || (info.st_mode & S_IXOTH) == 0) return false;
  }
  return true;
}

}  // namespace

Task<void> Bell::wait(std::chrono::milliseconds at_most) {
  Timer timer(co_await asio::this_coro::executor, at_most);
  struct Place {
    std::set<Timer*>& all;
    Timer* mine;
    ~Place() { all.erase(mine); }
  };
  const Place place{waiters_, &timer};
  waiters_.insert(&timer);
  boost::system::error_code ec;
  co_await timer.async_wait(asio::redirect_error(use_task, ec));
}

Core::Core(Executor executor, std::shared_ptr<Machine> machine, Options options)
    : executor_(executor),
      machine_(std::move(machine)),
      options_(std::move(options)),
      home_(options_.root + "/" + options_.scope),
      work_base_(home_) {}

void Core::close() {
  closed_ = true;
  listener_ = nullptr;
  for (auto& task : tasks_) task.emit(asio::cancellation_type::terminal);
}

void Core::spawn(Task<void> task) {
  if (closed_) return;
  const auto at = tasks_.emplace(tasks_.end());
  // The handler keeps us alive as long as the task runs.
  asio::co_spawn(executor_, std::move(task),
                 asio::bind_cancellation_slot(
                     at->slot(), [self = shared_from_this(), at](const std::exception_ptr&) {
                       if (!self->closed_) self->tasks_.erase(at);
                     }));
}

AttemptPtr Core::entry(const AttemptKey& key) {
  auto& at = attempts_[key];
  if (!at) {
    at = std::make_shared<Attempt>();
    at->key = at->seen.key = key;
  }
  return at;
}

Task<Core::Turn> Core::take_turn(AttemptKey key) {
  for (;;) {
    const auto attempt = entry(key);
    if (!attempt->busy) co_return Turn(attempt);
    co_await attempt->changed.wait(std::chrono::seconds(1));
  }
}

Result<void> Core::choose_work_base() {
  work_base_ = home_;
  if (!options_.separate_users) return {};
  if (::geteuid() != 0) {
    return fail(Code::unavailable, "not_root",
                "Workloads can have users of their own only when the server runs as root.");
  }
  if (is_reachable(home_)) return {};
  // The data directory lies behind a closed door; the working directories must not.
  const Digest digest = sha256(home_);
  work_base_ = "/var/tmp/berth-" +
               to_hex({reinterpret_cast<const char*>(digest.data()), digest.size()}).substr(0, 12);
  return {};
}

Result<void> Core::open() {
  if (open_) return {};
  if (auto made = make_folder(options_.root, options_.separate_users); !made) return made;
  if (auto made = make_folder(home_, options_.separate_users); !made) return made;
  root_ = Fd(::open(home_.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!root_) return system_failure("cannot open " + home_);
  if (auto chosen = choose_work_base(); !chosen) return chosen;
  cgroups_ = find_cgroups(options_.cgroup_parent, options_.best_level);
  machine_->load();
  open_ = true;
  adopt_all(true);
  return {};
}

void Core::adopt_all(bool first) {
  for (const auto& name : names_in(root_.get())) {
    if (settled_.contains(name)) continue;
    const auto key = parse_key(name);
    if (!key) continue;
    const auto known = attempts_.find(*key);
    if (known != attempts_.end() && (known->second->listed || known->second->busy)) continue;
    adopt(name, *key, first);
  }
}

// Makes of a folder that this object does not know yet what its files say.
void Core::adopt(const std::string& name, const AttemptKey& key, bool first) {
  const auto folder = Folder::open(root_.get(), name);
  if (!folder) return;
  const bool gone = folder->has(protocol::kGone);
  const bool locked =
      folder->locked();  // before the status: the last status comes before the release
  const auto status = folder->status();
  const auto launch = folder->launch();
  if (!launch) {
    if (gone) settled_.insert(name);
    // A start that broke off before anything was written.
    if (first && !gone && !status && !locked) spawn(sweep(key));
    return;
  }
  machine_->hold(*launch);
  const bool over = status ? status->over() : !locked;
  if (gone && over) {  // a stop that broke off before the end
    settled_.insert(name);
    spawn(clean(key));
    return;
  }
  if (!status && !locked) return;  // never started: ensure_running() goes on from here
  const auto attempt = entry(key);
  attempt->launch = *launch;
  if (over) {
    attempt->listed = true;
    settle(attempt, *status);
    return;
  }
  begin(attempt, folder->has(protocol::kReady), Fd());
}

// Takes away a folder in which nothing was ever started, unless somebody starts in it now.
Task<void> Core::sweep(AttemptKey key) {
  const auto self = shared_from_this();
  const Turn turn = co_await take_turn(key);
  const auto folder = Folder::open(root_.get(), key.str());
  if (folder && !folder->launch() && !folder->has(protocol::kGone) && !folder->status()) {
    co_await machine_->remove_tree(attempt_path(key));
  }
  if (!turn.attempt()->listed) attempts_.erase(key);
}

void Core::tell(const AttemptPtr& attempt) {
  attempt->changed.ring();
  // In a turn of its own: the caller of ensure_running gets its answer first.
  asio::post(executor_, [self = shared_from_this(), seen = attempt->seen] {
    if (self->listener_) self->listener_(seen);
  });
}

void Core::settle(const AttemptPtr& attempt, const StatusFile& status) {
  Observation& seen = attempt->seen;
  seen.phase = Phase::exited;
  seen.endpoint.reset();
  seen.exit_code = status.exit_code;
  seen.signal = status.signal;
  seen.out_of_memory = status.out_of_memory;
  seen.run_timeout = status.reason == protocol::kRunTimeout;
  seen.ready_timeout = status.reason == protocol::kReadyTimeout;
  seen.message = status.error;
  // The next attempt may have the port; the user stays taken until its files are gone.
  LaunchFile port_only;
  port_only.port = attempt->launch.port;
  machine_->release(port_only);
}

Task<Result<std::vector<Observation>>> Core::list() {
  const auto self = shared_from_this();
  if (auto opened = open(); !opened) co_return std::unexpected(std::move(opened.error()));
  if (::access(home_.c_str(), R_OK | X_OK) != 0) co_return system_failure("cannot read " + home_);
  adopt_all(false);
  std::vector<Observation> out;
  for (const auto& [key, attempt] : attempts_) {
    if (attempt->listed) out.push_back(attempt->seen);
  }
  co_return out;
}

Task<Result<LogChunk>> Core::logs(AttemptKey key, LogQuery query) {
  const auto self = shared_from_this();
  if (auto opened = open(); !opened) co_return std::unexpected(std::move(opened.error()));
  const auto folder = Folder::open(root_.get(), key.str());
  if (!folder) co_return fail(Code::not_found, "not_found", "No such attempt.");
  const bool locked = folder->locked();
  const auto status = folder->status();
  const bool over = status ? status->over() : !locked && folder->has(protocol::kGone);
  auto chunk = folder->log(query);
  if (!chunk && !status && !folder->has(protocol::kLaunch)) {
    co_return fail(Code::not_found, "not_found", "No such attempt.");
  }
  if (!chunk) chunk = LogChunk{"", 0, 0, true};
  chunk->end = chunk->end && over;
  co_return std::move(*chunk);
}

Task<Result<void>> Core::forget(DeploymentId deployment) {
  const auto self = shared_from_this();
  if (auto opened = open(); !opened) co_return opened;
  for (const auto& name : names_in(root_.get())) {
    const auto key = parse_key(name);
    if (!key || key->deployment != deployment) continue;
    const auto folder = Folder::open(root_.get(), name);
    if (!folder) continue;
    const Turn turn = co_await take_turn(*key);
    const auto status = folder->status();
    if (folder->locked() || (status && !status->over()))
      continue;  // it runs: that is for ensure_gone
    if (folder->has(protocol::kLaunch)) co_await clean(*key);
    co_await machine_->remove_tree(attempt_path(*key));
    settled_.erase(name);
    attempts_.erase(*key);
  }
  co_return Result<void>{};
}

Task<Result<std::vector<NodeCapacity>>> Core::capacity() {
  const auto self = shared_from_this();
  // The GPU library takes its time.
  co_return std::vector{co_await machine_->elsewhere<NodeCapacity>(
      [library = options_.gpu_library] { return host_capacity(library); })};
}

Task<Health> Core::health() {
  const auto self = shared_from_this();
  if (auto opened = open(); !opened) co_return Health{false, opened.error().message, ""};
  Health out{true, "Processes of this machine.", level_text(cgroups_.level)};
  if (cgroups_.level == Level::rlimits) {
    out.message =
        "Processes of this machine. CPU is not limited and memory only for each process: "
        "the server may not make cgroups.";
  }
  co_return out;
}

}  // namespace berth::process
