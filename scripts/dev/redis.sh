#!/usr/bin/env bash
# A Redis of one's own in a folder, for tests and for trying things: a unix socket in that folder, no
# password, nothing kept on disk. Prints its URL. Settings in FOLDER/extra.conf are added to ours.
#   scripts/dev/redis.sh start FOLDER [PID]         starts it; stops it once process PID is gone
#   scripts/dev/redis.sh stop FOLDER [immediate]    "immediate" is a crash
set -euo pipefail
usage() { sed -n '2,5s/^# \{0,1\}//p' "$0" >&2; exit 2; }
[ $# -ge 2 ] || usage
self=$(realpath "$0")
what=$1 folder=$(realpath -m "$2")
command -v redis-server >/dev/null || { echo "redis.sh: Redis is not installed; run scripts/setup.sh test." >&2; exit 1; }

# The number of its process, if it runs: one that works in this folder, whoever else has that number.
running() {
  local pid
  pid=$(cat "$folder/redis.pid" 2>/dev/null) && [ "$(readlink "/proc/$pid/cwd")" = "$folder" ] && echo "$pid"
}
stop() {
  local pid
  pid=$(running) || return 0
  kill "-$1" "$pid"
  for _ in $(seq 500); do [ "$(running)" = "$pid" ] || return 0; sleep 0.02; done
  kill -KILL "$pid"
}

case $what in
  start)
    mkdir -p "$folder"
    touch "$folder/extra.conf"
    if ! running >/dev/null; then
      printf '%s\n' "dir $folder" "pidfile $folder/redis.pid" "logfile $folder/server.log" 'daemonize yes' 'port 0' \
        "unixsocket $folder/redis.sock" 'unixsocketperm 700' 'save ""' 'appendonly no' "include $folder/extra.conf" >"$folder/redis.conf"
      redis-server "$folder/redis.conf" >/dev/null || { tail -n 5 "$folder/server.log" >&2; exit 1; }
    fi
    for _ in $(seq 500); do
      running >/dev/null && redis-cli -s "$folder/redis.sock" ping >/dev/null 2>&1 && up=yes && break
      sleep 0.02
    done
    [ -n "${up:-}" ] || { echo "redis.sh: it does not answer:" >&2; tail -n 5 "$folder/server.log" >&2; exit 1; }
    if [ -n "${3:-}" ]; then
      # In a session of its own: what ends the caller's group must not end this.
      # shellcheck disable=SC2016
      setsid bash -c 'while kill -0 "$1" 2>/dev/null; do sleep 1; done; exec "$2" stop "$3" immediate' \
        watch "$3" "$self" "$folder" </dev/null >/dev/null 2>&1 &
    fi
    echo "redis+unix://$folder/redis.sock"
    ;;
  stop)
    if [ "${3:-}" = immediate ]; then stop KILL; else stop TERM; fi
    ;;
  *) usage ;;
esac
