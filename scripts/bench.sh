#!/usr/bin/env bash
# Builds and runs every benchmark and writes the tables to build/bench/results.md.
#   scripts/bench.sh [quick]     quick: smaller sizes, for a look
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/setup.sh bench
scripts/build.sh release -- -DBERTH_BENCH=ON
mkdir -p build/bench
out=build/bench/results.md
sizes=()
[ "${1:-}" = quick ] && sizes=(--seconds 1 --rounds 1 --starts 100 --waiting 10000)
{
  echo "# Benchmarks"
  echo
  echo "$(grep -m1 'model name' /proc/cpuinfo | cut -d: -f2 | xargs), $(nproc) cores, load $(cut -d' ' -f1 /proc/loadavg) at the start; $(date -u +%F)."
  echo
  echo "## The whole server over HTTP"
  echo
  build/release/bench/api/api_bench build/release/src/app/berth --scratch build/bench "${sizes[@]}"
} | tee "$out"
for program in build/release/bench/scheduler/*_bench build/release/bench/store/*_bench build/release/bench/queue/*_bench; do
  [ -x "$program" ] || continue
  { echo; echo "## ${program##*/}"; echo; "$program"; } | tee -a "$out"
done
echo "Written to $out."
