// Questions to the engine that decides, answered between two commits, each with the place in the
// cluster's journal that stands for the engine at that moment.
#pragma once
#include "service/committer.h"
#include "service/read_side.h"
#include "service/scheduling.h"

namespace berth {

template <class T>
struct Seen {
  T value;
  std::optional<std::int64_t> index;  // empty: not written down yet
};

// Lets the engine hear of what it does not know yet, and its journal of the engine.
inline Task<Result<void>> look_now(Committer& committer, ClusterId cluster) {
  std::move_only_function<Result<void>(Change&)> look = [cluster](Change& change) -> Result<void> {
    change.look_at(cluster);
    return {};
  };
  co_return co_await committer.write(std::move(look), cluster);
}

template <class T>
Task<Result<Seen<T>>> ask_engine(ReadSide& reads, Committer& committer, Scheduling& scheduling,
                                 ClusterId cluster,
                                 std::function<Result<T>(ReadView&, const ClusterEngine&)> look) {
  using Answer = Result<Seen<T>>;
  Answer answer = fail(Code::internal, "", "");
  for (const bool last : {false, true}) {
    std::move_only_function<Answer()> inside = [&reads, &scheduling, cluster, look]() -> Answer {
      auto view = reads.view();
      if (!view) return std::unexpected(std::move(view.error()));
      auto engine = scheduling.engine(**view, cluster);
      if (!engine) return std::unexpected(std::move(engine.error()));
      auto value = look(**view, **engine);
      if (!value) return std::unexpected(std::move(value.error()));
      return Seen<T>{std::move(*value), scheduling.recorded(cluster)};
    };
    answer = co_await committer.inspect<Answer>(std::move(inside));
    if (!answer || answer->index || last) break;
    // Loaded a moment ago, or ahead of its journal: looking at the queue writes that down.
    if (!co_await look_now(committer, cluster)) break;  // then without
  }
  co_return answer;
}

}  // namespace berth
