#!/usr/bin/env bash
# Configures and builds a preset, showing one line of progress.
#   scripts/build.sh release|dev|asan|tsan [TARGET ...] [-- CMAKE ARGUMENTS]
set -euo pipefail
cd "$(dirname "$0")/.."
preset=$1; shift
targets=(); extra=()
while [ $# -gt 0 ]; do
  [ "$1" = -- ] && { shift; extra=("$@"); break; }
  targets+=("$1"); shift
done
command -v clang++-19 >/dev/null || extra+=(-DCMAKE_CXX_COMPILER=clang++-18 -DCMAKE_C_COMPILER=clang-18)
log=$(mktemp)
trap 'rm -f "$log"' EXIT
cmake --preset "$preset" "${extra[@]}" >"$log" 2>&1 || { tail -n 20 "$log" >&2; echo "build: configuring $preset failed; see above." >&2; exit 1; }
began=$SECONDS
flags=(); for target in "${targets[@]}"; do flags+=(--target "$target"); done
show() {
  local line shown=0
  while IFS= read -r line; do
    if [[ $line =~ ^[0-9]+/[0-9]+\  ]]; then
      if [ -t 1 ]; then printf '\rBuilding %s: %s\033[K' "$preset" "${line%% *}"
      elif [ $((SECONDS - shown)) -ge 20 ]; then shown=$SECONDS; echo "Building $preset: ${line%% *}"; fi
    fi
  done
}
if ! NINJA_STATUS='%f/%t ' cmake --build "build/$preset" "${flags[@]}" 2>&1 | tee "$log" | show; then
  [ -t 1 ] && echo
  grep -A20 -E 'error:|FAILED:|undefined' "$log" | grep -v '^/usr/bin/cmake' | head -n 60 >&2 || tail -n 5 "$log" >&2
  echo "build: $preset failed; see above." >&2
  exit 1
fi
[ ! -t 1 ] || printf '\r\033[K'
[ $((SECONDS - began)) -lt 3 ] || echo "Built $preset in $((SECONDS - began)) s."
