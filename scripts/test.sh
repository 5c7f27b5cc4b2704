#!/usr/bin/env bash
# The checks and every lane of the tests that needs no GPU, cheapest first. All of them run, and one that fails
# fails the whole.
#
# usage: scripts/test.sh [LANE...]     lint unit process models offline vllm
set -uo pipefail
cd "$(dirname "$0")/.."

lint() {
  local code=0
  for command in "ruff check ." "ruff format --check ." mypy lint-imports; do
    echo "\$ $command"
    # shellcheck disable=SC2086 # a command and its arguments
    .venv/bin/$command || code=1
  done
  return "$code"
}

tests() {
  echo "\$ pytest -m \"$1\" ${*:2}"
  .venv/bin/python -m pytest -m "$@"
}

# Only files that have the mark: to collect all of them takes longer than some lanes do.
marked() {
  # shellcheck disable=SC2046 # names without spaces
  tests "$1" "${@:2}" $(grep -l "pytest.mark.$1" tests/test_*.py)
}

lane() {
  case $1 in
    lint) lint ;;
    unit) tests "not process and not models and not offline and not vllm" -n auto --maxprocesses 4 --dist loadfile ;;
    process) tests "process and not models" -n 3 --dist loadfile ;;
    models) marked "$1" -n 2 --dist loadfile ;;
    offline | vllm) marked "$1" ;;
    *) echo "There is no lane $1; there are: lint unit process models offline vllm" >&2 && return 2 ;;
  esac
}

[ $# -gt 0 ] || set -- lint unit process models offline vllm
failed=()
for name in "$@"; do
  printf '\n=== %s\n' "$name"
  lane "$name" || failed+=("$name")
done
[ ${#failed[@]} = 0 ] || {
  echo "failed: ${failed[*]}" >&2
  exit 1
}
