#!/usr/bin/env bash
# Makes the passwords of this installation, once, as files in secrets/ beside this script. Only the owner gets into
# that folder; the files in it can be read by the containers' users.
set -euo pipefail
cd "$(dirname "$0")"
[ ! -d secrets ] || { echo "secrets.sh: secrets/ is there already; nothing was changed."; exit 0; }
umask 077
mkdir secrets.new
cd secrets.new
password() { head -c 32 /dev/urandom | base64 | tr -dc 'a-zA-Z0-9' | head -c 32; }
postgres=$(password) redis=$(password)
database=postgresql://berth:$postgres@postgres/berth
printf '%s' "$postgres" >postgres-password
printf '%s' "$redis" >redis-password
printf 'requirepass %s\n' "$redis" >redis-auth
printf '%s\n' "$database" >database-url
printf 'database = "%s"\nqueue = "redis://default:%s@redis:6379/0"\n' "$database" "$redis" >berth.conf
password >admin-password
chmod 644 ./*
cd ..
mv secrets.new secrets
echo "Made secrets/. The first administrator's password will be the one in secrets/admin-password."
