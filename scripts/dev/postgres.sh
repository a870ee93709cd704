#!/usr/bin/env bash
# A PostgreSQL of one's own in a folder, for tests and for trying things: a unix socket in that folder,
# no password, durable as in production. Prints its URL. Root may not run PostgreSQL, so as root it
# runs as the user postgres.
#   scripts/dev/postgres.sh start FOLDER [PID]         starts it; stops it once process PID is gone
#   scripts/dev/postgres.sh stop FOLDER [immediate]    "immediate" is a crash: nothing is written any more
set -euo pipefail
usage() { sed -n '2,7s/^# \{0,1\}//p' "$0" >&2; exit 2; }
[ $# -ge 2 ] || usage
self=$(realpath "$0")
what=$1 folder=$(realpath -m "$2")
bin=$(find /usr/lib/postgresql -maxdepth 2 -name bin 2>/dev/null | sort -V | tail -n 1)
[ -n "$bin" ] || { echo "postgres.sh: PostgreSQL is not installed; run scripts/setup.sh test." >&2; exit 1; }
as=()
[ "$(id -u)" -ne 0 ] || as=(setpriv --reuid postgres --regid postgres --clear-groups)

case $what in
  start)
    mkdir -p "$folder"
    [ "$(id -u)" -ne 0 ] || chown postgres "$folder"
    cd "$folder"
    if [ ! -d data ]; then
      "${as[@]}" "$bin/initdb" -D data -U berth -A trust -E UTF8 --locale=C.UTF-8 --no-sync >initdb.log 2>&1 ||
        { tail -n 5 initdb.log >&2; exit 1; }
      printf '%s\n' "listen_addresses = ''" "unix_socket_directories = '$folder'" 'max_connections = 100' \
        'shared_buffers = 64MB' >>data/postgresql.conf
      fresh=yes
    fi
    "${as[@]}" "$bin/pg_ctl" -D data -l "$folder/server.log" -w -s start </dev/null >/dev/null ||
      { tail -n 5 "$folder/server.log" >&2; exit 1; }
    [ -z "${fresh:-}" ] || "$bin/createdb" -h "$folder" -U berth berth
    if [ -n "${3:-}" ]; then
      # In a session of its own: what ends the caller's group must not end this.
      # shellcheck disable=SC2016
      setsid bash -c 'while kill -0 "$1" 2>/dev/null; do sleep 1; done; exec "$2" stop "$3" immediate' \
        watch "$3" "$self" "$folder" </dev/null >/dev/null 2>&1 &
    fi
    echo "postgresql://berth@/berth?host=$folder"
    ;;
  stop)
    cd "$folder"
    "${as[@]}" "$bin/pg_ctl" -D data -m "${3:-fast}" -w -s stop
    ;;
  *) usage ;;
esac
