// The process tree of an attempt: finding all of it, signalling all of it, and its cgroups.
#pragma once
#include <sys/types.h>

#include "record.h"

namespace berth::process {

// Start time of a process in clock ticks, 0 when there is none.
std::int64_t start_time(pid_t pid);

// Makes the cgroups and writes the limits. On failure `what` names the file.
bool make_cgroups(const LaunchRecord& launch, const char*& what);
// Called by the child on itself.
bool join_cgroups(const LaunchRecord& launch);
// Removes them; whatever is still in there is killed first.
void remove_cgroups(const LaunchRecord& launch);
bool out_of_memory(const LaunchRecord& launch);

// Everything in the cgroups and every descendant of this process.
void signal_tree(const LaunchRecord& launch, int signal);
void kill_tree(const LaunchRecord& launch);

// What a dead supervisor has left: its cgroups, processes of the attempt's own user, and those that
// carry its marks in their environment. Returns when nothing is left.
void kill_orphans(const LaunchRecord& launch);

}  // namespace berth::process
