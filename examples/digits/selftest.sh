#!/bin/sh
# Trains, serves and measures the digits model, and sends the server what it must refuse.
#
#   selftest.sh PATH/OF/digits-server
set -eu

server=${1:?usage: selftest.sh PATH/OF/digits-server}
here=$(cd "$(dirname "$0")" && pwd)
command -v curl >/dev/null || { echo "FAILED: there is no curl" >&2 && exit 1; }
/usr/bin/python3 -c 'import numpy' 2>/dev/null ||
  { echo "FAILED: /usr/bin/python3 has no numpy" >&2 && exit 1; }
work=$(mktemp -d)
pid=
finish() {
  [ -z "$pid" ] || kill -KILL "$pid" 2>/dev/null || true
  rm -rf "$work"
}
trap finish EXIT
fail() {
  echo "FAILED: $*" >&2
  if [ -s "$work/stderr" ]; then cat "$work/stderr" >&2; fi
  exit 1
}

# --- what does not start -------------------------------------------------------------------------
refuses_to_start() { # PORT SENTENCE ARGUMENTS...
  port=$1 sentence=$2
  shift 2
  status=0
  PORT=$port "$server" "$@" >"$work/stdout" 2>"$work/stderr" || status=$?
  [ "$status" = 2 ] || fail "exit status $status, not 2, for: PORT=$port $*"
  grep -qF -- "$sentence" "$work/stderr" || fail "no word of '$sentence'"
}

/usr/bin/python3 "$here/train.py" "$work/model"
weights=$work/model/weights.bin
head -c 1000 "$weights" >"$work/short.bin"
{ cat "$weights" && echo; } >"$work/long.bin"
{ head -c 20 "$weights" && tail -c +25 "$weights" && printf '\0\0\300\177'; } >"$work/nan.bin"
refuses_to_start 0 "say where the weights are"
refuses_to_start 0 "usage:" --weights
refuses_to_start 0 "usage:" --model "$weights"
refuses_to_start 65536 "PORT must be a number" --weights "$weights"
refuses_to_start -1 "PORT must be a number" --weights "$weights"
refuses_to_start 0 "--host must be an IP address" --weights "$weights" --host localhost
refuses_to_start 0 "cannot open" --weights "$work/none.bin"
refuses_to_start 0 "is not a weights file" --weights "$work/model/heldout.csv"
refuses_to_start 0 "is cut short" --weights "$work/short.bin"
refuses_to_start 0 "goes on after" --weights "$work/long.bin"
refuses_to_start 0 "no weights" --weights "$work/nan.bin"

# --- start ---------------------------------------------------------------------------------------
mkfifo "$work/ready"
PORT=0 "$server" --weights "$weights" >"$work/ready" 2>"$work/stderr" &
pid=$!
exec 3<"$work/ready"
read -r _ _ url <&3 || fail "the server did not start"
cat <&3 >"$work/log" &
exec 3<&-
alive() { kill -0 "$pid" 2>/dev/null || fail "the server is gone after: $*"; }

# --- routes --------------------------------------------------------------------------------------
expect() { # STATUS TEXT CURL_ARGUMENTS...   The answer has this status and contains the text.
  wanted=$1 text=$2
  shift 2
  got=$(curl --silent --show-error --max-time 20 --output "$work/answer" --write-out '%{http_code}' \
    "$@") || fail "no answer to: $*"
  [ "$got" = "$wanted" ] || fail "status $got, not $wanted, for: $* -- $(head -c 300 "$work/answer")"
  grep -qF -- "$text" "$work/answer" || fail "no '$text' for: $* -- $(head -c 300 "$work/answer")"
  alive "$@"
}
infer=$url/v2/models/digits/infer

expect 200 '{"live":true}' "$url/v2/health/live"
expect 200 '{"ready":true}' "$url/v2/health/ready"
expect 200 '{"ready":true}' "$url/v2/health/ready?verbose=1"
expect 200 '"name":"digits-server"' "$url/v2"
expect 200 '"shape":[-1,64]' "$url/v2/models/digits"
expect 200 '"shape":[-1,64]' "$url/v2/models/digits/versions/1"
expect 200 '"ready":true' "$url/v2/models/digits/ready"
expect 200 '"ready":true' "$url/v2/models/digits/versions/1/ready"
expect 200 '<title>Digits</title>' "$url/"
expect 200 '' --head "$url/"
for path in /v2/models/letters /v2/models/digits/versions/2 /v2/models/digits/versions/11/infer \
  /v2/ /favicon.ico /../etc/passwd /v2/models/digits/; do
  expect 404 '"error":' --path-as-is "$url$path"
done
expect 405 'takes GET only' --request POST "$url/v2"
expect 405 'takes GET only' --request DELETE "$url/"
expect 405 'takes POST only' "$infer"
expect 405 'takes POST only' --request BREW "$infer"

# --- inference -----------------------------------------------------------------------------------
first=$(head -n 1 "$work/model/heldout.csv")
row=${first%,*} label=${first##*,}
image() { # SHAPE DATA [MORE_FIELDS]
  printf '{"id":"1","inputs":[{"name":"image","datatype":"FP32","shape":%s,"data":%s}]%s}' \
    "$1" "$2" "${3-}" >"$work/body"
}
send() { expect "$1" "$2" --data-binary "@$work/body" "$infer"; } # STATUS TEXT
zeros=$(seq -s , 64 | sed 's/[0-9][0-9]*/0/g')

one='{"name":"label","datatype":"INT64","shape":[1],"data":['$label']}'
image '[1,64]' "[$row]"
send 200 "$one"
send 200 '"model_name":"digits","model_version":"1","id":"1"'
expect 200 "$one" --data-binary "@$work/body" "$url/v2/models/digits/versions/1/infer"
expect 200 "$one" --data-binary "@$work/body" --header 'Expect: 100-continue' "$infer"
expect 200 "$one" --data-binary "@$work/body" --header 'Transfer-Encoding: chunked' "$infer"
expect 200 "$one" --data-binary "@$work/body" --http1.0 "$infer"
image '[1,64]' "[[$row]]"
send 200 "$one"
image '[2,64]' "[[$row],[$row]]"
send 200 "\"shape\":[2],\"data\":[$label,$label]"
image '[1,64]' "[$zeros]"
send 200 '"shape":[1,10]'
image '[1,64]' "[$row]" ',"outputs":[{"name":"label"}]'
send 200 "\"outputs\":[$one]}"
image '[1,64]' "[$row]" ',"outputs":[{"name":"colour"}]'
send 400 '\"outputs\" must be'

# --- what is refused -----------------------------------------------------------------------------
for shape in '[64]' '[0,64]' '[-1,64]' '[1,65]' '[1.5,64]' '["1",64]' '[1,64,1]' null '{}' \
  '[1e300,64]' '[9223372036854775807,64]' '[18446744073709551615,64]' '[4611686018427387905,64]' \
  '[288230376151711745,64]'; do
  image "$shape" "[$row]"
  send 400 '"error":'
done
image '[2,64]' "[$row]"
send 400 '\"data\" has 64 numbers, \"shape\" asks for 128'
image '[2,64]' "[[$row]]"
send 400 '\"data\" has 1 rows'
for data in '[]' '{}' '"0"' '[[]]' '[[1,2]]' "[[$row],7]"; do
  image '[1,64]' "$data"
  send 400 '"error":'
done
for pixel in 17 -1 1e39 1e999 -1e999 16.001 null true '"1"' '[1]' '{}' 18446744073709551616; do
  image '[1,64]' "[0,$pixel,${row#*,*,}]"
  send 400 'a pixel must be a number between 0 and 16'
done
for pixel in NaN Infinity 0x10 01 1. ''; do
  image '[1,64]' "[0,$pixel,${row#*,*,}]"
  send 400 'the body is not JSON'
done
for body in '' '{' 'null' '[]' '"x"' '{}' '{"inputs":{}}' '{"inputs":[]}' '{"inputs":[1]}' \
  '{"inputs":[{}]}' '{"id":7,"inputs":[]}' '{"inputs":[{"name":"image"}]}' \
  '{"inputs":[{"name":"image","datatype":"FP64"}]}' '{"a":"\ud800"}' '{} {}'; do
  printf '%s' "$body" >"$work/body"
  send 400 '"error":'
done
printf '{"id":"\377"}' >"$work/body"
send 400 'the body is not JSON'
head -c 1000000 /dev/zero | tr '\0' '[' >"$work/body"
send 400 'the body is not JSON'
head -c 5242880 /dev/zero | tr '\0' '1' >"$work/body"
send 413 'larger than 4 MiB'
expect 413 'larger than 4 MiB' --header 'Expect:' --data-binary "@$work/body" "$infer"
expect 413 'larger than 4 MiB' --header 'Expect:' --header 'Transfer-Encoding: chunked' \
  --data-binary "@$work/body" "$infer"
expect 400 'not an HTTP request' --header "X: $(head -c 20000 "$work/body")" "$url/"

# Things that curl does not send: torn and odd requests, and more connections than are served at once.
/usr/bin/python3 - "$url" <<'PYTHON' || fail "odd connections"
import socket, struct, sys, urllib.parse
at = urllib.parse.urlsplit(sys.argv[1])
def connect():
    return socket.create_connection((at.hostname, at.port), timeout=20)
def answer(*parts):
    with connect() as s:
        for part in parts:
            s.sendall(part)
        s.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: s.recv(65536), b""))
POST = b"POST /v2/models/digits/infer HTTP/1.1\r\nHost: x\r\n"
assert answer(b"") == b""
assert answer(b"GET / HT") == b""
assert answer(POST + b"Content-Length: 100\r\n\r\n{") == b""
assert answer(b"\x16\x03\x01\x02\0\r\n\r\n").startswith(b"HTTP/1.1 400 ")
assert answer(POST + b"Content-Length: -1\r\n\r\n").startswith(b"HTTP/1.1 400 ")
assert answer(POST + b"Content-Length: 99999999999999999999\r\n\r\n").startswith(b"HTTP/1.1 4")
assert answer(POST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n").startswith(b"HTTP/1.1 400 ")
assert answer(POST + b"Transfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFF\r\n").startswith(b"HTTP/1.1 4")
live = b"GET /v2/health/live HTTP/1.1\r\nHost: x\r\n\r\n"
assert answer(live, live, live).count(b"HTTP/1.1 200 OK") == 3  # several on one connection
for cut in (1, 10, 60):  # closed hard, in the middle
    s = connect()
    s.sendall((POST + b"Content-Length: 1000\r\n\r\n{" )[:cut])
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    s.close()
crowd = [connect() for _ in range(100)]
for s in crowd:
    s.close()
assert answer(live).startswith(b"HTTP/1.1 200 ")
PYTHON
alive "odd connections"

# --- accuracy ------------------------------------------------------------------------------------
/usr/bin/python3 "$here/evaluate.py" --url "$url" --heldout "$work/model/heldout.csv" \
  --at-least 0.96 || fail "evaluate.py"
/usr/bin/python3 "$here/evaluate.py" --url "$url/" --heldout "$work/model/heldout.csv" --batch 1 \
  >"$work/answer" || fail "evaluate.py, one image at a time"
for wrong in "--url $url --at-least 1.01" "--url $url/serve/nobody" "--url ftp://x" \
  "--url http://127.0.0.1:1" "--url $url --batch 0" "--url $url --token-file $work/none"; do
  # shellcheck disable=SC2086  # several words on purpose
  if /usr/bin/python3 "$here/evaluate.py" --heldout "$work/model/heldout.csv" $wrong \
    >/dev/null 2>"$work/answer"; then
    fail "evaluate.py is content with $wrong"
  fi
  grep -q '^evaluate.py: ' "$work/answer" || fail "no sentence for $wrong: $(cat "$work/answer")"
done

# --- end -----------------------------------------------------------------------------------------
grep -q '^GET /v2/health/live 200 [0-9.]*$' "$work/log" || fail "the log lacks a request"
mkfifo "$work/half"
/usr/bin/python3 - "$url" >"$work/half" <<'PYTHON' & # somebody in the middle of a request
import socket, sys, urllib.parse
at = urllib.parse.urlsplit(sys.argv[1])
with socket.create_connection((at.hostname, at.port), timeout=20) as s:
    s.sendall(b"GET /v2 HTTP/1.1\r\nHost: x\r\n\r\nPOST /v2/mod")
    s.recv(65536)
    print("half way", flush=True)
    s.recv(65536)
PYTHON
read -r _ <"$work/half" || fail "no answer to half a request"
kill -TERM "$pid"
status=0
wait "$pid" || status=$?
pid=
[ "$status" = 0 ] || fail "exit status $status after SIGTERM"
[ ! -s "$work/stderr" ] || fail "something on stderr"
echo "all well"
