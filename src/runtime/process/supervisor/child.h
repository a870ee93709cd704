// Starting the program of an attempt.
#pragma once
#include <sys/types.h>

#include "record.h"

namespace berth::process {

struct Child {
  pid_t pid = 0;
  int release = -1;  // written to: the program may start. Closed without: it never does
  int outcome = -1;  // at end of file: the program runs; else a Failure
};

enum class Step : int { cgroup, limits, user, folder, program };
struct Failure {
  Step step = Step::program;
  int error = 0;
};

// Forks a child that prepares itself and waits to be released. pid is negative on failure.
Child fork_child(const LaunchRecord& launch, int output);
// Lets the program start. True: it runs; false: `failure` says what went wrong.
bool release_child(Child& child, Failure& failure);
// A sentence for people, valid until the next call.
const char* describe(const Failure& failure, const LaunchRecord& launch);

}  // namespace berth::process
