// Many threads of many processes as fibers of one thread, under a clock that only the simulation
// moves. Exactly one fiber runs at a time; it gives way wherever it waits for the world outside of
// its process. What runs next is decided by delays drawn from the seed, so a seed is a history.
#pragma once
#include <boost/context/stack_context.hpp>
#include <cstdint>
#include <deque>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <queue>
#include <random>
#include <string>
#include <vector>

namespace berth::sim {

using Time = std::int64_t;  // microseconds since the beginning
inline constexpr Time kMilli = 1000;
inline constexpr Time kSecond = 1'000'000;

// Thrown where a fiber waits while its process is being killed: the stack unwinds, and nothing that
// it still does reaches the world.
struct Killed {};

class Fiber;

// Whom fibers and timers belong to: a process, or the world itself.
class Owner {
 public:
  explicit Owner(std::string name) : name_(std::move(name)) {}
  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] bool dead() const { return dead_; }
  [[nodiscard]] Time frozen_until() const { return frozen_until_; }

 private:
  friend class Simulator;
  std::string name_;
  bool dead_ = false;
  Time frozen_until_ = 0;
  std::list<Fiber*> fibers_;
};

// Fibers that wait for something to happen.
class Bell {
 public:
  [[nodiscard]] bool has_waiters() const { return !waiting_.empty(); }

 private:
  friend class Simulator;
  std::vector<std::pair<std::uint64_t, std::uint64_t>> waiting_;  // fiber, ticket
};

class Simulator {
 public:
  explicit Simulator(std::uint64_t seed);
  ~Simulator();
  Simulator(const Simulator&) = delete;
  Simulator& operator=(const Simulator&) = delete;

  [[nodiscard]] Time now() const { return now_; }
  std::size_t pick(std::size_t below) { return static_cast<std::size_t>(rng_() % below); }
  bool chance(double p) { return static_cast<double>(rng_() >> 11) * 0x1p-53 < p; }
  Time between(Time least, Time most) {
    return least + static_cast<Time>(rng_() % static_cast<std::uint64_t>(most - least + 1));
  }

  void spawn(Owner& owner, const char* name, std::function<void()> body);
  // For the running fiber; outside of fibers time stands still and these return at once.
  void sleep(Time d);
  // Until somebody rings, at most so long. Answers whether somebody did.
  bool wait(Bell& bell, Time most);
  void ring(Bell& bell);
  // Runs outside of any fiber. Dropped when its owner dies, late when its owner is frozen.
  void after(Time d, Owner* owner, std::function<void()> event);

  // Not from a fiber. All that the owner's fibers hold is released.
  void kill(Owner& owner);
  void freeze(Owner& owner, Time d) { owner.frozen_until_ = now_ + d; }

  // Runs the next fiber or event; false: there is none.
  bool step();
  [[nodiscard]] Owner* running_owner() const;
  // What a fiber let out that nobody caught: a bug of the code under test.
  [[nodiscard]] const std::string& uncaught() const { return uncaught_; }
  void set_uncaught(std::string what) { uncaught_ = std::move(what); }
  [[nodiscard]] bool inside_fiber() const { return running_ != nullptr; }

  // --- the trace ---
  void note(const char* what, std::int64_t detail = 0) {
    mix(now_);
    for (const char* c = what; *c != '\0'; ++c) mix_byte(static_cast<unsigned char>(*c));
    mix(detail);
    if (verbose_) remember(what, detail);
  }
  template <class Text>
    requires std::is_invocable_r_v<std::string, Text>
  void tell(const char* what, Text text) {
    note(what);
    if (verbose_) lines_.back() += " " + text();
  }
  void set_verbose(std::size_t lines) {
    verbose_ = true;
    kept_ = lines;
  }
  [[nodiscard]] const std::deque<std::string>& lines() const { return lines_; }
  [[nodiscard]] std::uint64_t hash() const { return hash_; }
  [[nodiscard]] std::uint64_t steps() const { return steps_; }

 private:
  struct Due {
    Time when;
    std::uint64_t tie;    // random: what is due at the same time happens in any order
    std::uint64_t fiber;  // 0: an event
    std::uint64_t ticket;
    bool operator>(const Due& o) const { return std::tie(when, tie) > std::tie(o.when, o.tie); }
  };
  struct Event {
    Owner* owner;
    std::function<void()> run;
  };
  void resume(Fiber& fiber);
  void start(Fiber& fiber, std::function<void()> body);
  void suspend();
  void schedule(Fiber& fiber, Time when);
  void remember(const char* what, std::int64_t detail);
  void mix_byte(unsigned char c) { hash_ = (hash_ ^ c) * 0x100000001B3ULL; }
  void mix(std::int64_t v) {
    hash_ = (hash_ ^ static_cast<std::uint64_t>(v)) * 0x9E3779B97F4A7C15ULL;
    hash_ ^= hash_ >> 29;
  }

  std::mt19937_64 rng_;
  Time now_ = 0;
  std::uint64_t steps_ = 0;
  std::uint64_t tickets_ = 0;
  std::priority_queue<Due, std::vector<Due>, std::greater<>> due_;
  std::map<std::uint64_t, Event> events_;
  std::map<std::uint64_t, std::unique_ptr<Fiber>> fibers_;
  Fiber* running_ = nullptr;
  std::vector<boost::context::stack_context> stacks_;  // free ones

  std::uint64_t hash_ = 0xCBF29CE484222325ULL;
  std::string uncaught_;
  bool verbose_ = false;
  std::size_t kept_ = 0;
  std::deque<std::string> lines_;
};

}  // namespace berth::sim
