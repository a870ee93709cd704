#!/usr/bin/env bash
# Builds Berth, starts it on this machine, and shows its main job at work on a real model.
#   ./run.sh         build, start (or use what runs), show
#   ./run.sh stop    stop the server and what the show left running
# Environment: PORT (8000), BERTH_HOME (.berth: database, credentials, logs).
set -euo pipefail
cd "$(dirname "$0")"
port=${PORT:-8000}
home=${BERTH_HOME:-.berth}
url=http://localhost:$port
say() { printf '%s\n' "$*"; }
title() { printf '\n== %s\n' "$*"; }
die() { printf 'run.sh: %s\n' "$*" >&2; exit 1; }

# Workloads run as users of their own where this runs as root: they must get to what they run.
if [ "$(id -u)" -eq 0 ] && [ -z "${BERTH_HOME:-}" ]; then
  at=$PWD
  while [ "$at" != / ]; do
    [ $((0$(stat -c %a "$at") & 1)) -eq 1 ] || { home=/var/lib/berth-demo; break; }
    at=$(dirname "$at")
  done
fi
mkdir -p "$home"
home=$(cd "$home" && pwd)
chmod 711 "$home"
data=$home/data
export BERTH_CONFIG=$home/cli/config.yaml
berth() { "$home/bin/berth" "$@"; }
server_pid() { # the process that holds the data directory, if there is one
  local pid
  pid=$(cat "$data/lock" 2>/dev/null) || return 1
  [ -n "$pid" ] && [ "$(readlink "/proc/$pid/exe" 2>/dev/null | sed 's/ (deleted)$//')" = "$home/bin/berth" ] && echo "$pid"
}

if [ "${1:-}" = stop ]; then
  pid=$(server_pid) || { say "Nothing runs."; exit 0; }
  names=$(berth ps -o name -q) && [ -n "$names" ] && xargs -r "$home/bin/berth" stop --yes --wait -q <<<"$names"
  kill -TERM "$pid"
  while [ -e "/proc/$pid" ]; do sleep 0.1; done
  say "Stopped. Everything is still in $home; ./run.sh goes on from there."
  exit 0
fi
[ $# -eq 0 ] || die "it takes no argument, or 'stop'."

# --- build -----------------------------------------------------------------------------------------
scripts/setup.sh run
scripts/build.sh release berth digits-server
mkdir -p "$home/bin" "$home/digits" "$(dirname "$BERTH_CONFIG")"
chmod 755 "$home/bin" "$home/digits"
chmod 700 "$(dirname "$BERTH_CONFIG")"
for file in src/app/berth examples/digits/digits-server; do
  cmp -s "build/release/$file" "$home/bin/${file##*/}" || install -m 755 "build/release/$file" "$home/bin/"
done

# --- start -----------------------------------------------------------------------------------------
if pid=$(server_pid); then
  title "Berth runs already (process $pid)"
  url=$(cat "$home/url")
else
  title "Starting Berth"
  setsid "$home/bin/berth" serve --listen "127.0.0.1:$port" --data-dir "$data" >"$home/serve.log" 2>&1 </dev/null &
  echo "$url" >"$home/url"
  for _ in $(seq 100); do
    curl -fs "$url/readyz" >/dev/null 2>&1 && break
    server_pid >/dev/null || [ ! -s "$home/serve.log" ] || ! grep -q '^berth:' "$home/serve.log" || break
    sleep 0.1
  done
  pid=$(server_pid) || die "the server did not start: $(grep -h '^berth:' "$home/serve.log" || tail -n 3 "$home/serve.log") (another port: PORT=8001 ./run.sh)"
fi
if [ ! -s "$home/password" ]; then
  (umask 077 && head -c 18 /dev/urandom | base64 >"$home/password")
fi
if berth whoami --server "$url" >/dev/null 2>&1; then
  : # logged in from an earlier run
elif [ -s "$data/setup-token" ]; then
  berth setup --server "$url" --token-file "$data/setup-token" --username admin --email admin@localhost.localdomain \
    --password-file "$home/password" --org demo
else
  berth login --server "$url" --username admin --password-file "$home/password" >/dev/null
fi

title "This machine, taken as a cluster"
berth cluster status local >/dev/null 2>&1 || berth cluster create local -q >/dev/null
berth cluster status local

# --- a real model ----------------------------------------------------------------------------------
title "A real model: handwritten digits, trained now"
[ -s "$home/digits/weights.bin" ] || /usr/bin/python3 examples/digits/train.py "$home/digits"
chmod 644 "$home"/digits/*
leftover=$(berth ps -o name -q) && [ -n "$leftover" ] && xargs "$home/bin/berth" stop --yes --wait -q <<<"$leftover" >/dev/null
berth deploy digits --cluster local --priority high --cpu 500m --memory 256MiB --port 8080 --ready /v2/health/ready --wait \
  -- "$home/bin/digits-server" --weights "$home/digits/weights.bin"
(umask 077 && berth token create run-sh -o json | jq -r .key >"$home/token" 2>/dev/null || berth token create run-sh >"$home/token")
say ""
/usr/bin/python3 examples/digits/evaluate.py --url "$url/serve/demo/digits" --heldout "$home/digits/heldout.csv" \
  --token-file "$home/token" --at-least 0.95

# --- a queue that explains itself ------------------------------------------------------------------
title "Filling the cluster with low-priority work"
half=$(berth cluster status local -o json | /usr/bin/python3 -c 'import json,sys; print(int(json.load(sys.stdin)["available"]["cpu"] * 1000) // 2)')
for n in 1 2 3; do
  berth deploy "nightly-$n" --cluster local --kind job --priority low --cpu "${half}m" --memory 32MiB -q -o name -- sleep 86400 >/dev/null
done
title "... and then something urgent comes"
berth deploy urgent-1 --cluster local --priority high --cpu "${half}m" --memory 32MiB -q -o name -- sleep 86400 >/dev/null
berth deploy urgent-2 --cluster local --priority high --cpu "$((half * 2))m" --memory 32MiB -q -o name -- sleep 86400 >/dev/null
berth ps
title "Who waits, and why"
berth queue local
say ""
for name in urgent-1 urgent-2 nightly-3; do berth explain "$name"; say ""; done
title "Stopping nightly-1: who starts next?"
berth stop nightly-1 --yes --wait
berth ps
say ""
berth events urgent-1

title "It goes on running. Yours to try:"
say "  API            $url/api/v1"
say "  Swagger UI     $url/swagger/       (log in with POST /auth/login, then Authorize)"
say "  The model      $url/serve/demo/digits/    (needs the token: curl -H \"Authorization: Bearer \$(cat $home/token)\" ...)"
say "  Credentials    user admin, password in $home/password"
say "  Command line   export BERTH_CONFIG=$BERTH_CONFIG; $home/bin/berth ps"
say "  Server log     $home/serve.log"
say "  Stop           ./run.sh stop"
