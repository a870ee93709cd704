// Starting supervisors and waiting for them.
#pragma once
#include "async/task.h"
#include "runtime/process/folder.h"

namespace berth::process {

struct Spawned {
  Fd process;  // pidfd
  Fd report;   // what the supervisor has to say about the start
};

// Cheap for a large server: the child borrows its memory until it has become the supervisor.
[[nodiscard]] Result<Spawned> spawn_supervisor(const std::string& program,
                                               const std::string& attempt, const Folder& folder);

// The report's line without its end; empty when there was none within the time.
Task<std::string> read_report(Fd report, std::chrono::milliseconds patience);
// Until the process has ended; takes its place in the process table if it is a child of ours.

Task<void> wait_ended(Fd process);
[[nodiscard]] Fd open_process(std::int64_t pid);

Task<void> pause(std::chrono::milliseconds duration);

}  // namespace berth::process
