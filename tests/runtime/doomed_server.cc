// A server that starts one attempt and then waits to be killed. A program of its own, because a
// process with threads cannot be forked and go on.
//   doomed_server ROOT SCOPE SEPARATE_USERS(0|1) DEPLOYMENT ATTEMPT SCRIPT
// It prints a byte right before it starts the attempt.
#include <unistd.h>

#include <cstdio>

#include "runtime/process/process_runtime.h"
#include "runtime/support.h"

int main(int count, char** arguments) {
  using namespace berth;
  if (count != 7) return 2;
  const auto deployment = DeploymentId::parse(arguments[4]);
  if (!deployment) return 2;
  process::Options options;
  options.root = arguments[1];
  options.scope = arguments[2];
  options.separate_users = arguments[3][0] == '1';
  Launch launch = berth::testing::launch_of({*deployment, std::atoi(arguments[5])});
  launch.spec.command = {"sh", "-c", arguments[6]};
  launch.spec.stop_grace = std::chrono::milliseconds(2000);

  berth::testing::Loop loop;
  process::MachineOptions machine;
  machine.root = options.root;
  process::ProcessRuntime runtime(
      loop.executor(), std::make_shared<process::Machine>(std::move(machine), loop.files()),
      options);
  if (::write(STDOUT_FILENO, "x", 1) != 1) return 1;
  (void)loop.wait(runtime.ensure_running(launch));
  for (;;) ::pause();
}
