"""What a plan is written as: the variables that docker-compose.yml reads, or those of a service that starts its model
servers itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dotenv import dotenv_values, set_key

from rag.errors import BadRequest
from rag.settings import PREFIX
from rag.sizing.plan import GIB

MIB = 2**20
# Of docker-compose.yml: the profile of the second model, and where openbook finds it then.
PROFILE, PROFILES = "fast", "COMPOSE_PROFILES"
FAST_URL, FAST_SERVER = f"{PREFIX}FAST_URL", "http://vllm-fast:8001/v1"


@dataclass(frozen=True, slots=True)
class Server:
    """Of one model: a name on the hub or a folder, its window in tokens, its KV cache, and further flags of vLLM."""

    model: str
    length: int
    kv_bytes: int
    flags: tuple[str, ...] = ()

    @property
    def folder(self) -> Path:
        return Path(self.model).expanduser().absolute()


@dataclass(frozen=True, slots=True)
class Start:
    """What is to be started; an embedder of "" is the packaged one, a reranker of "" none."""

    answer: Server
    fast: Server | None
    context_tokens: int
    embedder: str
    reranker: str

    @property
    def servers(self) -> tuple[Server, ...]:
        return (self.answer, self.fast) if self.fast else (self.answer,)


def variables(start: Start) -> dict[str, str]:
    """Containers fetch models by name, ``openbook serve`` starts them from folders. Raises BadRequest where one is the
    one and one the other."""
    here = [server.folder.is_dir() for server in start.servers]
    if any(here) and not all(here):
        named = start.servers[here.index(False)].model
        raise BadRequest(
            f"{named} is no folder, and the other model is: openbook serve starts models from folders, containers "
            "fetch them from the hub.",
            "Name both as the hub does; or fetch it: hf download MODEL --local-dir FOLDER, and plan with the folder.",
        )
    return _of_service(start) if all(here) else _of_containers(start)


def _of_containers(start: Start) -> dict[str, str]:
    found = _of_container(start.answer) | {
        "CONTEXT_TOKENS": str(start.context_tokens),
        "EMBEDDER": start.embedder,
        "RERANKER": start.reranker,
    }
    if start.fast:
        found |= {f"FAST_{name}": value for name, value in _of_container(start.fast).items()}
        found |= {PROFILES: PROFILE, FAST_URL: FAST_SERVER}
    return found


def _of_container(server: Server) -> dict[str, str]:
    return {
        "MODEL": server.model,
        "MODEL_LENGTH": str(server.length),
        "KV_CACHE_BYTES": str(server.kv_bytes // MIB * MIB),
        "MODEL_FLAGS": " ".join(server.flags),
    }


def _of_service(start: Start) -> dict[str, str]:
    found = _of_child("VLLM", start.answer) | {
        "VLLM_DTYPE": "auto",
        "CONTEXT_TOKENS": str(start.context_tokens),
        "EMBEDDER": start.embedder,
        "RERANKER": start.reranker,
    }
    if start.fast:
        batch = f"--max-num-batched-tokens={start.fast.length}"  # as docker-compose.yml has it
        found |= _of_child("FAST_VLLM", start.fast)
        found["FAST_VLLM_ARGS"] = " ".join((batch, *start.fast.flags))
    return {PREFIX + name: value for name, value in found.items()}


def _of_child(name: str, server: Server) -> dict[str, str]:
    if server.kv_bytes < GIB:
        raise BadRequest(
            "openbook serve gives a KV cache whole GiB, and there is less than one.",
            "Choose a smaller model, or a shorter context.",
        )
    return {
        f"{name}_MODEL": str(server.folder),
        f"{name}_MAX_MODEL_LEN": str(server.length),
        f"{name}_KV_CACHE_GIB": str(server.kv_bytes // GIB),
        f"{name}_ARGS": " ".join(server.flags),
    }


def switched(env: Mapping[str, str], known: Mapping[str, str | None]) -> dict[str, str]:
    """``env`` beside what the file says already (``known``): other profiles stay on, and the second model is off where
    it was not planned, so that no more is started than was added up."""
    before = [name for name in (known.get(PROFILES) or "").replace(" ", "").split(",") if name]
    others = [name for name in before if name != PROFILE]
    if PROFILES in env:
        return {**env, PROFILES: ",".join([*others, PROFILE])}
    off = {PROFILES: ",".join(others)} if others != before else {}
    if known.get(FAST_URL) == FAST_SERVER:
        off[FAST_URL] = ""
    return {**env, **off}


def write(path: Path, env: Mapping[str, str]) -> str:
    """Other lines stay. Says how to start with it. Raises BadRequest."""
    try:
        known = dotenv_values(path) if path.exists() else {}
        changed = switched(env, known)
        for name, value in changed.items():
            set_key(path, name, value, quote_mode="always")
    except OSError as error:
        raise BadRequest(f"{path} cannot be written: {error}") from error
    if not any(name.startswith("MODEL") for name in env):
        return "set -a; . FILE; set +a; openbook serve starts with it"
    told = "docker compose up -d --wait starts with it"
    if PROFILES in changed and PROFILES not in env:
        told += "; docker compose stop vllm-fast ends the second model, which is not planned any more"
    return told
