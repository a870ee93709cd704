// What the server and the supervisor agree on: names in an attempt's folder, keys of its records,
// descriptors and words. Both sides are built from this one header; docs/runtime-process.md tells
// the story. A supervisor outlives upgrades of the server, so a change here is a new version
// number.
#pragma once

namespace berth::process::protocol {

// Files of an attempt's folder.
inline constexpr char kLaunch[] = "launch";    // what to run; written once by the server
inline constexpr char kStatus[] = "status";    // how it goes; replaced by the supervisor
inline constexpr char kLock[] = "lock";        // locked by the supervisor as long as it lives
inline constexpr char kControl[] = "control";  // FIFO, server to supervisor
inline constexpr char kGone[] = "gone";        // tombstone: never to be started again
inline constexpr char kReady[] = "ready";      // it has answered once
inline constexpr char kLogPrefix[] = "log.";   // followed by the offset of the file's first byte
inline constexpr int kLogDigits = 20;

// Descriptors that a supervisor is started with.
inline constexpr int kReportFd = 3;  // pipe to the server, which may be gone
inline constexpr int kFolderFd = 4;  // the attempt's folder

// A record is a sequence of key=value. The launch record ends each with a NUL, the status with a
// newline. The first key names kind and version; the last is `end`, so a torn file is noticed.
inline constexpr char kLaunchVersion[] = "berth-launch=1";
inline constexpr char kStatusVersion[] = "berth-status=1";
inline constexpr char kEnd[] = "end=";

// First word of the report.
inline constexpr char kOk[] = "ok";            // the program runs
inline constexpr char kBusy[] = "busy";        // another supervisor has this attempt
inline constexpr char kOver[] = "over";        // there was nothing to start
inline constexpr char kRefused[] = "refused";  // the program cannot be run; a sentence follows
inline constexpr char kFailed[] = "failed";    // the machine did not let us; a sentence follows

// States of the status record.
inline constexpr char kStarted[] = "started";
inline constexpr char kExited[] = "exited";
// kRefused is the third.

// Why it ended, as far as it was not by itself.
inline constexpr char kStop[] = "stop";
inline constexpr char kRunTimeout[] = "run_timeout";
inline constexpr char kReadyTimeout[] = "ready_timeout";
inline constexpr char kLost[] = "lost";      // the supervisor was killed
inline constexpr char kReboot[] = "reboot";  // the machine was restarted

}  // namespace berth::process::protocol
