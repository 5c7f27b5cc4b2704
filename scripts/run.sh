#!/usr/bin/env bash
# First use of openbook from end to end: start the service, ingest samples/, ask one question, keep serving.
# Every command it runs is shown, so that it can be run by hand.
#
#   RUN_ONCE=1            stop after the answer; the exit code is that of the question
#   OPENBOOK_DATA_DIR     where the index and the logs go (default: .openbook in this folder)
set -uo pipefail
cd "$(dirname "$0")/.."

QUESTION="How much money did the committee approve for the year?"
COLLECTION=samples

export OPENBOOK_DATA_DIR="${OPENBOOK_DATA_DIR:-$PWD/.openbook}"
export HF_HUB_OFFLINE=1 DO_NOT_TRACK=1 UNSTRUCTURED_DISABLE_NOTICE=1 VLLM_NO_USAGE_STATS=1
export TOKENIZERS_PARALLELISM=false PYTHONUNBUFFERED=1
unset PYTHONDONTWRITEBYTECODE # where it is set, every start compiles every module anew
openbook=.venv/bin/openbook
log="$OPENBOOK_DATA_DIR/serve.log"
service="" # process ids of what runs beside this script
command=""

show() {
  local word line=${1##*/}
  for word in "${@:2}"; do
    case $word in *[!A-Za-z0-9_./:-]*) line+=" ${word@Q}" ;; *) line+=" $word" ;; esac
  done
  printf '\n$ %s\n' "$line"
}

# Start "$@" beside this script and leave its process id in $started. `set -m` gives it a process group of its
# own: a Ctrl-C then reaches this script alone, which ends what it started in order.
beside() {
  set -m
  "$@" &
  started=$!
  set +m
}

# Show a command and run it. Beside this script, since bash answers TERM only between commands or in `wait`.
run() {
  show "$@"
  beside "$@"
  command=$started
  wait "$command"
  local code=$?
  command=""
  return "$code"
}

stop_service() {
  # A second Ctrl-C must not end this script before the service has put its things away.
  trap '' INT TERM HUP
  # TERM, which the service takes as it takes Ctrl-C: whatever a script in the background starts is deaf to INT.
  [ -z "$command" ] || kill -TERM "$command" 2>/dev/null
  [ -n "$service" ] || return 0
  kill -TERM "$service" 2>/dev/null
  for _ in $(seq 300); do
    kill -0 "$service" 2>/dev/null || break
    sleep 0.1
  done
  if kill -KILL "$service" 2>/dev/null; then
    echo "openbook did not stop within 30 s and was killed."
  else
    echo "openbook has stopped."
  fi
  service=""
}

# On Ctrl-C and on TERM; 130 and 143 are what a shell reports for them.
interrupted() {
  echo
  stop_service
  exit "$1"
}

give_up() {
  echo "$1" >&2
  if [ -n "$service" ] && ! kill -0 "$service" 2>/dev/null; then
    echo "The service has ended. The end of its log, $log:" >&2
    tail -n 20 "$log" | sed 's/^/  | /' >&2
    service=""
  fi
  stop_service
  exit 1
}

port_is_free() {
  .venv/bin/python - "${OPENBOOK_HOST:-127.0.0.1}" "${OPENBOOK_PORT:-8080}" <<'END'
import socket, sys
with socket.socket() as probe:
    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    probe.bind((sys.argv[1], int(sys.argv[2])))
END
}

start_service() {
  mkdir -p "$OPENBOOK_DATA_DIR" || exit 1
  show openbook serve
  # Another service on the port would answer in the place of ours; ours says what is wrong and ends.
  port_is_free 2>/dev/null || exec "$openbook" serve
  echo "  (in the background; its log: $log)"
  beside "$openbook" serve >"$log" 2>&1
  service=$started
}

trap 'interrupted 130' INT
trap 'interrupted 143' TERM HUP

start_service
run "$openbook" status --wait || give_up "openbook did not become ready."
kill -0 "$service" 2>/dev/null || give_up "openbook ended while it started."
if ! "$openbook" documents --collection "$COLLECTION" --json >/dev/null 2>&1; then
  run "$openbook" ingest samples --collection "$COLLECTION" || give_up "The samples could not be ingested."
fi
run "$openbook" ask "$QUESTION" --collection "$COLLECTION"
code=$?

if [ "${RUN_ONCE:-0}" = 1 ]; then
  stop_service
  exit "$code"
fi
[ "$code" = 0 ] || give_up "The question was not answered."
echo
[ ! -t 1 ] || echo "In a browser: $("$openbook" page)" # not where it would be kept: it has the owner's key
echo "openbook is serving; ask on: .venv/bin/openbook ask \"...\" --collection $COLLECTION. Ctrl-C stops it."
wait "$service"
code=$?
service=""
echo "The service has ended with exit code $code. The end of its log, $log:" >&2
tail -n 20 "$log" | sed 's/^/  | /' >&2
exit 1
