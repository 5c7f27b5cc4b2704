"""How well questions are answered: what evidence is read under each budget, then what the model makes of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from evals.baseline import LlamaIndex
from evals.bootstrap import Score
from evals.datasets.values import Case, Cases, Evidence
from evals.generation import closed_book
from evals.metrics import contains, exact, f1, flat, numeric
from evals.progress import Begin
from evals.report import Scores
from evals.systems import Cited, Openbook, Reading, Said, System

CLOSED_BOOK = "closed book"
Measured = dict[str, Score]


async def evaluate_reading(
    data: Cases, systems: Sequence[System], budgets: Sequence[int], begin: Begin
) -> Scores:
    """What of the evidence is read under each budget, in tokens. No model is asked."""
    asked = [case for case in data.cases if case.evidence]
    found: Scores = {}
    for system in systems:
        done = begin(f"{system.name}: reading", len(asked) * len(budgets))
        of_it = found.setdefault(system.name, {})
        for case in asked:
            of_it[case.id] = {}
            for budget in budgets:
                reading = await system.read(case.question, budget)
                measured = read_measures(case.evidence, reading)
                of_it[case.id] |= {f"{name} @ {budget}": score for name, score in measured.items()}
                done(1)
    return {system: in_order(cases, budgets) for system, cases in found.items()}


def in_order(cases: Mapping[str, Measured], budgets: Sequence[int]) -> dict[str, Measured]:
    """Measure by measure rather than budget by budget, so that a row of a table leads to the next."""
    names = dict.fromkeys(name.rsplit(" @ ", 1)[0] for case in cases.values() for name in case)
    wanted = [f"{name} @ {budget}" for name in names for budget in budgets]
    return {id_: {name: case[name] for name in wanted if name in case} for id_, case in cases.items()}


def read_measures(evidence: Sequence[Evidence], reading: Reading) -> Measured:
    """1 where all of the evidence was read, 0 else: its words, its pages (some of each), its documents."""
    worded = [each for each in evidence if each.text]
    paged = [each for each in evidence if each.page is not None]
    texts: dict[str, list[str]] = {}
    for extract in reading.extracts:
        texts.setdefault(extract.document, []).append(flat(extract.text))
    pages = {(extract.document, page) for extract in reading.extracts for page in extract.pages}
    found: Measured = {}
    if worded:
        found["evidence"] = _whether(
            all(any(flat(each.text) in text for text in texts.get(each.document, ())) for each in worded)
        )
    if paged:
        found["pages"] = _whether(all((each.document, each.page) in pages for each in paged))
    found["documents"] = _whether(all(each.document in texts for each in evidence))
    found["tokens"] = (float(reading.tokens), 1.0)
    return found


@dataclass(frozen=True, slots=True)
class Answered:
    scores: Scores
    said: dict[str, dict[str, str]]


async def evaluate_answers(
    data: Cases, system: Openbook, baseline: LlamaIndex | None, *, control: bool, begin: Begin
) -> Answered:
    """Each question is answered by openbook, by the baseline from as many tokens, and by the model alone."""
    abstains = any(not case.answers for case in data.cases)
    names = [system.name, *([baseline.name] if baseline else []), *([CLOSED_BOOK] if control else [])]
    found = Answered({name: {} for name in names}, {name: {} for name in names})
    done = begin("answers", len(data.cases) * len(names))
    for case in data.cases:
        said = {system.name: await system.answer(case.question)}
        if baseline:
            said[baseline.name] = await baseline.answer(case.question, said[system.name].budget)
        if control:
            said[CLOSED_BOOK] = Said(await closed_book(system.rag, case.question), 0)
        for name, each in said.items():
            found.scores[name][case.id] = answer_measures(case, each, abstains=abstains)
            found.said[name][case.id] = each.text
        done(len(names))
    return found


def answer_measures(case: Case, said: Said, *, abstains: bool) -> Measured:
    """``abstains``: whether there are questions without an answer, so that not to answer is measured too."""
    found: Measured = {
        "exact match": _one(exact(said.text, case.answers)),
        "F1": _one(f1(said.text, case.answers)),
    }
    if case.answers:
        found["contains"] = _one(contains(said.text, case.answers))
        if (right := numeric(said.text, case.answers)) is not None:
            found["numbers"] = _one(right)
    if abstains:
        found |= _abstention(abstained=not said.text, unanswerable=not case.answers)
    if said.citations is not None:
        found |= citation_measures(case.evidence, said.citations)
    return found


def _abstention(*, abstained: bool, unanswerable: bool) -> Measured:
    right = float(abstained and unanswerable)
    return {
        "abstention precision": (right, float(abstained)),
        "abstention recall": (right, float(unanswerable)),
        "abstention F1": (2 * right, float(abstained) + float(unanswerable)),
    }


def citation_measures(evidence: Sequence[Evidence], citations: Sequence[Cited]) -> Measured:
    """Of all citations, how many hold and how many show evidence; of all evidence, how much is shown."""
    found: Measured = {}
    if citations:
        found["citations hold"] = (float(sum(each.holds for each in citations)), float(len(citations)))
    if evidence:
        showing = [[_shows(cited, each) for each in evidence] for cited in citations]
        found["citation precision"] = (float(sum(map(any, showing))), float(len(citations)))
        found["citation recall"] = (float(sum(map(any, zip(*showing, strict=True)))), float(len(evidence)))
    return found


def _shows(cited: Cited, evidence: Evidence) -> bool:
    """The same document; the page where one is known; and words of which one holds the other."""
    if cited.document != evidence.document or (evidence.page is not None and cited.page != evidence.page):
        return False
    quote, text = flat(cited.quote), flat(evidence.text)
    return not text or quote in text or text in quote


def merged(readings: Scores, answers: Scores) -> Scores:
    """The scores of both, case by case."""
    systems = dict.fromkeys([*readings, *answers])
    return {name: dict(_merged(readings.get(name, {}), answers.get(name, {}))) for name in systems}


def _merged(one: Mapping[str, Measured], other: Mapping[str, Measured]) -> Iterator[tuple[str, Measured]]:
    for id_ in dict.fromkeys([*one, *other]):
        yield id_, one.get(id_, {}) | other.get(id_, {})


def _whether(so: bool) -> Score:
    return float(so), 1.0


def _one(value: float) -> Score:
    return value, 1.0
