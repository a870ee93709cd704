#include "simulation/simulator.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/detail/thread_context.hpp>
#include <boost/asio/detail/thread_info_base.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/context/fiber.hpp>
#include <boost/context/fixedsize_stack.hpp>

#include "base/ensure.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#include <sanitizer/common_interface_defs.h>
#endif
#endif

namespace berth::sim {
namespace {

constexpr std::size_t kStack = std::size_t{512} << 10;

// Asio keeps for each thread a list of the event loops that this thread is inside of. Fibers of one
// thread need a list each, or a loop that gives way in a handler leaves the other's list broken.
using Loops = boost::asio::detail::call_stack<boost::asio::detail::thread_context,
                                              boost::asio::detail::thread_info_base>;
struct LoopsTag {
  using type = boost::asio::detail::tss_ptr<Loops::context>*;
  friend type reach(LoopsTag);
};
template <class Tag, typename Tag::type Member>
struct Reach {
  friend typename Tag::type reach(Tag) { return Member; }
};
template struct Reach<LoopsTag, &Loops::top_>;

// Tells the address sanitizer which stack is in use.
struct StackSwitch {
#if defined(__has_feature) && __has_feature(address_sanitizer)
  static void leave(void** fake, const void* bottom, std::size_t size) {
    __sanitizer_start_switch_fiber(fake, bottom, size);
  }
  static void arrive(void* fake, const void** bottom, std::size_t* size) {
    __sanitizer_finish_switch_fiber(fake, bottom, size);
  }
#else
  static void leave(void**, const void*, std::size_t) {}
  static void arrive(void*, const void**, std::size_t*) {}
#endif
};

}  // namespace

class Fiber {
 public:
  Fiber(Owner& o, const char* n, std::uint64_t i) : owner(o), name(n), id(i) {}
  Owner& owner;
  const char* const name;
  const std::uint64_t id;
  boost::context::fiber context;  // of the fiber while it is suspended
  boost::context::fiber back;     // of the simulator while it runs
  std::uint64_t ticket = 0;       // what it waits for; anything older is void
  bool rung = false;
  bool finished = false;
  Loops::context* loops = nullptr;
  const void* stack_bottom = nullptr;
  const void* main_bottom = nullptr;
  std::size_t main_size = 0;
  void* fake = nullptr;
};

namespace {

// Takes the stacks of ended fibers again.
class Pool {
 public:
  Pool(std::vector<boost::context::stack_context>& free, const void*& bottom)
      : free_(&free), bottom_(&bottom) {}
  boost::context::stack_context allocate() {
    boost::context::stack_context stack;
    if (free_->empty()) {
      stack = boost::context::fixedsize_stack(kStack).allocate();
    } else {
      stack = free_->back();
      free_->pop_back();
    }
    *bottom_ = static_cast<const char*>(stack.sp) - stack.size;
    return stack;
  }
  void deallocate(boost::context::stack_context& stack) { free_->push_back(stack); }

 private:
  std::vector<boost::context::stack_context>* free_;
  const void** bottom_;
};

}  // namespace

Simulator::Simulator(std::uint64_t seed) : rng_(seed) {}
Simulator::~Simulator() {
  events_.clear();
  for (auto& [id, fiber] : fibers_) {
    ensure(fiber->finished, "fibers are killed before the simulator ends");
  }
  for (auto& stack : stacks_) boost::context::fixedsize_stack(kStack).deallocate(stack);
}

Owner* Simulator::running_owner() const { return running_ == nullptr ? nullptr : &running_->owner; }

void Simulator::spawn(Owner& owner, const char* name, std::function<void()> body) {
  const auto id = ++tickets_;
  auto made = std::make_unique<Fiber>(owner, name, id);
  start(*made, std::move(body));
  owner.fibers_.push_back(made.get());
  schedule(*made, now_);
  fibers_.emplace(id, std::move(made));
}

void Simulator::start(Fiber& fiber, std::function<void()> body) {
  auto run = [this, &fiber, work = std::move(body)](boost::context::fiber&& from) mutable {
    StackSwitch::arrive(nullptr, &fiber.main_bottom, &fiber.main_size);
    fiber.back = std::move(from);
    try {
      if (!fiber.owner.dead()) work();
    } catch (const Killed&) {
      // All that was on this stack is gone.
    } catch (const std::exception& e) {
      uncaught_ = fiber.owner.name() + "/" + fiber.name + ": " + e.what();
    }
    work = nullptr;
    fiber.finished = true;
    StackSwitch::leave(nullptr, fiber.main_bottom, fiber.main_size);
    return std::move(fiber.back);
  };
  fiber.context =
      boost::context::fiber(std::allocator_arg, Pool(stacks_, fiber.stack_bottom), std::move(run));
}

void Simulator::schedule(Fiber& fiber, Time when) {
  fiber.ticket = ++tickets_;
  due_.push({when, rng_(), fiber.id, fiber.ticket});
}

void Simulator::resume(Fiber& fiber) {
  Fiber* const before = running_;
  running_ = &fiber;
  auto* const loops = reach(LoopsTag{});
  Loops::context* const mine = *loops;
  *loops = fiber.loops;
  void* fake = nullptr;
  StackSwitch::leave(&fake, fiber.stack_bottom, kStack);
  fiber.context = std::move(fiber.context).resume();
  StackSwitch::arrive(fake, nullptr, nullptr);
  fiber.loops = *loops;
  *loops = mine;
  running_ = before;
  if (!fiber.finished) return;
  fiber.owner.fibers_.remove(&fiber);
  fibers_.erase(fiber.id);
}

void Simulator::suspend() {
  Fiber& fiber = *running_;
  if (fiber.owner.dead_) throw Killed{};
  StackSwitch::leave(&fiber.fake, fiber.main_bottom, fiber.main_size);
  fiber.back = std::move(fiber.back).resume();
  StackSwitch::arrive(fiber.fake, &fiber.main_bottom, &fiber.main_size);
  if (fiber.owner.dead_) throw Killed{};
}

void Simulator::sleep(Time d) {
  if (running_ == nullptr) return;
  if (running_->owner.dead_) throw Killed{};
  schedule(*running_, now_ + d);
  suspend();
}

bool Simulator::wait(Bell& bell, Time most) {
  if (running_ == nullptr) return false;
  if (running_->owner.dead_) throw Killed{};
  Fiber& fiber = *running_;
  fiber.rung = false;
  schedule(fiber, now_ + most);
  bell.waiting_.emplace_back(fiber.id, fiber.ticket);
  suspend();
  const bool rung = fiber.rung;
  if (!rung) std::erase_if(bell.waiting_, [&](const auto& one) { return one.first == fiber.id; });
  return rung;
}

void Simulator::ring(Bell& bell) {
  auto waiting = std::move(bell.waiting_);
  bell.waiting_.clear();
  for (const auto& [id, ticket] : waiting) {
    // It may be gone, or wait for something else by now.
    const auto found = fibers_.find(id);
    if (found == fibers_.end() || found->second->ticket != ticket) continue;
    found->second->rung = true;
    schedule(*found->second, now_ + between(0, 500));
  }
}

void Simulator::after(Time d, Owner* owner, std::function<void()> event) {
  const auto ticket = ++tickets_;
  events_.emplace(ticket, Event{owner, std::move(event)});
  due_.push({now_ + d, rng_(), 0, ticket});
}

void Simulator::kill(Owner& owner) {
  ensure(running_ == nullptr, "processes are killed between the steps");
  owner.dead_ = true;
  while (!owner.fibers_.empty()) {
    Fiber* fiber = owner.fibers_.front();
    ++fiber->ticket;
    resume(*fiber);
  }
  std::erase_if(events_, [&](const auto& one) { return one.second.owner == &owner; });
}

bool Simulator::step() {
  while (!due_.empty()) {
    const Due next = due_.top();
    due_.pop();
    Owner* owner = nullptr;
    auto event = events_.end();
    const auto found = fibers_.find(next.fiber);
    if (next.fiber == 0) {
      event = events_.find(next.ticket);
      if (event == events_.end()) continue;
      owner = event->second.owner;
    } else {
      if (found == fibers_.end() || found->second->ticket != next.ticket) continue;
      owner = &found->second->owner;
    }
    if (owner != nullptr && owner->frozen_until_ > next.when) {
      due_.push({owner->frozen_until_ + between(0, kMilli), rng_(), next.fiber, next.ticket});
      continue;
    }
    now_ = std::max(now_, next.when);
    ++steps_;
    if (next.fiber != 0) {
      resume(*found->second);
    } else {
      auto run = std::move(event->second.run);
      events_.erase(event);
      run();
    }
    return true;
  }
  return false;
}

void Simulator::remember(const char* what, std::int64_t detail) {
  const char* who = running_ == nullptr ? "world" : running_->name;
  const std::string process = running_ == nullptr ? "" : running_->owner.name_ + "/";
  lines_.push_back(fmt::format("{:>11.6f}s {:<22} {}{}", static_cast<double>(now_) / 1e6,
                               process + who, what, detail == 0 ? "" : fmt::format(" {}", detail)));
  while (lines_.size() > kept_) lines_.pop_front();
}

}  // namespace berth::sim
