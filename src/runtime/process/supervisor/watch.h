// The long part of a supervisor's life: from the start of the program until nothing of it is left.
#pragma once
#include <sys/types.h>

#include "log.h"
#include "record.h"

namespace berth::process {

struct Watched {
  const LaunchRecord& launch;
  StatusRecord& status;  // gets how it ended
  pid_t program;
  int control;  // FIFO
  int output;   // what the program writes, not blocking
  int signals;  // signalfd for SIGCHLD and SIGTERM
  Log& log;
};

// Returns when every process of the attempt has ended.
void watch(const Watched& watched);

}  // namespace berth::process
