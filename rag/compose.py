"""The one place that names concrete classes: settings in, a running engine out."""

from __future__ import annotations

import asyncio
import math
import warnings
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial

import httpx

from rag import answers, calibrations, garbage, usual
from rag.admission import Gate, Rules
from rag.answer import Limits, Rag
from rag.answers import Answers
from rag.calibrations import CostBook, CostsAt
from rag.children import Children, ModelServer
from rag.collection_settings import FILE, CollectionSettings
from rag.conversations import Conversations
from rag.errors import EmbedderUnavailable, ModelUnavailable, RerankerUnavailable
from rag.models.embed import SentenceEmbedder, prepared_models
from rag.models.embed_cache import CachedEmbedder
from rag.models.embed_remote import RemoteEmbedder
from rag.models.kv_disk import KvDisk
from rag.models.pooling_server import PoolingServer
from rag.models.rerank import CrossEncoderReranker
from rag.models.rerank_remote import RemoteReranker
from rag.models.token_cache import KeptTokens
from rag.models.tokens import ServedTokenizer, TokenizerFile
from rag.models.vllm_client import ChatClient
from rag.models.vllm_command import is_cpu_build
from rag.models.vllm_process import VllmProcess
from rag.owner import Owner, claim
from rag.ports import Embedder, Relay, Reranker, Store, TokenCounter
from rag.renaming import finish_renaming
from rag.roles import settings_of
from rag.served import ANSWER, Models, Served
from rag.settings import Settings
from rag.sizing.plan import GIB
from rag.sizing.room import need, require, room
from rag.store.edge import EdgeStore
from rag.template import Encode
from rag.usual import Usual

# What SmolLM2-135M can still make sense of, and what a laptop's CPU prefills in a few seconds; docs/log.md.
MANAGED_CONTEXT_TOKENS, MANAGED_ANSWER_TOKENS = 1000, 128


@dataclass(frozen=True, slots=True)
class Engine:
    """``children`` are started by whoever asks; a model whose server is not ours has none. ``relays`` go by the names
    of models. ``embedder`` keeps nothing: how fast a text is embedded must not tell whether a document has it;
    ``check_embedder`` raises where its server does not answer."""

    rag: Rag
    owner: Owner
    children: Children
    preload: Callable[[], None]
    relays: Mapping[str, Relay]
    embedder: Embedder
    check_embedder: Callable[[], None] = lambda: None

    @property
    def server(self) -> ModelServer | None:
        """The child that answers, where OPENBOOK_LLM_URL names no other server."""
        return self.children.of(ANSWER)


@asynccontextmanager
async def open_rag(settings: Settings, doing: str) -> AsyncIterator[Engine]:
    """Owns the data folder until it exits; then everything that it opened is closed and stopped.

    Raises DataFolderInUse, StoreUnavailable, ModelNotInstalled, EmbedderUnavailable.
    """
    async with AsyncExitStack() as stack:
        owner = stack.enter_context(claim(settings.data_dir, doing))
        embedder = embedder_of(settings)
        stack.callback(embedder.close)
        vectors = settings.data_dir / "cache" / "embeddings.sqlite3"
        identity = await asyncio.to_thread(lambda: embedder.identity)
        cached = CachedEmbedder(embedder, vectors, identity=identity)
        stack.callback(cached.close)
        store = await asyncio.to_thread(open_store, settings, embedder)
        stack.callback(store.close)
        children = managed_servers(settings)
        stack.push_async_callback(children.stop)
        models = {name: model(name, each, children, stack) for name, each in settings_of(settings).items()}
        conversations = Conversations(settings.data_dir / "conversations.db")
        stack.callback(conversations.close)
        past = Answers(settings.data_dir / answers.FILE, settings.kept_answers)
        stack.callback(past.close)
        rag = Rag(
            store,
            cached,
            Models(
                tuple(served for served, _ in models.values()), settings.fallback, settings.fallback_for_named
            ),
            reranker_of(settings, stack),
            conversations=conversations,
            rewrite_follow_ups=settings.rewrites,
            collection_settings=CollectionSettings(settings.data_dir / FILE),
            usual=Usual(settings.data_dir / usual.FILE),
            answers=past,
        )
        await asyncio.to_thread(finish_renaming, store, rag.collection_settings)
        relays = {name: relay for name, (_, relay) in models.items()}
        check = embedder.check if isinstance(embedder, RemoteEmbedder) else lambda: None
        yield Engine(rag, owner, children, partial(_load, embedder), relays, embedder, check)


def embedder_of(settings: Settings) -> SentenceEmbedder | RemoteEmbedder:
    if settings.embed_url:
        return RemoteEmbedder(
            PoolingServer(
                str(settings.embed_url),
                settings.embed_model,
                settings.embed_api_key,
                setting="OPENBOOK_EMBED",
                down=EmbedderUnavailable,
            ),
            settings.embed_query_prompt,
        )
    return SentenceEmbedder(settings.embedder, settings.data_dir / "cache" / "models", prepared_models())


def reranker_of(settings: Settings, stack: AsyncExitStack | ExitStack) -> Reranker | None:
    if settings.rerank_url is None:
        return CrossEncoderReranker(settings.reranker) if settings.reranker else None
    server = PoolingServer(
        str(settings.rerank_url),
        settings.rerank_model,
        settings.rerank_api_key,
        setting="OPENBOOK_RERANK",
        down=RerankerUnavailable,
    )
    stack.callback(server.close)
    return RemoteReranker(server)


def open_store(settings: Settings, embedder: Embedder) -> Store:
    if settings.qdrant_url is None:
        return EdgeStore(
            settings.data_dir / "collections", embedder=embedder.name, dimension=embedder.dimension
        )
    # Imported where it is used: the client alone takes longer to import than a listing takes to print.
    from qdrant_client import QdrantClient

    from rag.store.server import Copies, ServerStore

    copies = Copies(
        settings.qdrant_shards,
        settings.qdrant_replicas,
        settings.qdrant_write_consistency,
        settings.qdrant_read_consistency,
    )
    with warnings.catch_warnings():
        # Between containers of one machine a key travels without TLS; a command must not say so each time.
        warnings.filterwarnings("ignore", message="Api key is used with an insecure connection")
        client = QdrantClient(
            url=str(settings.qdrant_url),
            api_key=settings.qdrant_api_key,
            timeout=math.ceil(settings.store_timeout_s),
        )
    quantized = settings.qdrant_quantization == "int8"
    return ServerStore(
        client, embedder=embedder.name, dimension=embedder.dimension, copies=copies, quantized=quantized
    )


def model(
    name: str, settings: Settings, children: Children, stack: AsyncExitStack
) -> tuple[Served, ChatClient]:
    """One of several models, of which alone ``settings`` tell (rag/roles.py)."""
    server = children.of(name)
    tokens = token_counter(settings, stack)
    client = chat_client(settings, server, tokens.encode)
    stack.push_async_callback(client.close)
    known = costs(settings, server)
    called = settings.llm_model or "" if settings.llm_url else settings.vllm_model.name
    served = Served.of(
        name, client, tokens, limits(settings), gate=gate(settings), costs=known, called=called
    )
    return served, client


def managed_servers(settings: Settings) -> Children:
    managed = {name: each for name, each in settings_of(settings).items() if each.llm_url is None}
    # Beside another one on a GPU, vLLM would refuse to start for want of its usual share of all memory.
    servers = {name: managed_server(each, name, alone=len(managed) == 1) for name, each in managed.items()}
    return Children(servers, partial(_check, managed) if len(managed) > 1 else lambda: None)


def _check(managed: Mapping[str, Settings]) -> None:
    """Raises NotEnoughMemory and ModelNotInstalled."""
    cpu = is_cpu_build(next(iter(managed.values())).vllm_python)
    needs = [
        need(name, each.vllm_model, each.vllm_dtype, each.vllm_kv_cache_gib * GIB, cpu=cpu)
        for name, each in managed.items()
    ]
    require(needs, room(cpu=cpu))


def managed_server(settings: Settings, name: str = ANSWER, *, alone: bool = True) -> VllmProcess:
    return VllmProcess(
        python=settings.vllm_python,
        model=settings.vllm_model,
        served_name=settings.vllm_model.name,
        max_model_len=settings.vllm_max_model_len,
        dtype=settings.vllm_dtype,
        kv_cache_gib=settings.vllm_kv_cache_gib,
        extra_args=settings.vllm_args,
        log_file=settings.data_dir / "logs" / ("vllm.log" if name == ANSWER else f"vllm-{name}.log"),
        start_timeout_s=settings.vllm_start_timeout_s,
        kv_disk=_kv_disk(settings),
        alone=alone,
    )


def _kv_disk(settings: Settings) -> KvDisk | None:
    if settings.kv_disk is None:
        return None
    return KvDisk(settings.kv_disk, settings.kv_disk_gib, settings.kv_disk_memory_gib)


def base_url(settings: Settings, server: ModelServer | None) -> Callable[[], str]:
    external = str(settings.llm_url).rstrip("/")
    return (lambda: address(server)) if server else (lambda: external)


def chat_client(
    settings: Settings,
    server: ModelServer | None,
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


def costs(settings: Settings, server: ModelServer | None) -> CostsAt:
    return CostsAt(CostBook(settings.data_dir / calibrations.FOLDER), base_url(settings, server))


def address(server: ModelServer) -> str:
    """Where the managed server answers; raises ModelUnavailable, saying what it is doing, until it does."""
    status = server.status
    if status.state != "ready":
        raise ModelUnavailable(
            f"The model server is {status.state}: {status.detail} ({status.seconds:.0f} s).",
            "Wait with: openbook status --wait"
            if status.state in ("starting", "restarting")
            else "openbook doctor says more.",
        )
    assert status.url is not None
    return status.url


def _load(embedder: SentenceEmbedder | RemoteEmbedder) -> None:
    embedder.load()
    garbage.set_aside()


def token_counter(settings: Settings, stack: AsyncExitStack | ExitStack) -> TokenCounter:
    kept = KeptTokens(_token_counter(settings, stack), settings.data_dir / "cache" / "tokens.sqlite3")
    stack.callback(kept.close)
    return kept


def _token_counter(settings: Settings, stack: AsyncExitStack | ExitStack) -> TokenCounter:
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
        answer_s=settings.answer_timeout_s,
    )
