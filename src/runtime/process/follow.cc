// Following attempts: until they answer, until they end, until they are gone.
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/redirect_error.hpp>
#include <filesystem>

#include "net/http_client.h"
#include "runtime/process/core.h"
#include "runtime/process/protocol.h"

namespace berth::process {
namespace {

constexpr std::chrono::milliseconds kFirstPoll{2};
constexpr std::chrono::milliseconds kLongestPoll{250};
constexpr std::chrono::milliseconds kSlowAnswer{2000};
constexpr std::chrono::milliseconds kLook{5};
constexpr std::chrono::milliseconds kLookForStop{200};

}  // namespace

Task<void> Core::follow(AttemptPtr attempt, Fd supervisor) {
  if (supervisor) co_await wait_ended(std::move(supervisor));  // one that we started ourselves
  while (!co_await follow_once(attempt)) {
  }
}

// Waits for the next thing that can happen to it. True once it is over.
Task<bool> Core::follow_once(AttemptPtr attempt) {
  const auto folder = Folder::open(root_.get(), attempt->key.str());
  if (!folder) {  // somebody has deleted it under our feet
    attempt->seen.phase = Phase::exited;
    attempt->seen.message = "Its folder has vanished.";
    tell(attempt);
    co_return true;
  }
  const bool locked =
      folder->locked();  // before the status: the last status comes before the release
  const auto status = folder->status();
  if (status && status->over()) {
    settle(attempt, *status);
    tell(attempt);
    co_return true;
  }
  if (locked) {
    Fd process = status ? open_process(status->supervisor) : Fd();
    // Only if it still holds the lock is this the process, and not another one with its number.
    if (process && folder->locked()) {
      co_await wait_ended(std::move(process));
    } else {
      co_await pause(kLook);
    }
    co_return false;
  }
  co_await conclude(attempt);
  co_return false;
}

// Its supervisor is dead. A new one takes its place, ends what is left and writes the last status.
Task<void> Core::conclude(AttemptPtr attempt) {
  const auto folder = Folder::open(root_.get(), attempt->key.str());
  const auto program = machine_->supervisor();
  if (folder && program) {
    auto spawned = spawn_supervisor(*program, attempt->key.str(), *folder);
    if (spawned) co_await wait_ended(std::move(spawned->process));
  }
  const auto status = folder ? folder->status() : std::nullopt;
  if (!status || !status->over())
    co_await pause(kLongestPoll);  // a full disk, or no process to be had
}

Task<bool> Core::probe(const LaunchFile& launch) {
  const std::string address = fmt::format("127.0.0.1:{}", *launch.port);
  if (launch.ready_path.empty()) {
    asio::basic_stream_socket<asio::ip::tcp, Executor> socket(executor_);
    boost::system::error_code ec;
    const asio::ip::tcp::endpoint to(asio::ip::address_v4::loopback(), *launch.port);
    co_await socket.async_connect(to, asio::redirect_error(use_task, ec));
    co_return !ec;
  }
  net::UpstreamRequest request;
  request.address = address;
  request.method = "GET";
  request.target = launch.ready_path;
  request.connect_timeout = kSlowAnswer;
  request.head_timeout = kSlowAnswer;
  const auto response = co_await net::exchange(std::move(request));
  co_return response && (*response)->status() >= 200 && (*response)->status() < 300;
}

// Asks often at first, so that a quick start is seen as one, and then less and less.
Task<void> Core::await_ready(AttemptPtr attempt) {
  const auto folder = Folder::open(root_.get(), attempt->key.str());
  const auto status = folder ? folder->status() : std::nullopt;
  const std::int64_t started = status ? status->started_at : SystemClock{}.now().micros;
  const std::int64_t until = started + attempt->launch.ready_ms * 1000;
  auto wait = kFirstPoll;
  while (attempt->seen.phase == Phase::starting) {
    const bool ready = co_await probe(attempt->launch);
    if (attempt->seen.phase != Phase::starting) co_return;
    if (ready) {
      if (folder) (void)folder->write(protocol::kReady, "");
      attempt->seen.phase = Phase::running;
      tell(attempt);
      co_return;
    }
    const std::int64_t left = until - SystemClock{}.now().micros;
    if (left <= 0 && folder) {
      const std::chrono::milliseconds grace(attempt->launch.grace_ms);
      if (folder->ask_to_stop(grace, protocol::kReadyTimeout)) co_return;
    }
    wait = std::min(wait, std::chrono::milliseconds(std::max<std::int64_t>(left / 1000, 1)));
    co_await attempt->changed.wait(wait);
    wait = std::min(wait * 2, kLongestPoll);
  }
}

Task<Result<void>> Core::ensure_gone(AttemptKey key, std::chrono::milliseconds grace) {
  const auto self = shared_from_this();
  if (auto opened = open(); !opened) co_return opened;
  const std::string name = key.str();
  {
    const Turn turn = co_await take_turn(key);
    const auto folder = Folder::create(root_.get(), name, options_.separate_users);
    if (!folder) co_return std::unexpected(folder.error());
    // Before looking for a supervisor: one that comes later finds the mark and starts nothing.
    if (!folder->has(protocol::kGone)) {
      if (auto marked = folder->write(protocol::kGone, ""); !marked) co_return marked;
    }
  }
  bool asked = false;
  for (;;) {
    const auto folder = Folder::open(root_.get(), name);
    if (!folder) break;  // forgotten meanwhile
    const bool locked = folder->locked();
    const auto status = folder->status();
    if (status ? status->over() : !locked) break;
    if (locked && !asked) asked = folder->ask_to_stop(grace, protocol::kStop);
    const auto attempt = entry(key);
    if (!attempt->listed) adopt(name, key, false);
    co_await attempt->changed.wait(asked ? kLookForStop : kLook);
  }
  co_await clean(key);
  co_return Result<void>{};
}

// Everything goes but the log, the last status and the mark.
Task<void> Core::clean(AttemptKey key) {
  const auto self = shared_from_this();
  const auto folder = Folder::open(root_.get(), key.str());
  const auto launch = folder ? folder->launch() : std::nullopt;
  if (launch) {
    const auto places = std::filesystem::path(launch->work).parent_path();
    const bool elsewhere = places != attempt_path(key);
    co_await machine_->remove_tree(places / "work");
    co_await machine_->remove_tree(places / "tmp");
    if (elsewhere) {
      ::rmdir(places.c_str());
      ::rmdir(places.parent_path().c_str());  // fails while others are in there
    }
    for (const char* file : {protocol::kControl, protocol::kReady}) folder->remove(file);
    folder->remove(protocol::kLaunch);  // last: as long as it is there, cleaning is not finished
    machine_->release(*launch);
  }
  settled_.insert(key.str());
  if (const auto found = attempts_.find(key); found != attempts_.end()) {
    const AttemptPtr attempt = found->second;
    if (!attempt->busy) attempts_.erase(found);
    attempt->listed = false;
    attempt->changed.ring();
  }
}

}  // namespace berth::process
