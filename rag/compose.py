"""The one place that names concrete classes: settings in, a running engine out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Protocol

import httpx

from rag import calibrations, usual
from rag.admission import Gate, Rules
from rag.answer import Limits, Rag
from rag.calibrations import CostBook, CostsAt
from rag.collection_settings import FILE, CollectionSettings
from rag.conversations import Conversations
from rag.errors import ModelUnavailable
from rag.models.embed import SentenceEmbedder, prepared_models
from rag.models.embed_cache import CachedEmbedder
from rag.models.kv_disk import KvDisk
from rag.models.rerank import CrossEncoderReranker
from rag.models.tokens import ServedTokenizer, TokenizerFile
from rag.models.vllm_client import ChatClient
from rag.models.vllm_process import VllmProcess, VllmStatus
from rag.owner import Owner, claim
from rag.ports import Store, TokenCounter
from rag.settings import Settings
from rag.store.edge import EdgeStore
from rag.template import Encode
from rag.usual import Usual

# What SmolLM2-135M can still make sense of, and what a laptop's CPU prefills in a few seconds; docs/log.md.
MANAGED_CONTEXT_TOKENS, MANAGED_ANSWER_TOKENS = 1000, 128


class ModelServer(Protocol):
    """The managed model server, where openbook runs one."""

    @property
    def status(self) -> VllmStatus: ...
    async def start(self) -> None: ...
    async def wait_ready(self) -> None: ...
    async def stop(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Engine:
    """``server`` is None where OPENBOOK_LLM_URL names one that is not ours; ours is started by whoever asks."""

    rag: Rag
    owner: Owner
    server: ModelServer | None
    preload: Callable[[], None]


@asynccontextmanager
async def open_rag(settings: Settings, doing: str) -> AsyncIterator[Engine]:
    """Owns the data folder until it exits; then everything that it opened is closed and stopped.

    Raises DataFolderInUse, StoreUnavailable, ModelNotInstalled.
    """
    async with AsyncExitStack() as stack:
        owner = stack.enter_context(claim(settings.data_dir, doing))
        embedder = embedder_of(settings)
        vectors = settings.data_dir / "cache" / "embeddings.sqlite3"
        cached = CachedEmbedder(embedder, vectors, identity=embedder.identity)
        stack.callback(cached.close)
        store = await asyncio.to_thread(open_store, settings, embedder)
        stack.callback(store.close)
        server = managed_server(settings) if settings.llm_url is None else None
        if server:
            stack.push_async_callback(server.stop)
        tokens = token_counter(settings, stack)
        generator = chat_client(settings, server, tokens.encode)
        stack.push_async_callback(generator.close)
        reranker = CrossEncoderReranker(settings.reranker) if settings.reranker else None
        conversations = Conversations(settings.data_dir / "conversations.db")
        stack.callback(conversations.close)
        rag = Rag(
            store,
            cached,
            tokens,
            generator,
            limits(settings),
            reranker,
            conversations=conversations,
            rewrite_follow_ups=settings.rewrite_follow_ups,
            costs=costs(settings, server),
            gate=gate(settings),
            collection_settings=CollectionSettings(settings.data_dir / FILE),
            usual=Usual(settings.data_dir / usual.FILE),
        )
        yield Engine(rag, owner, server, preload=embedder.load)


def embedder_of(settings: Settings) -> SentenceEmbedder:
    return SentenceEmbedder(settings.embedder, settings.data_dir / "cache" / "models", prepared_models())


def open_store(settings: Settings, embedder: SentenceEmbedder) -> Store:
    if settings.qdrant_url is None:
        return EdgeStore(
            settings.data_dir / "collections", embedder=embedder.name, dimension=embedder.dimension
        )
    # Imported where it is used: the client alone takes longer to import than a listing takes to print.
    from qdrant_client import QdrantClient

    from rag.store.server import ServerStore

    client = QdrantClient(url=str(settings.qdrant_url), api_key=settings.qdrant_api_key, timeout=60)
    return ServerStore(client, embedder=embedder.name, dimension=embedder.dimension)


def managed_server(settings: Settings) -> VllmProcess:
    return VllmProcess(
        python=settings.vllm_python,
        model=settings.vllm_model,
        served_name=settings.vllm_model.name,
        max_model_len=settings.vllm_max_model_len,
        dtype=settings.vllm_dtype,
        kv_cache_gib=settings.vllm_kv_cache_gib,
        extra_args=settings.vllm_args,
        log_file=settings.data_dir / "logs" / "vllm.log",
        start_timeout_s=settings.vllm_start_timeout_s,
        kv_disk=_kv_disk(settings),
    )


def _kv_disk(settings: Settings) -> KvDisk | None:
    if settings.kv_disk is None:
        return None
    return KvDisk(settings.kv_disk, settings.kv_disk_gib, settings.kv_disk_memory_gib)


def base_url(settings: Settings, server: VllmProcess | None) -> Callable[[], str]:
    external = str(settings.llm_url).rstrip("/")
    return (lambda: address(server)) if server else (lambda: external)


def chat_client(
    settings: Settings,
    server: VllmProcess | None,
    encode: Encode | None = None,
    transport: httpx.AsyncBaseTransport | None = None,
) -> ChatClient:
    return ChatClient(
        base_url(settings, server),
        model=settings.llm_model if server is None else None,
        api_key=settings.llm_api_key,
        window=settings.llm_window,
        timeout_s=settings.llm_timeout_s,
        encode=encode,
        transport=transport,
    )


def costs(settings: Settings, server: VllmProcess | None) -> CostsAt:
    return CostsAt(CostBook(settings.data_dir / calibrations.FOLDER), base_url(settings, server))


def address(server: VllmProcess) -> str:
    """Where the managed server answers; raises ModelUnavailable, saying what it is doing, until it does."""
    status = server.status
    if status.state != "ready":
        raise ModelUnavailable(
            f"The model server is {status.state}: {status.detail} ({status.seconds:.0f} s).",
            "Wait with: openbook status --wait"
            if status.state in ("starting", "restarting")
            else "openbook doctor says more.",
        )
    return server.base_url


def token_counter(settings: Settings, stack: AsyncExitStack | ExitStack) -> TokenCounter:
    if settings.tokenizer:
        return TokenizerFile(settings.tokenizer)
    if settings.llm_url is None:
        return TokenizerFile(settings.vllm_model / "tokenizer.json")
    served = ServedTokenizer(str(settings.llm_url), api_key=settings.llm_api_key)
    stack.callback(served.close)
    return served


def gate(settings: Settings) -> Gate:
    return Gate(
        Rules(settings.prefills_at_once, settings.answers_at_once, settings.queue_limit, settings.max_wait_s)
    )


def limits(settings: Settings) -> Limits:
    managed = settings.llm_url is None
    return Limits(
        search=settings.search_limit,
        question_characters=settings.max_question_characters,
        context_tokens=settings.context_tokens or (MANAGED_CONTEXT_TOKENS if managed else None),
        answer_tokens=settings.answer_tokens or (MANAGED_ANSWER_TOKENS if managed else None),
        target_ttft_ms=settings.target_ttft_ms,
    )
