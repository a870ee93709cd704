#!/usr/bin/env bash
# Searches the model in claim.pml exhaustively, then each broken variant until its fault is found.
# Needs spin and a C compiler. Fails when the model has an error, when a search did not reach the end,
# or when a broken variant is not found out.
#   docs/model/check.sh          everything, a table
set -euo pipefail
model=$(cd "$(dirname "$0")" && pwd)/claim.pml
command -v spin >/dev/null || { echo "model: there is no spin; install the package spin (scripts/setup.sh test does)." >&2; exit 1; }
command -v cc >/dev/null || { echo "model: there is no C compiler called cc; install build-essential." >&2; exit 1; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# check NAME EXPECTED DEFINES...: EXPECTED is "holds", or a part of the assertion that must fail.
# Leaves one line of the table in $work/NAME/line; fails when the outcome is not the expected one.
check() {
  local name=$1 expected=$2 result=wrong states depth seconds began=$EPOCHREALTIME
  shift 2
  mkdir "$work/$name" && cd "$work/$name"
  local build=(-DSAFETY) search=() optimize=-O1
  [[ " $* " != *" -DLIVE "* ]] || { build=(-DNFAIR=3); search=(-a -f); }
  [ "$expected" != holds ] || optimize=-O2
  if spin -a "$@" "$model" >spin.log 2>&1 && nice cc "$optimize" -w -DMEMLIM=3000 "${build[@]}" -o pan pan.c >>spin.log 2>&1; then
    nice ./pan -m200000 -w22 "${search[@]}" >out 2>&1 || true
  else
    cat spin.log >&2
    : >out
  fi
  if [ "$expected" = holds ]; then
    grep -q 'errors: 0$' out && ! grep -qE '^Warning|max search depth|out of memory|not completed' out && result=holds
  else
    grep '^pan:1:' out | grep -qF -- "$expected" && result=found
  fi
  states=$(sed -n 's/^ *\([0-9.e+]*\) states, stored.*/\1/p' out)
  depth=$(sed -n 's/.*depth reached \([0-9]*\),.*/\1/p' out)
  seconds=$(awk -v a="$began" -v b="$EPOCHREALTIME" 'BEGIN { printf "%.1f", b - a }')
  printf '| %-17s | %-6s | %9s | %6s | %5s |\n' "$name" "$result" "${states:-?}" "${depth:-?}" "$seconds" >line
  [ "$result" != wrong ] || { echo "model: $name: expected '$expected'; Spin says:" >&2; grep -E '^pan:|errors:|^Warning' out >&2; return 1; }
}

# The correct model, at the sizes at which each part of it shows all that it has.
runs=(
  "attempts:holds:-DN=2 -DTRIES=2 -DEPOCHS=2"
  "three:holds:-DN=3 -DTRIES=1 -DEPOCHS=2"
  "queue:holds:-DN=2 -DTRIES=1 -DEPOCHS=2 -DQUEUE"
  "arrival:holds:-DN=2 -DTRIES=1 -DEPOCHS=2 -DLIVE"
  "arrival_queue:holds:-DN=2 -DTRIES=1 -DEPOCHS=1 -DLIVE -DQUEUE"
  "BLIND:never_over_committed:-DN=3 -DTRIES=1 -DBLIND"
  "NO_EPOCH:current_epoch_decides:-DNO_EPOCH"
  "STALE_POLICY:none_low_past_a_high_one:-DSTALE_POLICY"
  "PUBLISH_FIRST:told_only_what_is_committed:-DPUBLISH_FIRST -DTRIES=1 -DQUEUE"
  "TRUST_QUEUE:no_lost_wakeup:-DTRUST_QUEUE -DTRIES=1 -DQUEUE"
  "TRUST_QUEUE_live:acceptance cycle:-DTRUST_QUEUE -DTRIES=1 -DEPOCHS=1 -DQUEUE -DLIVE"
  "STOP_BY_NAME:nobody_killed_unasked:-DSTOP_BY_NAME"
  "RELEASE_EARLY:no_orphan:-DRELEASE_EARLY"
  "NO_TOMBSTONE:one_start_per_attempt:-DNO_TOMBSTONE"
  "STALE_NEWS:no_orphan:-DSTALE_NEWS"
  "STALE_LIST:no_orphan:-DSTALE_LIST"
  "REACH_RETRY:seen_to_happen:-DREACH_RETRY"
  "REACH_REFUSAL:seen_to_happen:-DREACH_REFUSAL"
  "REACH_TOMBSTONE:seen_to_happen:-DREACH_TOMBSTONE"
  "REACH_TWO_LEADERS:seen_to_happen:-DREACH_TWO_LEADERS"
)
export -f check
export work model
printf '%s\0' "${runs[@]}" | xargs -0 -n1 -P2 bash -c \
  'IFS=: read -r name expected defines <<<"$0"; read -ra words <<<"$defines"; check "$name" "$expected" "${words[@]}"' &&
  status=0 || status=1
printf '| %-17s | %-6s | %9s | %6s | %5s |\n' variant result states depth s
echo '|-------------------|--------|-----------|--------|-------|'
for run in "${runs[@]}"; do cat "$work/${run%%:*}/line"; done
exit "$status"
