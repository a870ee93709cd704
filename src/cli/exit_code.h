// Exit codes, the same for every command.
#pragma once
#include "base/result.h"

namespace berth::cli {

enum Exit : int {
  kOk = 0,
  kUnexpected = 1,
  kUsage = 2,
  kNotAuthenticated = 3,
  kForbidden = 4,  // or not found: no telling which
  kConflict = 5,
  kRejected = 6,  // invalid, or can never fit
  kTimedOut = 7,  // --wait is over; it still waits or starts
  kFailed = 8,    // the deployment ended badly
  kUnreachable = 9,
  kPartial = 10,
  kTryAgain = 11,  // the server sheds load, or cannot write at the moment
  kInterrupted = 130,
};

inline constexpr const char* kExitHelp =
    "Exit codes: 0 done; 1 unexpected; 2 usage; 3 not logged in; 4 forbidden or not found; 5 "
    "conflict; "
    "6 rejected (invalid, or can never fit); 7 --wait timed out; 8 the deployment failed; 9 server "
    "unreachable; "
    "10 partly done; 11 try again later; 130 interrupted.";

}  // namespace berth::cli
