#include "core/deployment.h"

#include <array>

namespace berth {
namespace {

constexpr std::array kTransitions{
    Transition{State::queued, Cause::admitted, State::starting},
    Transition{State::queued, Cause::stop_requested, State::cancelled},

    Transition{State::starting, Cause::ready, State::running},
    Transition{State::starting, Cause::exited_zero, State::succeeded},
    Transition{State::starting, Cause::exited_nonzero, State::failed},
    Transition{State::starting, Cause::start_failed, State::failed},
    Transition{State::starting, Cause::retry, State::queued},
    Transition{State::starting, Cause::stop_requested, State::stopping},
    Transition{State::starting, Cause::preempt, State::preempting},

    Transition{State::running, Cause::exited_zero, State::succeeded},
    Transition{State::running, Cause::exited_nonzero, State::failed},
    Transition{State::running, Cause::retry, State::queued},
    Transition{State::running, Cause::stop_requested, State::stopping},
    Transition{State::running, Cause::preempt, State::preempting},

    Transition{State::stopping, Cause::gone, State::stopped},

    Transition{State::preempting, Cause::gone, State::queued},
    Transition{State::preempting, Cause::stop_requested, State::stopping},
};

constexpr bool deterministic() {
  for (std::size_t i = 0; i < kTransitions.size(); ++i) {
    for (std::size_t j = i + 1; j < kTransitions.size(); ++j) {
      if (kTransitions[i].from == kTransitions[j].from &&
          kTransitions[i].cause == kTransitions[j].cause) {
        return false;
      }
    }
  }
  return true;
}
constexpr bool terminal_states_are_final() {
  for (const auto& t : kTransitions) {
    if (is_terminal(t.from)) return false;
  }
  return true;
}
static_assert(deterministic());
static_assert(terminal_states_are_final());
static_assert(!holds_resources(State::queued));

}  // namespace

std::span<const Transition> transition_table() { return kTransitions; }

std::optional<State> next_state(State from, Cause cause) {
  for (const auto& t : kTransitions) {
    if (t.from == from && t.cause == cause) return t.to;
  }
  return std::nullopt;
}

}  // namespace berth
