#!/usr/bin/env bash
# Installs what building, running (run), testing (test) and measuring (bench) need: Debian packages, and
# npm packages under console/. Quiet about what is there already.
#   scripts/setup.sh [run|test|bench]
set -euo pipefail
cd "$(dirname "$0")/.."
purpose=${1:-run}

# "a|b": the first of these that the distribution has (Debian 12 and Ubuntu 24.04 differ in versions).
packages=(
  build-essential "clang-19|clang-18" "lld-19|lld-18" cmake ninja-build ccache pkg-config git ca-certificates
  "libboost1.81-dev|libboost1.83-dev" "libboost-json1.81-dev|libboost-json1.83-dev"
  "libboost-url1.81-dev|libboost-url1.83-dev" libssl-dev libcurl4-openssl-dev libsqlite3-dev libpq-dev libsodium-dev
  libhiredis-dev libfmt-dev libspdlog-dev libcli11-dev libyaml-cpp-dev prometheus-cpp-dev python3 python3-numpy curl
)
if [ "$purpose" != run ]; then
  packages+=("libclang-rt-19-dev|libclang-rt-18-dev" "clang-tidy-19|clang-tidy-18" "clang-format-19|clang-format-18"
    python3-yaml systemd "libboost-context1.81-dev|libboost-context1.83-dev" libgtest-dev libgmock-dev
    librapidcheck-dev libbenchmark-dev sqlite3
    "postgresql-15|postgresql-16" redis-server redis-tools jq shellcheck spin chromium)
fi
command -v node >/dev/null && command -v npm >/dev/null || packages+=(nodejs npm)

installed() { dpkg-query -W -f '${db:Status-Status}\n' "$1" 2>/dev/null | grep -qx installed; }
missing=()
for entry in "${packages[@]}"; do
  IFS='|' read -ra choices <<<"$entry"
  for choice in "${choices[@]}"; do installed "$choice" && continue 2; done
  missing+=("$entry")
done

if [ ${#missing[@]} -gt 0 ]; then
  command -v apt-get >/dev/null || { echo "setup: this needs a Debian 12 or Ubuntu 24.04 machine: there is no apt-get." >&2; exit 1; }
  as_root=()
  if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || { echo "setup: run this once as root, or install sudo: these packages are missing: ${missing[*]}" >&2; exit 1; }
    as_root=(sudo)
  fi
  export DEBIAN_FRONTEND=noninteractive
  log=$(mktemp)
  echo "Installing ${#missing[@]} packages ..."
  "${as_root[@]}" apt-get update -qq >"$log" 2>&1 || { tail -n 5 "$log"; echo "setup: apt-get update failed; check the network and the package sources." >&2; exit 1; }
  chosen=()
  for entry in "${missing[@]}"; do
    IFS='|' read -ra choices <<<"$entry"
    pick=${choices[0]}
    for choice in "${choices[@]}"; do
      apt-cache policy "$choice" 2>/dev/null | grep -q 'Candidate: [0-9]' && { pick=$choice; break; }
    done
    chosen+=("$pick")
  done
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${chosen[@]}" >"$log" 2>&1 ||
    { tail -n 15 "$log"; echo "setup: could not install the packages; the lines above say why." >&2; exit 1; }
  rm -f "$log"
  # The tests start Redis servers of their own; one that came with the package must not go on running.
  if [[ " ${missing[*]} " == *" redis-server "* ]] && [ -d /run/systemd/system ]; then
    "${as_root[@]}" systemctl disable --now --quiet redis-server || echo "setup: could not stop the service redis-server." >&2
  fi
fi

# Swagger UI is built into the binary; tests also lint the API description and drive a browser.
stamp=console/node_modules/.berth-$([ "$purpose" = run ] && echo run || echo all)
if [ ! -e console/node_modules/.berth-all ] && { [ ! -e "$stamp" ] || [ console/package-lock.json -nt "$stamp" ]; } ||
   [ console/package-lock.json -nt console/node_modules ]; then
  echo "Installing the console's packages ..."
  omit=(); [ "$purpose" = run ] && omit=(--omit=dev)
  (cd console && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error "${omit[@]}" >/dev/null) ||
    { echo "setup: npm ci failed in console/; check the network." >&2; exit 1; }
  touch "$stamp"
fi
