"""python -m rag.models.embed_convert SOURCE FOLDER: a sentence-transformers model as one OpenVINO graph.

FOLDER is left with what rag.models.embed_openvino loads, or with the reason why the model cannot be converted.
The converted model is compared with torch before it is kept, on texts of other lengths than it was traced with.
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rag.models.embed_openvino import (
    DESCRIPTION,
    GRAPH,
    MIN_COSINE,
    REASON,
    TOKENIZER,
    Description,
    NotConvertible,
    OpenVinoEngine,
)

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

_WORDS = "The pump of station 3 is checked every 3 weeks; the battery lasts 400 days (see 2.1). "
# Of very different lengths in one batch, one of them longer than any window, with letters beyond ASCII.
PROBES = ("a", "Ägyptens Flüsse — 東京の天気", _WORDS, _WORDS * 5, _WORDS * 40, _WORDS * 800, "x " * 90)


def main(source: str, folder: Path) -> None:
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(source, device="cpu")
    model.eval()
    try:
        convert(model, folder)
        compare(model, folder)
    except NotConvertible as error:
        reason = str(error)
    except Exception as error:  # noqa: BLE001 -- whatever a library says about a model that it cannot take
        reason = f"{type(error).__name__}: {error}"
    else:
        return
    for path in folder.iterdir():
        path.unlink()
    (folder / REASON).write_text(reason, encoding="utf-8")


def convert(model: SentenceTransformer, folder: Path) -> None:
    """Raises NotConvertible, and whatever the tracing raises."""
    import openvino as ov  # type: ignore[import-untyped]
    import torch

    backend = getattr(model.tokenizer, "backend_tokenizer", None)
    if backend is None:
        raise NotConvertible("its tokenizer is not a fast one")
    if model.tokenizer.padding_side != "right":
        raise NotConvertible("its tokenizer pads on the left")

    class Pipeline(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.parts = torch.nn.ModuleList(list(model.children()))

        def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
            features: dict[str, Any] = {"input_ids": input_ids, "attention_mask": attention_mask}
            for part in self.parts:
                features = part(features)
            return torch.nn.functional.normalize(features["sentence_embedding"], dim=1)

    ids = torch.ones(2, 8, dtype=torch.long)
    shape = ([-1, -1], ov.Type.i64)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the tracer warns of every branch; `compare` says if one mattered
        graph = ov.convert_model(Pipeline(), example_input=(ids, ids), input=[shape, shape])
    # float16 weights keep more digits than bfloat16 arithmetic uses, in half of the space.
    ov.save_model(graph, str(folder / GRAPH), compress_to_fp16=True)
    pad = model.tokenizer.pad_token_id or 0
    backend.enable_padding(pad_id=pad, pad_token=model.tokenizer.pad_token or "[PAD]")
    backend.save(str(folder / TOKENIZER))
    described(model).write(folder / DESCRIPTION)


def described(model: SentenceTransformer) -> Description:
    prompts = model.prompts or {}
    default = prompts.get(model.default_prompt_name or "", "") or ""
    # As encode_query and encode_document choose them.
    document = prompts.get("document") or prompts.get("passage") or prompts.get("corpus") or default
    return Description(
        dimension=int(model.get_embedding_dimension() or 0),
        max_tokens=int(model.get_max_seq_length() or 512),
        document_prompt=document,
        query_prompt=prompts.get("query") or default,
    )


def compare(model: SentenceTransformer, folder: Path) -> None:
    """Raises NotConvertible."""
    engine = OpenVinoEngine(folder)
    settings: dict[str, Any] = {"normalize_embeddings": True, "show_progress_bar": False}
    passages = np.asarray(model.encode_document(list(PROBES), **settings))
    question = np.asarray(model.encode_query(PROBES[2], **settings))
    cosines = [*np.sum(passages * engine.embed(PROBES), axis=1), question @ engine.embed_query(PROBES[2])]
    if not min(cosines) >= MIN_COSINE:
        raise NotConvertible(f"its vectors differ from torch's (cosine {min(cosines):.4f})")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
