"""The one place where configuration is read: environment variables with the prefix OPENBOOK_."""

from __future__ import annotations

import difflib
import os
import sys
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import (
    Field,
    HttpUrl,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_core import ErrorDetails, from_json
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from rag.collection_settings import MOST_TARGET_MS
from rag.errors import BadSetting
from rag.model_at import ModelAt, ModelName, Secret

PREFIX = "OPENBOOK_"
MAX_UPLOAD_BYTES = 2 * 2**30

LogFormat = Literal["text", "json"]


def default_data_dir() -> Path:
    """The nearest ``.openbook`` folder above the working directory (as git finds ``.git``), else the user's."""
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / ".openbook").is_dir():
            return folder / ".openbook"
    base = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(base) / "openbook"


def beside_environment(name: str) -> Path:
    """``name`` next to this interpreter's virtual environment, where the set-up puts what belongs to it."""
    return Path(sys.prefix).parent / name


class Settings(BaseSettings):
    """Built only in entry points; everything below them takes plain arguments."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="forbid", frozen=True, env_ignore_empty=True)

    data_dir: Path = Field(default_factory=default_data_dir, description="Index, logs and the owner's lock.")
    host: str = Field("127.0.0.1", description="Address that the service binds.")
    port: int = Field(8080, ge=1, le=65535, description="Port that the service binds.")

    qdrant_url: HttpUrl | None = Field(
        None, description="A Qdrant server; without it Qdrant runs in process."
    )
    qdrant_api_key: Secret | None = Field(None, repr=False, description="The Qdrant server's API key.")
    qdrant_quantization: Literal["int8", "none"] = Field(
        "int8",
        description="How a Qdrant server holds new collections' vectors: int8 (in memory; exact ones on disk) or none.",
    )
    qdrant_shards: int | None = Field(
        None, ge=1, description="Of a Qdrant cluster: parts of a collection that is made; by default its own."
    )
    qdrant_replicas: int | None = Field(
        None, ge=1, description="Copies of each part, on different machines; by default the cluster's own."
    )
    qdrant_write_consistency: int | None = Field(
        None,
        ge=1,
        description="Copies that must have a change before it counts; by default the cluster's own.",
    )
    qdrant_read_consistency: int | Literal["majority", "quorum", "all"] | None = Field(
        None, description="Copies that are asked: a number, majority, quorum or all; by default one."
    )

    embedder: str | None = Field(
        None, description="Folder or hub name of a sentence-transformers model; by default all-MiniLM-L6-v2."
    )

    ray: str | None = Field(
        None,
        description="The Ray cluster on which `openbook ingest` reads: auto, local, HOST:PORT or ray://HOST:PORT.",
    )

    ray_patience_s: float = Field(
        300.0, gt=0, description="Longest wait for a machine where all of that cluster have gone."
    )

    embed_url: HttpUrl | None = Field(
        None,
        description="Instead of OPENBOOK_EMBEDDER: a server with OpenAI's embeddings (…/v1), as vLLM has.",
    )
    embed_model: str | None = Field(None, description="The model to ask for there; by default its first.")
    embed_api_key: Secret | None = Field(None, repr=False, description="That server's API key.")
    embed_query_prompt: str = Field(
        "", description="What that model wants before a question, where it wants anything."
    )

    reranker: str | None = Field(
        None,
        description="Folder or hub name of a cross-encoder that reorders what was found; by default none.",
    )
    rerank_url: HttpUrl | None = Field(
        None, description="Instead of OPENBOOK_RERANKER: a server with `/v1/rerank`, as vLLM has."
    )
    rerank_model: str | None = Field(None, description="The model to ask for there; by default its first.")
    rerank_api_key: Secret | None = Field(None, repr=False, description="That server's API key.")

    llm_url: HttpUrl | None = Field(
        None, description="An OpenAI-compatible server (…/v1); without it openbook starts vLLM."
    )
    llm_model: str | None = Field(None, description="The model to ask for; by default the server's first.")
    llm_api_key: Secret | None = Field(None, repr=False, description="The model server's API key.")
    llm_timeout_s: float = Field(600.0, gt=0, description="Longest wait for the next piece of an answer.")
    llm_window: int = Field(
        32768, ge=512, description="The model's window in tokens, where the server does not tell it."
    )
    tokenizer: Path | None = Field(
        None, description="tokenizer.json of the served model; by default the server is asked."
    )

    fast_url: HttpUrl | None = Field(
        None,
        description="Server of a small model for small work: follow-ups made self-contained, titles of chats; by "
        "default the answering model does it.",
    )
    fast_model: str | None = Field(None, description="The model to ask for there; by default its first.")
    fast_api_key: Secret | None = Field(None, repr=False, description="That server's API key.")
    fast_vllm_model: Path | None = Field(
        None,
        description="Instead of OPENBOOK_FAST_URL: folder of a model that openbook serves by a second vLLM.",
    )
    fast_vllm_max_model_len: int = Field(4096, ge=512, description="Window of that vLLM, in tokens.")
    fast_vllm_kv_cache_gib: int = Field(1, ge=1, description="Memory for its KV cache, in GiB.")
    fast_vllm_args: str = Field("", description="Further arguments for it, as a shell would split them.")
    models: Annotated[dict[ModelName, ModelAt], NoDecode] = Field(
        {},
        description='Further models that a request may name, as JSON: `{"deep": {"url": "http://…/v1"}}`, each '
        "with `model`, `api_key`, `window` and `tokenizer` as needed.",
    )
    fallback: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Names of models, separated by blanks, that answer in this order where the one that should is "
        "down: `fast` or those of OPENBOOK_MODELS.",
    )
    fallback_for_named: bool = Field(
        False, description="Let them also answer a request that named another; by default it is refused then."
    )

    vllm_python: Path = Field(
        default_factory=lambda: beside_environment(".venv-vllm") / "bin" / "python",
        description="Interpreter of the environment that holds vLLM.",
    )
    vllm_model: Path = Field(
        default_factory=lambda: beside_environment(".models") / "SmolLM2-135M-Instruct",
        description="Folder of the model that the managed vLLM serves.",
    )
    vllm_max_model_len: int = Field(8192, ge=512, description="Window of the managed vLLM, in tokens.")
    vllm_dtype: Literal["float32", "bfloat16", "float16", "auto"] = Field(
        "float32", description="bfloat16 gives wrong answers on some CPUs; see docs/log.md."
    )
    vllm_kv_cache_gib: int = Field(2, ge=1, description="Memory for the managed vLLM's KV cache, in GiB.")
    kv_disk: Path | None = Field(
        None,
        description="Folder on a fast disk where the managed vLLM keeps its KV cache over restarts; needs a GPU.",
    )
    kv_disk_gib: int = Field(
        64, ge=1, description="Most that is kept there, in GiB, looked at when it starts."
    )
    kv_disk_memory_gib: int = Field(
        2, ge=1, description="Memory through which it travels, in GiB; what does not fit is prefilled again."
    )
    vllm_args: str = Field(
        "", description="Further arguments for the managed vLLM, as a shell would split them."
    )
    vllm_start_timeout_s: float = Field(
        900.0, gt=0, description="Longest wait for the managed vLLM's health."
    )

    context_tokens: int | None = Field(
        None, ge=128, description="Tokens of documents put before the model; by default by the model's size."
    )
    answer_tokens: int | None = Field(
        None, ge=1, description="Longest answer; by default by the model's size."
    )
    target_ttft_ms: int | None = Field(
        None,
        ge=1,
        le=MOST_TARGET_MS,
        description="Milliseconds in which answers begin: so much is read as that affords; by default no target.",
    )
    prefills_at_once: int = Field(
        1, ge=1, description="Questions whose prompt the model server reads at the same time; others wait."
    )
    answers_at_once: int = Field(
        16, ge=1, description="Questions that the model server reads or answers at once."
    )
    queue_limit: int = Field(
        64, ge=1, description="Questions that wait for the model server; more are refused."
    )
    max_wait_s: float = Field(
        300.0, gt=0, description="A question that would wait longer for the model server is refused."
    )
    warm_up: bool = Field(
        True, description="Let the service prefill what questions will begin with, while nobody asks."
    )
    rewrite_follow_ups: bool | None = Field(
        None,
        description="Let a model make follow-up questions self-contained; by default a rule does, unless there is a "
        "fast model.",
    )
    search_limit: int = Field(48, ge=1, le=1000, description="Passages taken from the index for a question.")
    max_question_characters: int = Field(8000, ge=1, description="Longer questions are refused.")
    kept_answers: int = Field(
        1000,
        ge=0,
        description="Past answers that are kept with question and receipt, the newest; 0 keeps none.",
    )
    max_upload_bytes: int = Field(
        MAX_UPLOAD_BYTES, ge=1, description="Most bytes of files that are sent in one request."
    )

    url_uploads: bool = Field(
        False,
        description="Let writers name a public URL whose file openbook fetches; it then reaches the web.",
    )
    answer_timeout_s: float = Field(
        1800.0, gt=0, description="Longest time that a whole answer may take, its wait included."
    )
    store_timeout_s: float = Field(30.0, gt=0, description="Longest wait for a reply of the Qdrant server.")
    stop_grace_s: float = Field(
        30.0, ge=0, description="When the service is stopped, time for what it is doing to finish."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="The least that the service logs."
    )
    log_format: LogFormat = Field("text", description="Log lines for people, or as JSON objects: text, json.")

    require_key: bool = Field(
        False,
        description="Ask for a key on loopback, too, as behind a proxy; elsewhere one is always needed.",
    )
    requests_per_minute: int = Field(600, ge=1, description="Requests that each key may send in a minute.")
    tokens_per_minute: int = Field(
        1_000_000, ge=1, description="Tokens of prompts and answers that each key may take in a minute."
    )
    cors_origins: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Sites whose pages may speak to the service, separated by blanks: `https://wiki.example`.",
    )

    roots: Annotated[tuple[Path, ...], NoDecode] = Field(
        (),
        description="Folders, separated as in `PATH`, that MCP clients and keys may have ingested; by default none.",
    )

    @field_validator("models", mode="before")
    @classmethod
    def _json(cls, given: object) -> object:
        return from_json(given) if isinstance(given, str) else given

    @model_validator(mode="after")
    def _names(self) -> Self:
        """Roles have names that no other model may take; what stands in must be there."""
        if taken := {"answer", "fast"} & set(self.models):
            raise ValueError(f"OPENBOOK_MODELS: {min(taken)} is the name of a role; choose another")
        for one, other in (
            ("fast_url", "fast_vllm_model"),
            ("embed_url", "embedder"),
            ("rerank_url", "reranker"),
        ):
            if getattr(self, one) and getattr(self, other):
                raise ValueError(f"{PREFIX}{one.upper()} and {PREFIX}{other.upper()} are both set; unset one")
        for name in self.fallback:
            if name not in self.named:
                raise ValueError(f"OPENBOOK_FALLBACK: there is no model {name}; {', '.join(self.named)}")
        return self

    @property
    def has_fast(self) -> bool:
        return bool(self.fast_url or self.fast_vllm_model)

    @property
    def rewrites(self) -> bool:
        """Whether a model makes follow-ups self-contained."""
        return self.has_fast if self.rewrite_follow_ups is None else self.rewrite_follow_ups

    @property
    def named(self) -> list[str]:
        """What models are called, the first the one that answers."""
        return ["answer", *(["fast"] if self.has_fast else []), *self.models]

    @field_validator("cors_origins", "fallback", mode="before")
    @classmethod
    def _sites(cls, given: object) -> object:
        return given.split() if isinstance(given, str) else given

    @field_validator("roots", mode="before")
    @classmethod
    def _folders(cls, given: object) -> object:
        return [part for part in given.split(os.pathsep) if part] if isinstance(given, str) else given

    @field_validator("roots")
    @classmethod
    def _resolved(cls, folders: tuple[Path, ...]) -> tuple[Path, ...]:
        for folder in folders:
            if not folder.expanduser().is_absolute():
                raise ValueError(f"{folder} is not an absolute path")
        return tuple(folder.expanduser().resolve() for folder in folders)

    @field_validator("data_dir", "vllm_python", "vllm_model", "fast_vllm_model", "kv_disk", "tokenizer")
    @classmethod
    def _absolute(cls, path: Path | None) -> Path | None:
        # Not resolve(): a virtual environment's python is a link that must stay one.
        return path.expanduser().absolute() if path else path


def load_settings(**overrides: object) -> Settings:
    """Settings from the environment; raises BadSetting naming the variable."""
    known = {PREFIX + name.upper() for name in Settings.model_fields}
    for name in sorted(os.environ):
        if name.startswith(PREFIX) and name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            raise BadSetting(
                f"Unknown environment variable {name}.",
                f"Did you mean {close[0]}?" if close else "docs/settings.md lists the known ones.",
            )
    try:
        return Settings(**{k: v for k, v in overrides.items() if v is not None})  # type: ignore[arg-type]
    except ValidationError as error:
        raise BadSetting(_told(error.errors()[0]), "docs/settings.md says what it takes.") from None


def _told(error: ErrorDetails) -> str:
    """With what was given, but for what may hold a key."""
    if not error["loc"]:  # of several settings, which it names
        return f"{error['msg'].removeprefix('Value error, ')}."
    name, *inside = map(str, error["loc"])
    where = f" at {'.'.join(inside)}" if inside else ""
    got = "" if name == "models" else f" (got {error['input']!r})"
    return f"{PREFIX}{name.upper()}{where}: {error['msg']}{got}."
