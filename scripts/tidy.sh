#!/usr/bin/env bash
# The repository checks itself: layout, format, shell scripts, clang-tidy.
#   scripts/tidy.sh BUILD_DIRECTORY [--fix]
set -euo pipefail
cd "$(dirname "$0")/.."
build=$1
tool() { command -v "$1-19" || command -v "$1-18" || { echo "tidy: there is no $1; run scripts/setup.sh test" >&2; exit 1; }; }
format=$(tool clang-format)
mapfile -t sources < <(git ls-files '*.cc' '*.h')
[ "${2:-}" = --fix ] && "$format" -i "${sources[@]}"

/usr/bin/python3 tests/tidy/layout.py
"$format" --dry-run -Werror "${sources[@]}" || { echo "tidy: run scripts/tidy.sh $build --fix" >&2; exit 1; }
mapfile -t shells < <(git ls-files '*.sh'; echo .ci/run)
shellcheck -S warning "${shells[@]}"

# clang-tidy is slow: a file is looked at again only when it, a header of ours, or the rules have changed.
tidy=$(tool clang-tidy)
cache=$build/tidy-cache
mkdir -p "$cache"
rules=$( (cat .clang-tidy; git ls-files '*.h' | xargs cat; "$tidy" --version) | sha256sum | cut -c1-16)
todo=()
for file in "${sources[@]}"; do
  [[ $file == src/*.cc ]] && grep -qF "\"$PWD/$file\"" "$build/compile_commands.json" || continue
  key=$cache/$( (echo "$rules $file"; cat "$file") | sha256sum | cut -c1-32)
  [ -e "$key" ] || todo+=("$file" "$key")
done
[ ${#todo[@]} -eq 0 ] || {
  echo "clang-tidy: $((${#todo[@]} / 2)) files"
  printf '%s\0' "${todo[@]}" | xargs -0 -n2 -P2 bash -c '"$0" --quiet -p "$1" "$2" 2>/dev/null && : >"$3"' "$tidy" "$build" ||
    { echo "tidy: clang-tidy found something; see above." >&2; exit 1; }
}
echo "repository checks passed"
