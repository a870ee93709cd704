#!/usr/bin/env bash
# The scaled-out shape on this machine, for trying it out: PostgreSQL, Redis, some `berth api` and some
# `berth scheduler`, as plain processes on the loopback interface. Everything lives in one folder; starting again
# goes on with what is there.
#   scripts/dev/scaled-out.sh start FOLDER [APIS] [SCHEDULERS]    2 of each, unless said otherwise
#   scripts/dev/scaled-out.sh status FOLDER
#   scripts/dev/scaled-out.sh stop FOLDER
# Environment: BERTH (build/release/src/app/berth), PORT (8000: the first API; the others follow), LEASE (5s).
set -euo pipefail
usage() { sed -n '2,9s/^# \{0,1\}//p' "$0" >&2; exit 2; }
die() { echo "scaled-out.sh: $*" >&2; exit 1; }
[ $# -ge 2 ] || usage
what=$1 folder=$(realpath -m "$2") apis=${3:-2} schedulers=${4:-2}
here=$(cd "$(dirname "$0")" && pwd)
berth=$(realpath -m "${BERTH:-$here/../../build/release/src/app/berth}")
port=${PORT:-8000}

born() { sed 's/.*) //' "/proc/$1/stat" 2>/dev/null | awk '$1 != "Z" { print $20 }'; } # when it began: numbers are used again
running() { # NAME: its process, if it still is the one that was started
  local pid
  pid=$(cat "$folder/$1.pid" 2>/dev/null) || return 1
  [ -n "$(born "$pid")" ] && [ "$(born "$pid")" = "$(cat "$folder/$1.born")" ] && echo "$pid"
}
parts() { find "$folder" -maxdepth 1 -name '*.pid' -printf '%f\n' 2>/dev/null | sed -nE 's/^((api|scheduler)-[0-9]+)\.pid$/\1/p' | sort -V; }
announced() { sed -nE "s/.*\"$2\":\"([^\"]*)\".*/\1/p" "$folder/$1.out" | tail -n 1; }

redis_answers() { case $1 in /*) redis-cli -s "$1" ping ;; *) redis-cli -u "$1" ping ;; esac | grep -q PONG; }
service() { # NAME PING...: the URL of what NAME.sh runs in its folder; started unless it answers
  local name=$1 url
  shift
  url=$(cat "$folder/$name.url" 2>/dev/null) && "$@" "${url#redis+unix://}" >/dev/null 2>&1 || url=$("$here/$name.sh" start "$folder/$name")
  echo "$url" | tee "$folder/$name.url"
}

launch() { # NAME WORDS...: started, announced and ready; or already running
  local name=$1 pid where
  shift
  running "$name" >/dev/null && return
  : >"$folder/$name.out"
  setsid "$berth" "$@" >"$folder/$name.out" 2>>"$folder/$name.log" </dev/null &
  pid=$!
  echo "$pid" >"$folder/$name.pid"
  born "$pid" >"$folder/$name.born"
  for _ in $(seq 300); do
    [ -s "$folder/$name.out" ] && break
    kill -0 "$pid" 2>/dev/null || break
    sleep 0.1
  done
  [ -s "$folder/$name.out" ] || die "$name did not start: $(tail -n 3 "$folder/$name.log")"
  where=$(announced "$name" api)
  where=${where%/api/v1}
  where=${where:-http://$(announced "$name" internal)}
  echo "$where" >"$folder/$name.url"
  for _ in $(seq 300); do
    curl -fs "$where/readyz" >/dev/null 2>&1 && return
    sleep 0.1
  done
  die "$name runs but is not ready: $(curl -s "$where/readyz")"
}

halt() { # NAME
  local pid
  if pid=$(running "$1"); then
    kill -TERM "$pid"
    for _ in $(seq 200); do
      running "$1" >/dev/null || break
      sleep 0.1
    done
    ! running "$1" >/dev/null || kill -KILL "$pid"
  fi
  rm -f "$folder/$1".{pid,born,url,out}
}

status() {
  local name
  [ -n "$(parts)" ] || { echo "Nothing runs in $folder."; return; }
  for name in $(parts); do
    if running "$name" >/dev/null; then
      printf '%-13s process %-8s %s  %s\n' "$name" "$(running "$name")" "$(cat "$folder/$name.url")" \
        "$(curl -fs -o /dev/null "$(cat "$folder/$name.url")/readyz" && echo ready || echo 'not ready')"
    else
      printf '%-13s ended; see %s\n' "$name" "$folder/$name.log"
    fi
  done
}

case $what in
  start)
    [ -x "$berth" ] || die "there is no $berth; build it with scripts/build.sh release berth, or set BERTH."
    [[ $apis$schedulers =~ ^[0-9]+$ ]] && [ "$apis" -ge 1 ] && [ "$schedulers" -ge 1 ] || usage
    mkdir -p "$folder/runtime"
    chmod 711 "$folder" "$folder/runtime"
    database=$(service postgres psql -X -q -c 'SELECT 1')
    redis=$(service redis redis_answers)
    "$berth" admin migrate up --database "$database" >>"$folder/migrate.log" 2>&1 || die "migrating failed: $(tail -n 3 "$folder/migrate.log")"
    if [ ! -s "$folder/password" ]; then
      (umask 077 && head -c 18 /dev/urandom | base64 >"$folder/password")
      "$berth" admin create-user --database "$database" --username admin --email admin@localhost.localdomain \
        --password-file "$folder/password" >/dev/null
    fi
    for n in $(seq "$schedulers"); do
      launch "scheduler-$n" scheduler --database "$database" --queue "$redis" --listen 127.0.0.1:0 --data-dir "$folder/runtime" \
        --lease "${LEASE:-5s}"
    done
    for n in $(seq "$apis"); do
      launch "api-$n" api --database "$database" --queue "$redis" --listen "127.0.0.1:$((port + n - 1))"
    done
    status
    echo
    echo "Log in    $berth login --server $(cat "$folder/api-1.url") --username admin --password-file $folder/password"
    echo "Then      $berth org create lab; $berth cluster create local; $berth deploy hello --cpu 500m -- sleep 60"
    echo "Swagger   $(cat "$folder/api-1.url")/swagger/ (user admin, password in $folder/password)"
    echo "SQL       psql '$database'"
    echo "Doctor    $berth doctor --database '$database' --queue '$redis'"
    echo "Stop      scripts/dev/scaled-out.sh stop $folder"
    ;;
  status) status ;;
  stop)
    for name in $(parts); do halt "$name"; done
    rm -f "$folder"/{postgres,redis}.url
    [ ! -d "$folder/redis" ] || "$here/redis.sh" stop "$folder/redis" 2>/dev/null || true
    [ ! -d "$folder/postgres" ] || "$here/postgres.sh" stop "$folder/postgres" 2>/dev/null || true
    echo "Stopped. Everything is still in $folder."
    ;;
  *) usage ;;
esac
