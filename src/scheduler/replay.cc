// Going through a journal: the same inputs to the same function must give the same decisions.
#include <fmt/format.h>

#include "scheduler/journal.h"

namespace berth::journal {
namespace {

constexpr std::size_t kShown = 8;  // of a long list

template <class List, class Words>
std::string joined(const List& list, Words words) {
  std::string out;
  for (std::size_t i = 0; i < list.size() && i < kShown; ++i)
    out += (i == 0 ? "" : ", ") + words(list[i]);
  if (list.size() > kShown) out += fmt::format(" and {} more", list.size() - kShown);
  return out;
}

class EventWords {
 public:
  std::string operator()(const Queued& e) const {
    return fmt::format("queued {} ({}{}, number {}, {})", e.id.str(), to_text(e.priority),
                       e.parked ? ", in back-off" : "", e.order, resources_text(e.demand));
  }
  std::string operator()(const Unparked& e) const { return "back-off over " + e.id.str(); }
  std::string operator()(const Withdrawn& e) const { return "withdrawn " + e.id.str(); }
  std::string operator()(const Reprioritized& e) const {
    return fmt::format("{} now {}", e.id.str(), to_text(e.priority));
  }
  std::string operator()(const Released& e) const { return "released " + e.id.str(); }
  std::string operator()(const Resized& e) const {
    return fmt::format("{} nodes: {}", e.nodes.size(), joined(e.nodes, [](const Node& node) {
                         return fmt::format("{} ({})", node.name, resources_text(node.capacity));
                       }));
  }
  std::string operator()(const PauseChanged& e) const { return e.paused ? "paused" : "resumed"; }
  std::string operator()(const Leaving& e) const { return "told to stop " + e.id.str(); }
  std::string operator()(const RulesChanged&) const { return "other rules"; }
};

std::string gpus_words(const std::vector<GpuShare>& gpus) {
  if (gpus.empty()) return "";
  return " with GPU " + joined(gpus, [](const GpuShare& share) {
           return share.milli == kGpuDevice
                      ? std::to_string(share.device)
                      : fmt::format("{} ({}/1000)", share.device, share.milli);
         });
}

std::unexpected<Error> named(const char* reason, std::int64_t index, const std::string& what) {
  return fail(Code::internal, reason, fmt::format("Entry {}: {}", index, what));
}

}  // namespace

std::string words_of(std::span<const EngineEvent> events) {
  if (events.empty()) return "look again";
  return joined(events, [](const EngineEvent& event) { return std::visit(EventWords(), event); });
}

std::string words_of(const Decisions& decided, const ClusterEngine* engine) {
  if (decided == Decisions{}) return "nothing";
  const auto nodes = engine != nullptr ? engine->status().nodes : std::vector<NodeState>{};
  std::string out;
  if (!decided.starts.empty()) {
    out = "start " + joined(decided.starts, [&](const Start& start) {
            std::vector<Placement> places{start.placement};
            places.insert(places.end(), start.more.begin(), start.more.end());
            return start.id.str() + " on " + joined(places, [&](const Placement& place) {
                     const auto node = place.node < nodes.size()
                                           ? nodes[place.node].node.name
                                           : fmt::format("node {}", place.node);
                     return node + gpus_words(place.gpus);
                   });
          });
  }
  if (!decided.evictions.empty()) {
    out += out.empty() ? "" : "; ";
    out += "displace " + joined(decided.evictions, [](const Evict& evict) {
             return fmt::format("{} for {}", evict.id.str(), evict.for_whom.str());
           });
  }
  return out;
}

Result<void> Replay::take(std::int64_t index, std::string_view entry) {
  if (index_ != 0 && index != index_ + 1)
    return named("journal_damaged", index, fmt::format("entry {} is missing.", index_ + 1));
  index_ = index;
  auto records = open(entry);
  if (!records) return named("journal_damaged", index, records.error().message);
  ++counts_.entries;
  for (Record& record : *records) {
    // Who begins here has no use for what comes before the first state.
    if (!engine_ && !std::holds_alternative<Checkpoint>(record)) continue;
    auto done = std::visit([&](auto& one) { return take(one); }, record);
    if (!done) return done;
  }
  if (!engine_) return named("journal_damaged", index_, "no state comes before its steps.");
  return {};
}

Result<void> Replay::take(const Step& step) {
  ++counts_.steps;
  counts_.events += step.events.size();
  counts_.starts += step.decided.starts.size();
  counts_.evictions += step.decided.evictions.size();
  if (outlook_) outlook_->before(*engine_, step.events, step.now);
  if (mode_ == Mode::follow) {
    if (auto done = follow(*engine_, step.events, step.decided, step.now); !done)
      return named("journal_damaged", index_, done.error().message);
    return {};
  }
  const auto decided = decide_again(*engine_, step.events, step.now);
  if (!decided) return named("journal_damaged", index_, decided.error().message);
  if (*decided == step.decided) return {};
  return named("diverged", index_,
               fmt::format("at {} came: {}. Recorded was: {}. Decided now: {}.",
                           to_rfc3339({step.now * 1000}), words_of(step.events),
                           words_of(step.decided, &*engine_), words_of(*decided, &*engine_)));
}

Result<void> Replay::take(Checkpoint& checkpoint) {
  ++counts_.checkpoints;
  if (engine_ && !checkpoint.anew) {
    const std::uint64_t hash = engine_->state_hash();
    if (hash == checkpoint.hash) return {};
    return named("diverged", index_,
                 fmt::format("the state that the entries before lead to ({:016x}) is not the one "
                             "that was recorded here ({:016x}).",
                             hash, checkpoint.hash));
  }
  if (engine_) ++counts_.reloads;
  if (outlook_) outlook_ = Outlook();  // what is known, if anything, comes behind it
  auto engine = engine_of(std::move(checkpoint.state));
  if (!engine) return named("journal_damaged", index_, engine.error().message);
  if (engine->state_hash() != checkpoint.hash) {
    return named("journal_damaged", index_,
                 "the state that was recorded does not belong to its hash.");
  }
  engine_.emplace(std::move(*engine));
  return {};
}

Result<void> Replay::take(const Lessons& lessons) {
  if (!outlook_) return {};
  for (const Promises::Lesson& lesson : lessons.lessons) outlook_->learn(lesson);
  return {};
}

Result<void> Replay::take(const Learnt& learnt) {
  if (outlook_) outlook_ = *learnt.outlook;
  return {};
}

}  // namespace berth::journal
