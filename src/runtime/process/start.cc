// Starting an attempt: at most once, whatever is interrupted.
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runtime/process/core.h"
#include "runtime/process/environment.h"
#include "runtime/process/protocol.h"

namespace berth::process {
namespace {

constexpr std::chrono::seconds kReportPatience{30};
constexpr std::chrono::milliseconds kLook{5};

std::unexpected<Error> refuse(std::string reason, std::string message) {
  return fail(Code::invalid_argument, std::move(reason), std::move(message));
}

bool has_nul(const std::string& text) { return text.find('\0') != std::string::npos; }

Result<void> check(const Launch& launch) {
  const DeploymentSpec& spec = launch.spec;
  if (spec.command.empty() || spec.command.front().empty()) {
    return refuse("no_command", "A process needs a command: the program and its arguments.");
  }
  if (!spec.image.empty()) {
    return refuse("no_images", "A cluster of processes runs commands of its machine, not images.");
  }
  bool bad = std::ranges::any_of(spec.command, has_nul) || has_nul(launch.name);
  for (const auto& [name, value] : spec.env) {
    bad = bad || has_nul(name) || has_nul(value) || name.empty() || name.contains('=');
  }
  if (bad) return refuse("invalid_text", "Command and environment cannot hold NUL bytes.");
  return {};
}

// "word sentence"
std::pair<std::string, std::string> split_report(const std::string& line) {
  const auto blank = line.find(' ');
  if (blank == std::string::npos) return {line, ""};
  return {line.substr(0, blank), line.substr(blank + 1)};
}

}  // namespace

Task<Result<void>> Core::ensure_running(Launch launch) {
  const auto self = shared_from_this();
  if (auto fine = check(launch); !fine) co_return fine;
  if (auto opened = open(); !opened) co_return opened;
  const Turn turn = co_await take_turn(launch.key);
  for (int tries = 0; tries < 3; ++tries) {
    auto done = co_await try_start(turn.attempt(), launch);
    if (!done) {
      if (!turn.attempt()->listed) attempts_.erase(launch.key);
      co_return std::unexpected(std::move(done.error()));
    }
    if (*done) co_return Result<void>{};
  }
  co_return fail(Code::unavailable, "start_unclear",
                 "Another supervisor keeps this attempt's start busy.");
}

// True: it exists. False: look again, as somebody else was at it.
Task<Result<bool>> Core::try_start(AttemptPtr attempt, const Launch& launch) {
  const std::string name = launch.key.str();
  auto folder = Folder::create(root_.get(), name, options_.separate_users);
  if (!folder) co_return std::unexpected(std::move(folder.error()));
  if (folder->has(protocol::kGone))
    co_return refuse("attempt_over", fmt::format("Attempt {} is over.", name));
  // A supervisor that a server before us has started, and that has not come to its first status
  // yet.
  for (int looks = 0; looks < 1000 && folder->locked() && !folder->status(); ++looks)
    co_await pause(kLook);
  if (const auto status = folder->status()) {
    if (status->state == StatusFile::State::refused) {
      co_await discard(attempt, folder->launch().value_or(LaunchFile{}));
      co_return refuse("cannot_run", status->error);
    }
    if (!attempt->listed) adopt(name, launch.key, false);
    co_return true;
  }
  auto file = prepare(launch, *folder);
  if (!file) {
    co_await discard(attempt, LaunchFile{});
    co_return std::unexpected(std::move(file.error()));
  }
  const auto program = machine_->supervisor();
  if (!program) co_return std::unexpected(program.error());
  auto spawned = spawn_supervisor(*program, name, *folder);
  if (!spawned) co_return std::unexpected(std::move(spawned.error()));
  const std::string report = co_await read_report(std::move(spawned->report), kReportPatience);
  const auto [word, sentence] = split_report(report);
  if (word == protocol::kOk) {
    attempt->launch = std::move(*file);
    begin(attempt, false, std::move(spawned->process));
    co_return true;
  }
  if (!word.empty()) co_await wait_ended(std::move(spawned->process));
  if (word == protocol::kBusy || word == protocol::kOver) co_return false;
  if (word == protocol::kRefused) {
    co_await discard(attempt, std::move(*file));
    co_return refuse("cannot_run", sentence);
  }
  if (word == protocol::kFailed) co_await discard(attempt, std::move(*file));
  co_return fail(Code::unavailable, "cannot_start",
                 sentence.empty() ? "The supervisor did not report."
                                  : fmt::format("It could not be started: {}.", sentence));
}

// The launch record, kept from an interrupted start if there is one: a supervisor of that start may
// still be on its way, and both must find the same.
Result<LaunchFile> Core::prepare(const Launch& launch, const Folder& folder) {
  if (auto old = folder.launch()) {
    machine_->hold(*old);
    return std::move(*old);
  }
  auto file = compose(launch);
  if (!file) return file;
  if (auto made = make_places(*file, launch.key); !made)
    return std::unexpected(std::move(made.error()));
  if (auto made = folder.make_control(); !made) return std::unexpected(std::move(made.error()));
  if (auto written = folder.write(protocol::kLaunch, to_text(*file)); !written) {
    machine_->release(*file);
    return std::unexpected(std::move(written.error()));
  }
  return file;
}

Result<LaunchFile> Core::compose(const Launch& launch) {
  const std::size_t seed = std::hash<DeploymentId>{}(launch.key.deployment) +
                           static_cast<std::size_t>(launch.key.number) +
                           static_cast<std::size_t>(launch.key.replica) * 67;
  LaunchFile out;
  out.arguments = launch.spec.command;
  out.work = work_path(launch.key) + "/work";
  out.run_ms = launch.spec.max_run_time.value_or(std::chrono::milliseconds(0)).count();
  out.grace_ms = launch.spec.stop_grace.count();
  out.log_bytes = options_.log_bytes;
  out.ready_path = launch.spec.readiness.path;
  out.ready_ms = std::chrono::milliseconds(launch.spec.readiness.timeout).count();
  out.marks = marks_of(launch.key);
  if (options_.separate_users) {
    const auto uid = machine_->claim_uid(seed);
    if (!uid) return std::unexpected(uid.error());
    out.uid = *uid;
  }
  if (launch.spec.port) {
    const auto port = machine_->claim_port(launch.spec.port, seed);
    if (!port) {
      machine_->release(out);
      return std::unexpected(port.error());
    }
    out.port = *port;
  }
  out.environment = environment_for(launch, {out.work, work_path(launch.key) + "/tmp", out.port});
  Limits limits = limits_for(cgroups_, launch.key.str(), launch.grant.resources, options_.processes,
                             options_.separate_users);
  out.cgroups = std::move(limits.cgroups);
  out.settings = std::move(limits.settings);
  out.wishes = std::move(limits.wishes);
  out.rlimits = std::move(limits.rlimits);
  out.kill_file = std::move(limits.kill_file);
  out.oom_file = std::move(limits.oom_file);
  out.pids_file = std::move(limits.pids_file);
  return out;
}

// Working directory and private temporary directory, owned by the workload's user.
Result<void> Core::make_places(const LaunchFile& file, const AttemptKey& key) {
  const std::string base = work_path(key);
  if (work_base_ != home_) {
    // In a folder where anybody may make folders: what is there must be ours.
    for (const std::string& folder : {work_base_, base}) {
      struct stat info{};
      if (::mkdir(folder.c_str(), 0711) != 0 && errno != EEXIST)
        return system_failure("cannot make " + folder);
      const bool ours = ::lstat(folder.c_str(), &info) == 0 && S_ISDIR(info.st_mode) &&
                        info.st_uid == ::geteuid() && (info.st_mode & 022) == 0;
      if (!ours)
        return fail(Code::unavailable, "not_ours",
                    fmt::format("{} is not a folder of this server.", folder));
      if (::chmod(folder.c_str(), 0711) != 0) return system_failure("cannot use " + folder);
    }
  }
  if (auto made = make_private_folder(base + "/work", file.uid); !made) return made;
  return make_private_folder(base + "/tmp", file.uid);
}

// Nothing of it has ever run, and nothing of it stays.
Task<void> Core::discard(AttemptPtr attempt, LaunchFile file) {
  if (work_base_ != home_) {
    co_await machine_->remove_tree(work_path(attempt->key));
    ::rmdir(work_base_.c_str());
  }
  co_await machine_->remove_tree(attempt_path(attempt->key));
  machine_->release(file);
  attempt->listed = false;  // a server before us may have left it listed as refused
}

// From now on it is listed and followed.
void Core::begin(const AttemptPtr& attempt, bool ready, Fd supervisor) {
  const LaunchFile& launch = attempt->launch;
  attempt->listed = true;
  attempt->seen.phase = ready || !launch.port ? Phase::running : Phase::starting;
  if (launch.port) attempt->seen.endpoint = fmt::format("127.0.0.1:{}", *launch.port);
  tell(attempt);
  if (!std::exchange(attempt->followed, true)) spawn(follow(attempt, std::move(supervisor)));
  if (attempt->seen.phase == Phase::starting) spawn(await_ready(attempt));
}

}  // namespace berth::process
