#!/usr/bin/env bash
# Installs what the tests need, builds, and runs them all:
#   repository checks, the whole suite in release, the whole suite under address and undefined-behaviour
#   sanitizers, the concurrent part under the thread sanitizer.
#   ./test.sh            everything
#   ./test.sh quick      repository checks and the release suite only
set -euo pipefail
cd "$(dirname "$0")"
part=${1:-all}
case $part in all|quick) ;; *) echo "test.sh: it takes no argument, or 'quick'." >&2; exit 2 ;; esac
began=$SECONDS
title() { printf '\n== %s (after %s s)\n' "$*" "$((SECONDS - began))"; }

scripts/setup.sh test

passed=0
run_suite() { # PRESET CTEST-ARGUMENTS...
  local preset=$1 log
  shift
  log=build/$preset/test.log
  if ! (cd "build/$preset" && ctest --output-on-failure --no-tests=error -j2 "$@") 2>&1 | tee "$log" | grep --line-buffered -vE '^ +Start|^Test project'; then
    [ "${PIPESTATUS[0]}" -eq 0 ] || { echo "test.sh: the $preset suite failed; see above (whole log: $log)." >&2; exit 1; }
  fi
  grep -q '100% tests passed' "$log" || { echo "test.sh: the $preset suite failed; see above (whole log: $log)." >&2; exit 1; }
  passed=$((passed + $(grep -oE 'out of [0-9]+' "$log" | tail -n1 | tr -dc 0-9)))
}

title "release: build and test"
scripts/build.sh release -- -DBERTH_TESTS=ON -DBERTH_BENCH=ON
title "repository checks"
scripts/tidy.sh build/release
title "release: tests"
run_suite release

if [ "$part" = all ]; then
  title "address and undefined-behaviour sanitizers"
  scripts/build.sh asan
  run_suite asan
  title "thread sanitizer, concurrent tests"
  # Only what races is built a third time: the tests of this label are programs of the same name,
  # those called _scaled run one of the others against several processes.
  scripts/build.sh tsan help
  mapfile -t racing < <(cd build/tsan && ctest -N -L concurrent | sed -nE 's/.*Test +#[0-9]+: (\w+)$/\1/p' | sed 's/_scaled$//' | sort -u)
  scripts/build.sh tsan "${racing[@]}"
  run_suite tsan -L concurrent
fi

title "done"
echo "$passed passed, 0 failed"
