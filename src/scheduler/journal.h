// The decision journal of a cluster, as bytes. An entry is what one transaction did with the
// engine: steps (the time, what came in, what was decided), checkpoints (the whole state), and what
// was learnt for forecasts where that does not follow from the steps. Its
// first byte is the version of the format, its last eight are a checksum. Reading checks every
// bound: damaged bytes are an error, never a crash.
//
// A structure begins with a word of flags that says which of its fields follow; the others have
// their usual value. A new field takes a new flag, so old entries stay readable.
#pragma once
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "scheduler/engine_state.h"
#include "scheduler/outlook.h"

namespace berth::journal {

struct Step {
  EngineTime now = 0;
  std::vector<EngineEvent> events;  // none: settle
  Decisions decided;
};
struct Checkpoint {
  // The engine was built from the record, which others may have changed meanwhile. Else it is the
  // state that the steps before have led to.
  bool anew = false;
  EngineState state;
  std::uint64_t hash = 0;  // state_hash() of the engine
};
// How much wider or narrower forecasts are from now on.
struct Lessons {
  std::vector<Promises::Lesson> lessons;
};
// Behind a checkpoint: everything that was learnt up to there. Nothing, where there is none.
struct Learnt {
  std::shared_ptr<const Outlook> outlook;
};
using Record = std::variant<Step, Checkpoint, Lessons, Learnt>;

// Appends to the inside of an entry.
void put_step(std::string& out, EngineTime now, std::span<const EngineEvent> events,
              const Decisions& decided);
void put_checkpoint(std::string& out, const ClusterEngine& engine, bool anew,
                    const Outlook* learnt = nullptr);
void put_lessons(std::string& out, std::span<const Promises::Lesson> lessons);

[[nodiscard]] std::string seal(std::string_view inside);
// Errors: internal, reason "journal_damaged".
[[nodiscard]] Result<std::vector<Record>> open(std::string_view entry);

// For people: "released dep_..., queued dep_... -> starts dep_... on n1 with GPU 0".
[[nodiscard]] std::string words_of(std::span<const EngineEvent> events);
[[nodiscard]] std::string words_of(const Decisions& decided, const ClusterEngine* engine = nullptr);

// How far a replay goes along: does it decide anew and compare, or do what was decided?
enum class Mode { compare, follow };
// Does it learn for forecasts on its way?
enum class Learning { no, yes };

struct Counts {
  std::size_t entries = 0, steps = 0, events = 0, starts = 0, evictions = 0;
  std::size_t checkpoints = 0, reloads = 0;
};

// Goes through a journal from a checkpoint on.
class Replay {
 public:
  explicit Replay(Mode mode, Learning learning = Learning::no) : mode_(mode) {
    if (learning == Learning::yes) outlook_.emplace();
  }
  // Goes on from an engine as it was after that entry, and from what was learnt by then.
  Replay(Mode mode, std::int64_t index, ClusterEngine engine, Outlook outlook)
      : mode_(mode), index_(index), engine_(std::move(engine)), outlook_(std::move(outlook)) {}
  // The entries in order. Errors: internal, with reason "diverged" when something else is decided
  // or comes out than was recorded, "journal_damaged" when the entry cannot be; the message names
  // the entry and the difference. Nothing can be taken after an error.
  Result<void> take(std::int64_t index, std::string_view entry);

  [[nodiscard]] const Counts& counts() const { return counts_; }
  [[nodiscard]] std::int64_t index() const { return index_; }  // of the last entry; 0: none
  // Empty before the first checkpoint.
  [[nodiscard]] const std::optional<ClusterEngine>& engine() const { return engine_; }
  [[nodiscard]] std::optional<ClusterEngine> take_engine() { return std::move(engine_); }
  // Empty without learning.
  [[nodiscard]] const std::optional<Outlook>& outlook() const { return outlook_; }

 private:
  Result<void> take(const Step& step);
  Result<void> take(Checkpoint& checkpoint);
  Result<void> take(const Lessons& lessons);
  Result<void> take(const Learnt& learnt);

  Mode mode_;
  Counts counts_;
  std::int64_t index_ = 0;
  std::optional<ClusterEngine> engine_;
  std::optional<Outlook> outlook_;
};

}  // namespace berth::journal
