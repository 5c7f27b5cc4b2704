"""Resolves scripted answers, whose supporting sentences people have marked, and scores citations and grades.

    python -P benchmarks/citations.py FOLDER [--seed N] [--examples N] [--json]

FOLDER holds clapnq/ (primeqa/clapnq: clapnq_dev_answerable.jsonl) and scifact/ (allenai/scifact:
claims_train_with_rationale.jsonl, and corpus.jsonl in BEIR's layout). The answers of CLAPNQ and the claims of SciFact
that a rationale supports are what a model might have said. Each is resolved against eight blocks, seven of them about
something else, as `openbook ask` does it: with the mark of the block that holds the passage, without a mark, and with
the mark of another block. Documents have three pages, each with one of the texts; a block is two of the pages.

Precision is the share of citations graded exact whose span overlaps a sentence that people selected; recall is the
share of sentences of the answers that have such a citation. Claims that a rationale contradicts must not be exact, and
neither must sentences that were altered: another number, unit or name, a denial or an opposite, two names or numbers
exchanged. Only alterations of sentences that were exact before count.
"""

from __future__ import annotations

import argparse
import json
import platform
import random
import re
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ingest.parsed import Parsed, Region
from ingest.passages import passages
from rag.cite import resolve
from rag.text import sentences
from rag.types import Block, Citation, Document, Span

BLOCKS = 8
MAX_CHARACTERS = 904  # of a passage; that of the packaged embedder
TARGET = 0.95


@dataclass(frozen=True)
class Item:
    """A text, the sentences in it that people selected, and what is said of it. ``held`` is false for claims
    that the selected sentences contradict."""

    data: str
    text: str
    gold: tuple[str, ...]
    said: tuple[str, ...]
    held: bool = True


@dataclass(frozen=True)
class Shelf:
    """The blocks read for an item, the whole texts they are from, and where the selected sentences stand."""

    blocks: list[Block]
    texts: dict[str, str]
    number: int
    gold: list[Span]

    @property
    def gold_text(self) -> str:
        return self.blocks[self.number - 1].text


@dataclass
class Score:
    """Counts; ``wrong`` keeps what was exact and should not have been."""

    counts: Counter[str] = field(default_factory=Counter)
    wrong: list[tuple[str, str, str]] = field(default_factory=list)
    missed: list[tuple[str, str, str]] = field(default_factory=list)


def clapnq(folder: Path) -> Iterator[Item]:
    for row in _rows(folder / "clapnq" / "clapnq_dev_answerable.jsonl"):
        text = " ".join(row["passages"][0]["text"].split())
        gold = {" ".join(s.split()) for each in row["output"] for s in each["selected_sentences"]}
        for answer in dict.fromkeys(each["answer"] for each in row["output"]):
            spans = sentences(answer)
            said = tuple(answer[span.start : span.end] for span in spans)
            if said and gold:
                yield Item("clapnq", text, tuple(sorted(gold)), said)


def scifact(folder: Path) -> Iterator[Item]:
    texts = {row["_id"]: " ".join(row["text"].split()) for row in _rows(folder / "scifact" / "corpus.jsonl")}
    for row in _rows(folder / "scifact" / "claims_train_with_rationale.jsonl"):
        for id_, evidence in row["evidence"].items():
            gold = {" ".join(s.split()) for each in evidence for s in each["text"]}
            held = evidence[0]["label"] == "SUPPORT"
            if id_ in texts:
                yield Item("scifact", texts[id_], tuple(sorted(gold)), (row["claim"],), held)


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8") as lines:
        yield from (json.loads(line) for line in lines)


def shelf(item: Item, others: Sequence[Item], rng: random.Random) -> Shelf:
    texts = list(
        dict.fromkeys(each.text for each in rng.sample(others, 4 * BLOCKS) if each.text != item.text)
    )
    number = rng.randint(1, BLOCKS)
    blocks, whole, gold = [], {}, []
    for at in range(1, BLOCKS + 1):
        pages = [texts.pop(), texts.pop(), texts.pop()]
        if at == number:
            page = rng.randint(1, 2)
            pages[page] = item.text
        starts = [0, len(pages[0]) + 2, len(pages[0]) + len(pages[1]) + 4]
        text = "\n\n".join(pages)
        regions = tuple(Region(start, (f"Part {page}",), page) for page, start in enumerate(starts, 1))
        source = f"file:///benchmark/{at}.txt"
        parsed = Parsed(text, f"Document {at}", regions, 3)
        document = _document(source, text, at)
        tiles = passages(parsed, document.id, "r", lambda each: [len(e) // 4 for e in each], MAX_CHARACTERS)
        blocks.append(Block(at, document, tuple(each for each in tiles if each.page != 1)))
        whole[document.id] = text
        if at == number:
            found = [starts[page] + item.text.find(sentence) for sentence in item.gold]
            gold = [
                Span(start, start + len(sentence))
                for start, sentence in zip(found, item.gold, strict=True)
                if sentence in item.text
            ]
    return Shelf(blocks, whole, number, gold)


def _document(source: str, text: str, number: int) -> Document:
    return Document(
        id=f"00000000-0000-0000-0000-{number:012}",
        collection="benchmark",
        source=source,
        title=f"Document {number}",
        media_type="text/plain",
        content_hash="",
        revision="r",
        characters=len(text),
        tokens=len(text) // 4,
        passages=0,
        pages=3,
    )


def faults(citation: Citation, on: Shelf) -> Iterator[str]:
    """What of a citation is not so in the source, or was not read."""
    text, span = on.texts[citation.document_id], citation.span
    if not citation.quote or text[span.start : span.end] != citation.quote:
        yield "quote"
    lines = (1 + text.count("\n", 0, span.start), 1 + text.count("\n", 0, span.end - 1))
    if (citation.place.line_start, citation.place.line_end) != lines:
        yield "lines"
    if citation.place.page != 1 + text.count("\n\n", 0, span.start):
        yield "page"
    block = on.blocks[citation.number - 1]
    inside = block.span.start <= span.start < span.end <= block.span.end
    if block.document.id != citation.document_id or not inside:
        yield "not read"


def is_gold(citation: Citation, on: Shelf) -> bool:
    span = citation.span
    return citation.number == on.number and any(g.start < span.end and span.start < g.end for g in on.gold)


def reply(said: Sequence[str], number: int | None, rng: random.Random) -> str:
    """Sentences with the mark of a block, before or after the full stop as models do it."""
    if number is None:
        return " ".join(said)
    inside = rng.random() < 0.5
    return " ".join(
        f"{s[:-1].rstrip()} [{number}]." if inside and s.endswith(".") else f"{s} [{number}]" for s in said
    )


# The opposites that are put into sentences. Not those that the code under test knows.
_OPPOSITES = (
    "increase/decrease increases/decreases increased/decreased increasing/decreasing higher/lower more/less "
    "before/after largest/smallest oldest/youngest highest/lowest most/least north/south northern/southern east/west "
    "eastern/western first/last positive/negative positively/negatively above/below always/never best/worst "
    "early/late high/low maximum/minimum inside/outside male/female reduce/raise reduces/raises reduced/raised "
    "improves/worsens promotes/inhibits with/without upper/lower left/right fewer/more "
    "begins/ends opened/closed won/lost".split()
)
_OPPOSITE = {a: b for pair in _OPPOSITES for a, b in (pair.split("/"), pair.split("/")[::-1])}
_UNITS = (
    "million/billion thousand/million percent/degrees years/days days/hours hours/minutes months/weeks weeks/months "
    "minutes/hours km/miles kilometres/miles miles/kilometres metres/feet feet/metres "
    "episodes/seasons seasons/episodes century/decade people/households %/°C".split()
)
_UNIT: dict[str, str] = dict(pair.split("/", 1) for pair in _UNITS)
_SMALL = "two three four five six seven eight nine ten eleven twelve".split()
_NUMBER = re.compile(rf"\b(?:\d[\d,]*(?:\.\d+)?|{'|'.join(_SMALL)})\b")
_NAME = re.compile(r"(?<=[a-z,] )[A-Z][a-zé]{3,}\b")
_WHOLE_NAME = re.compile(r"\b[A-Z][a-zé]{3,}(?: [A-Z][a-zé]+)*\b")
_DENIAL = re.compile(r"\b(?:not|never) (?!only)")
_NO = re.compile(r"\b(?:no|not|never|none|nor|neither|without|cannot)\b|n't", re.I)
_IS = re.compile(r"\b(?:is|are|was|were|has|have|had|can|could|will|would|may|does|did)(?= (?:[a-z]|\d))")


def alterations(
    sentence: str, text: str, names: Sequence[str], rng: random.Random
) -> Iterator[tuple[str, str]]:
    """(kind, sentence that the text does not support)."""
    if found := list(_NUMBER.finditer(sentence)):
        one = rng.choice(found)
        if other := next((each for each in _numbers_like(one.group(), rng) if each not in text), None):
            yield "number", sentence[: one.start()] + other + sentence[one.end() :]
    units = [m for m in re.finditer(r"(?<=\d )[\w%°]+|(?<=\d)%", sentence) if m.group() in _UNIT]
    if units:
        yield "unit", sentence[: units[0].start()] + _UNIT[units[0].group()] + sentence[units[0].end() :]
    if found := list(_NAME.finditer(sentence)):
        one = rng.choice(found)
        other = next(name for name in names[rng.randrange(len(names) // 2) :] if name not in text)
        yield "name", sentence[: one.start()] + other + sentence[one.end() :]
    denied = _DENIAL.sub("", sentence, count=1)
    if not _NO.search(sentence) and (verb := _IS.search(sentence)):
        denied = f"{sentence[: verb.end()]} not{sentence[verb.end() :]}"
    if denied != sentence:
        yield "denial", denied
    if opposed := [m for m in re.finditer(r"\w+", sentence) if m.group() in _OPPOSITE]:
        one = rng.choice(opposed)
        yield "opposite", sentence[: one.start()] + _OPPOSITE[one.group()] + sentence[one.end() :]
    for kind, pattern in (("exchanged names", _WHOLE_NAME), ("exchanged numbers", _NUMBER)):
        found = list(pattern.finditer(sentence))
        if len(found) > 1 and found[0].group() != found[-1].group() and found[0].start() > 0:
            a, b = found[0], found[-1]
            yield (
                kind,
                sentence[: a.start()]
                + b.group()
                + sentence[a.end() : b.start()]
                + a.group()
                + sentence[b.end() :],
            )


def _numbers_like(number: str, rng: random.Random) -> Iterator[str]:
    if number in _SMALL:
        yield from rng.sample([each for each in _SMALL if each != number], len(_SMALL) - 1)
        return
    for _ in range(20):
        digits = [rng.choice("123456789") if c.isdigit() else c for c in number]
        yield "".join(digits)


def run(items: Sequence[Item], seed: int) -> dict[str, Score]:
    rng = random.Random(seed)
    pools = {data: [each for each in items if each.data == data] for data in ("clapnq", "scifact")}
    names = sorted({m.group() for item in pools["clapnq"] for s in item.said for m in _NAME.finditer(s)})
    rng.shuffle(names)
    scores: dict[str, Score] = {}
    for item in items:
        on = shelf(item, pools[item.data], rng)
        other = rng.choice([n for n in range(1, BLOCKS + 1) if n != on.number])
        if not item.held:
            _refused(f"{item.data} contradicted", item.said[0], item, on, scores, rng)
            continue
        for kind, number in (("marked", on.number), ("no mark", None), ("wrong mark", other)):
            _supported(f"{item.data} {kind}", reply(item.said, number, rng), item, on, scores)
        for sentence in item.said:
            if any(each.grade == "exact" for each in _cited(f"{sentence} [{on.number}]", on, scores)):
                for kind, altered in alterations(sentence, on.gold_text, names, rng):
                    _refused(f"altered: {kind}", altered, item, on, scores, rng)
    return scores


def _cited(text: str, on: Shelf, scores: dict[str, Score]) -> list[Citation]:
    """The citations of a reply; their faults and the seconds are counted."""
    total = scores.setdefault("all", Score())
    began = time.process_time()
    citations, _ = resolve(text, on.blocks)
    total.counts["microseconds"] += int((time.process_time() - began) * 1e6)
    total.counts.update(["answers"])
    for citation in citations:
        found = list(faults(citation, on))
        total.counts.update(["citations", *found, *(["faulty"] if found else [])])
    return list(citations)


def _supported(name: str, text: str, item: Item, on: Shelf, scores: dict[str, Score]) -> None:
    score = scores.setdefault(name, Score())
    citations = _cited(text, on, scores)
    exact = [each for each in citations if each.grade == "exact"]
    score.counts.update(answers=1, sentences=len(item.said), exact=len(exact))
    score.counts["exact gold"] += sum(is_gold(each, on) for each in exact)
    score.counts["sentences found"] += len({each.sentence for each in exact if is_gold(each, on)})
    supported = [each for each in citations if each.grade != "unsupported"]
    score.counts.update(supported=len(supported))
    score.counts["supported gold"] += sum(is_gold(each, on) for each in supported)
    found = {each.sentence for each in supported if is_gold(each, on)}
    score.counts["sentences supported"] += len(found)
    for each in citations:
        if each.grade == "exact" and not is_gold(each, on):
            score.wrong.append(
                (text[each.sentence.start : each.sentence.end], each.quote, " / ".join(item.gold))
            )
        elif each.grade != "exact":
            score.missed.append(
                (text[each.sentence.start : each.sentence.end], each.quote, " / ".join(item.gold))
            )


def _refused(
    name: str, sentence: str, item: Item, on: Shelf, scores: dict[str, Score], rng: random.Random
) -> None:
    score = scores.setdefault(name, Score())
    exact = [each for each in _cited(reply([sentence], on.number, rng), on, scores) if each.grade == "exact"]
    score.counts.update(answers=1, exact=int(bool(exact)))
    score.wrong += [(sentence, each.quote, " / ".join(item.gold)) for each in exact[:1]]


def report(scores: dict[str, Score], seed: int) -> dict[str, Any]:
    total = scores["all"].counts
    held = {name: score.counts for name, score in scores.items() if "sentences" in score.counts}
    refused = {name: score.counts for name, score in scores.items() if name != "all" and name not in held}
    exact, gold = (sum(c[key] for c in held.values()) for key in ("exact", "exact gold"))
    return {
        "machine": platform.platform(),
        "python": platform.python_version(),
        "seed": seed,
        "answers": total["answers"],
        "citations": total["citations"],
        "faulty": {key: total[key] for key in ("faulty", "quote", "lines", "page", "not read")},
        "milliseconds_per_answer": round(total["microseconds"] / total["answers"] / 1000, 2),
        "supported": {
            name: {
                "answers": c["answers"],
                "sentences": c["sentences"],
                "exact": c["exact"],
                "precision": _share(c["exact gold"], c["exact"]),
                "recall": _share(c["sentences found"], c["sentences"]),
                "precision_partial": _share(c["supported gold"], c["supported"]),
                "recall_partial": _share(c["sentences supported"], c["sentences"]),
            }
            for name, c in sorted(held.items())
        },
        "refused": {
            name: {"answers": c["answers"], "exact": c["exact"], "share": _share(c["exact"], c["answers"])}
            for name, c in sorted(refused.items())
        },
        "precision": _share(gold, exact),
    }


def _share(part: int, whole: int) -> float:
    return round(part / whole, 4) if whole else 0.0


def show(found: dict[str, Any]) -> None:
    print(f"{found['machine']}, Python {found['python']}, seed {found['seed']}")
    print(f"{found['answers']} answers, {found['milliseconds_per_answer']} ms of processor time each")
    print(f"{found['citations']} citations, faulty: {found['faulty']}\n")
    print(
        f"{'answers that hold':<22}{'answers':>8}{'sentences':>10}{'exact':>7}{'precision':>10}{'recall':>8}",
        end="",
    )
    print(f"{'  with partial: precision':>25}{'recall':>8}")
    for name, row in found["supported"].items():
        print(
            f"{name:<22}{row['answers']:>8}{row['sentences']:>10}{row['exact']:>7}{row['precision']:>10.3f}",
            end="",
        )
        print(f"{row['recall']:>8.3f}{row['precision_partial']:>25.3f}{row['recall_partial']:>8.3f}")
    print(f"\n{'answers that do not':<28}{'answers':>8}{'exact':>7}{'share':>8}")
    for name, row in found["refused"].items():
        print(f"{name:<28}{row['answers']:>8}{row['exact']:>7}{row['share']:>8.3f}")
    print(f"\nprecision of exact: {found['precision']:.3f} (target {TARGET})")


def main() -> int:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("folder", type=Path)
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--examples", type=int, default=0, help="print that many wrong ones of each kind")
    options.add_argument("--json", action="store_true")
    arguments = options.parse_args()
    items = [*clapnq(arguments.folder), *scifact(arguments.folder)]
    scores = run(items, arguments.seed)
    found = report(scores, arguments.seed)
    if arguments.json:
        print(json.dumps(found, indent=2))
    else:
        show(found)
    for name, score in sorted(scores.items()) if arguments.examples else ():
        for said, quote, gold in score.wrong[: arguments.examples]:
            print(f"\n{name}\n  said:  {said}\n  quote: {quote}\n  gold:  {gold}")
        for said, quote, gold in score.missed[: arguments.examples]:
            print(f"\nMISSED {name}\n  said:  {said}\n  quote: {quote}\n  gold:  {gold}")
    return int(found["faulty"]["faulty"] > 0 or found["precision"] < TARGET)


if __name__ == "__main__":
    sys.exit(main())
