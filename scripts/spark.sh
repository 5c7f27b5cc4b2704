#!/usr/bin/env bash
# openbook on a DGX Spark in containers, from nothing to a service that answers; a second run changes nothing that is
# there. Every command that it runs is shown. What .env may set is at the head of docker-compose.yml.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf '%s\n' "$@"; }

show() {
  say "\$ $*"
  "$@"
}

fail() {
  printf 'spark: %s\n' "$@" >&2
  exit 1
}

command -v docker >/dev/null || fail "Docker is missing. DGX OS has it; elsewhere install Docker and NVIDIA's container toolkit."
docker compose version >/dev/null 2>&1 || fail "docker compose is missing: install the package docker-compose-plugin."
docker info >/dev/null 2>&1 || fail "Docker does not answer. May this user use it? sudo usermod -aG docker \$USER, and log in again."

if ! grep -qs '^QDRANT_API_KEY=.' .env; then
  say "A key for Qdrant goes into .env"
  (umask 077 && touch .env)
  [ -z "$(tail -c 1 .env)" ] || echo >>.env # a last line without its end
  printf 'QDRANT_API_KEY=%s\n' "$(od -An -N32 -tx1 /dev/urandom | tr -d ' \n')" >>.env
fi

once=(docker compose run --rm --no-deps -T openbook openbook)
show docker compose build openbook
# The service serves others by key, so it does not start before there is one.
keys=$("${once[@]}" keys list --json)
if ! grep -q '"valid"' <<<"$keys"; then
  say "The first key, which is shown this once:"
  show "${once[@]}" keys add me
fi
say "The first start downloads the model: some 30 GB."
show docker compose up -d --wait
say "openbook serves on http://127.0.0.1:8080. Go on with:" \
  "" "  docker compose exec openbook openbook ingest /documents --collection team" \
  "  docker compose exec openbook openbook ask \"...\" --collection team"
