"""From hits to the context that fits: how many tokens there are, what may be read, packed."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from itertools import takewhile
from types import MappingProxyType

from rag import filters, order, prompt
from rag.choice import Choice, choose, nearest
from rag.errors import BadRequest, ContextTooLong, QuestionTooLong
from rag.pack import Heading, by_source, fill, pack_whole, told
from rag.pinned import NOTHING, Pinned
from rag.ports import Reader, TokenCounter
from rag.question import Question
from rag.text import is_unicode
from rag.types import At, Block, Context, Document, Hit, Passage

# Documents of a corpus that is small enough to be read whole are few; a longer catalog is not even summed up.
WHOLE_CORPUS_DOCUMENTS = 500
# Passages read from the index on either side of a hit: more than a budget lets most hits grow, and a bound on
# what a question costs however long the documents are.
REACH = 32
# The chat template around two messages, and what joins between counted pieces may add, in tokens.
TEMPLATE_TOKENS = 64
COLLECTIONS = 100  # that one question may name
USUAL_TOKENS = 32768  # of documents, where nothing else is said: most models are at their best below
# A conversation's context begins with one part in so many of the window, so that later turns can add to it.
GROWING = 2
# A long budget needs more hits to be filled: one for so many tokens of it, up to a bound on what a search costs.
TOKENS_PER_HIT, MOST_HITS = 80, 400

# From a context, the documents of which more may be read, and the blocks that the context begins with in any case, to
# those to go on with.
Lead = Callable[[Context, Mapping[str, order.Readable], Sequence[order.Name]], Sequence[order.Name]]


@dataclass(frozen=True, slots=True)
class Budget:
    """Tokens: for the documents of a question, and what the window leaves for documents and earlier turns."""

    documents: int
    room: int


@dataclass(frozen=True, slots=True)
class Limits:
    """``context_tokens`` and ``answer_tokens`` of None: by the model's window; ``target_ttft_ms``: no target;
    ``answer_s``, seconds that a whole answer may take: as long as it takes."""

    search: int = 48
    question_characters: int = 8000
    context_tokens: int | None = None
    answer_tokens: int | None = None
    target_ttft_ms: int | None = None
    answer_s: float | None = None

    def target_s(self, question: Question, of_collections: Sequence[int] = ()) -> float | None:
        """Seconds in which the answer is to begin: as the question says, else its collections, else the server."""
        ms = question.target_ttft_ms or min(of_collections, default=self.target_ttft_ms)
        return ms / 1000 if ms else None

    def check(self, question: Question) -> None:
        """Raises BadRequest for a question that is empty or no text, QuestionTooLong for a long one."""
        if not question.text.strip():
            raise BadRequest("The question is empty.", "Ask something.")
        text = question.text + question.instructions
        if len(text) > self.question_characters:
            raise QuestionTooLong.of(len(text), self.question_characters)
        if not is_unicode(text):
            raise BadRequest("The question holds half a character (a lone surrogate).", "Send valid UTF-8.")
        if len(question.collections) > COLLECTIONS:
            why = f"The question names {len(question.collections):,} collections."
            raise BadRequest(why, f"Name at most {COLLECTIONS}.")

    def reserve(self, question: Question, window: int) -> int:
        """Tokens kept for the answer."""
        return question.max_answer_tokens or self.answer_tokens or min(1024, window // 8)

    def budget(self, question: Question, window: int, tokens: TokenCounter) -> Budget:
        """For documents: what was asked for, else what is set, and never more than the window leaves. Raises
        ContextTooLong where that is nothing."""
        reserve = self.reserve(question, window)
        fixed = sum(tokens.count([prompt.SYSTEM, question.text, question.instructions])) + TEMPLATE_TOKENS
        room = window - reserve - fixed
        if room <= 0:
            raise ContextTooLong(
                f"The question and an answer of {reserve:,} tokens leave no room for documents "
                f"in the model's window of {window:,} tokens.",
                "Ask a shorter question or lower max_answer_tokens.",
                needed=reserve + fixed,
                budget=window,
            )
        most = room // GROWING if question.conversation else room
        return Budget(min(most, question.max_context_tokens or self.context_tokens or USUAL_TOKENS), room)

    def hits(self, budget: int) -> int:
        return min(max(self.search, budget // TOKENS_PER_HIT), max(self.search, MOST_HITS))


def gather(
    index: Reader,
    question: Question,
    hits: Sequence[Hit],
    budget: int,
    tokens: TokenCounter,
    pinned: Pinned = NOTHING,
) -> Material:
    """What may be read of the index for a question with any budget up to this one."""
    counted = Counted(index, tokens)
    corpus = None if question.among or not hits else _corpus(counted, budget)
    documents = {hit.document.id: hit.document for hit in hits}
    found: dict[str, dict[int, Passage]] = {}
    for hit in hits:
        found.setdefault(hit.document.id, {})[hit.passage.ordinal] = hit.passage
    texts = {
        id_: [
            p for p in _around(counted, d, found[id_], question) if filters.admits_passage(question.among, p)
        ]
        for id_, d in documents.items()
    }
    return Material(counted, question, hits, documents, texts, corpus, pinned)


def read_always(
    index: Reader, question: Question, budget: int, tokens: TokenCounter, pinned: Pinned
) -> Context:
    """What every question of these collections begins with: all of a small corpus, else what is pinned."""
    counted = Counted(index, tokens)
    corpus = _corpus(counted, budget)
    return Material(counted, question, (), {}, {}, corpus, pinned).context(budget)


def read_pinned(
    index: Reader, question: Question, ids: Sequence[str], limit: int, tokens: TokenCounter
) -> Pinned:
    """Of the documents ``ids`` those that the filter admits, each whole, as far as ``limit`` tokens hold them."""
    counted, left = Counted(index, tokens), limit
    blocks: list[Block] = []
    over: list[Document] = []
    for document in sorted(index.documents(ids) if ids else (), key=by_source):
        passages = counted.read(document) if filters.admits(question.among, document) else []
        whole = passages and len(passages) == document.passages  # not where it is replaced at this moment
        if not whole or not all(filters.admits_passage(question.among, passage) for passage in passages):
            continue
        block = Block(len(blocks) + 1, document, tuple(passages))
        cost = counted.headings([document], {document.id: passages})[document.id].first + block.tokens
        if cost > left:
            over.append(document)
        else:
            blocks.append(block)
            left -= cost
    return Pinned(tuple(blocks), tuple(over), limit)


@dataclass(frozen=True, slots=True)
class Corpus:
    """All documents of a small one, and their passages."""

    documents: Sequence[Document]
    texts: Mapping[str, Sequence[Passage]]


@dataclass(frozen=True)
class Material:
    """``hits`` are what was found; ``texts`` what may be read around them, by document id; ``near`` what is chosen of
    it, where it is not all that could be."""

    counted: Counted
    question: Question
    hits: Sequence[Hit]
    documents: Mapping[str, Document]
    texts: Mapping[str, Sequence[Passage]]
    corpus: Corpus | None
    pinned: Pinned = NOTHING
    near: Choice | None = None

    @cached_property
    def choice(self) -> Choice:
        if self.near:
            return self.near
        # A document may be replaced between search and read: its hits of the old revision are gone.
        there = [_with(hit, passage) for hit in self.hits if (passage := self.known.get(hit.passage.at))]
        return choose(there, self.texts, self.question.policy)

    @cached_property
    def known(self) -> Mapping[At, Passage]:
        """What may be read."""
        return {p.at: p for passages in self.texts.values() for p in passages}

    @cached_property
    def headings(self) -> Headings:
        return Headings(self.counted, self.documents, self.texts)

    def context(self, budget: int, lead: Lead | None = None) -> Context:
        """All of a small corpus, else what the hits and the policy choose, after what is pinned and the blocks with
        which ``lead`` goes on."""
        pinned = self.pinned.ids
        if self.corpus:
            texts = self.corpus.texts
            headings = self.counted.headings(self.corpus.documents, texts)
            if whole := pack_whole(self.corpus.documents, texts, budget, headings, pinned):
                return whole
        context = self._packed(budget, self.pinned.blocks)
        begun = [order.name_of(b) for b in takewhile(lambda b: b.document.id in pinned, context.blocks)]
        more = {
            id_: order.Readable(document.revision, partial(self._heading, id_))
            for id_, document in self.documents.items()
            if id_ not in pinned
        }
        if lead and (names := lead(context, more, begun)):
            context = self._packed(budget, (*self.pinned.blocks, *self._named(names)))
        return told(self.choice, context)

    def _heading(self, document_id: str) -> int:
        return self.headings[document_id].first

    def follow_up(self, budget: int, sent: Collection[At]) -> Context:
        """What is nearest, of which what was ``sent`` before takes nothing of the budget."""
        near = replace(self, near=nearest(self.choice, self.texts))
        again = {place for place in near.choice.wanted if place in sent}
        texts = (passage for passages in self.texts.values() for passage in passages)
        return near.context(budget + sum(p.tokens for p in texts if p.at in again))

    def _packed(self, budget: int, lead: Sequence[Block]) -> Context:
        documents = {block.document.id: block.document for block in lead}
        texts = {id_: list(self.texts.get(id_, ())) for id_ in documents}
        for block in lead:
            texts[block.document.id] += block.passages
        headings = self.headings
        if lead:
            headings = headings.but(self.counted.headings(list(documents.values()), texts))
        return fill(self.choice, self.texts, budget, headings, lead)

    def _named(self, names: Sequence[order.Name]) -> list[Block]:
        known = dict(self.known)
        for name in names:
            if not all(place in known for place in name.places):
                read = self.counted.read(self.documents[name.document_id], (name.first, name.last))
                known |= {p.at: p for p in read if filters.admits_passage(self.question.among, p)}
        return order.blocks_of(names, self.documents, known)


def _with(hit: Hit, passage: Passage) -> Hit:
    return hit if passage is hit.passage else replace(hit, passage=passage)


class Counted:
    """An index whose passages have the token counts of the model that is served now."""

    def __init__(self, index: Reader, tokens: TokenCounter) -> None:
        self.index, self._tokens = index, tokens

    def read(self, document: Document, ordinals: tuple[int, int] | None = None) -> list[Passage]:
        """Of the document's revision; nothing where it has been replaced meanwhile."""
        read = self.index.read(document.id, ordinals)
        return self.of(document, [passage for passage in read if passage.revision == document.revision])

    def of(self, document: Document, passages: list[Passage]) -> list[Passage]:
        if document.tokenizer == self._tokens.name:
            return passages
        counts = self._tokens.count([passage.text for passage in passages])
        return [replace(passage, tokens=count) for passage, count in zip(passages, counts, strict=True)]

    def headings(
        self, documents: Sequence[Document], texts: Mapping[str, Sequence[Passage]]
    ) -> dict[str, Heading]:
        widest = [prompt.widest_headings(document, texts[document.id]) for document in documents]
        counts = iter(self._tokens.count([heading for both in widest for heading in both]))
        return {document.id: Heading(next(counts), next(counts)) for document in documents}


class Headings(dict[str, Heading]):
    """Of documents, by id, each counted when it is first asked for: of most that are found nothing is read."""

    def __init__(
        self,
        counted: Counted,
        documents: Mapping[str, Document],
        texts: Mapping[str, Sequence[Passage]],
        known: Mapping[str, Heading] = MappingProxyType({}),
    ) -> None:
        super().__init__(known)
        self._counted, self._documents, self._texts = counted, documents, texts

    def __missing__(self, document_id: str) -> Heading:
        self.update(self._counted.headings([self._documents[document_id]], self._texts))
        return self[document_id]

    def but(self, others: Mapping[str, Heading]) -> Headings:
        return Headings(self._counted, self._documents, self._texts, {**self, **others})


def _around(
    counted: Counted, document: Document, found: Mapping[int, Passage], question: Question
) -> list[Passage]:
    """A document's passages within REACH of those ``found``, or all of them where documents are what is packed."""
    ordinals = sorted(found)
    if len(found) == document.passages:  # a short one: nothing is left to be read
        return counted.of(document, [found[ordinal] for ordinal in ordinals])
    if question.policy == "documents":
        return counted.read(document)
    stretches: list[tuple[int, int]] = []
    for ordinal in ordinals:
        first, last = ordinal - REACH, ordinal + REACH
        if stretches and first <= stretches[-1][1] + 1:
            first = stretches.pop()[0]
        stretches.append((first, last))
    return [passage for stretch in stretches for passage in counted.read(document, stretch)]


def _corpus(counted: Counted, budget: int) -> Corpus | None:
    """Where it may fit into the budget."""
    index = counted.index
    if index.size()[0] > WHOLE_CORPUS_DOCUMENTS:
        return None
    documents = index.documents()
    if sum(document.tokens for document in documents) > 2 * budget:  # by whichever tokenizer: cannot fit
        return None
    texts = {document.id: counted.read(document) for document in documents}
    if any(len(texts[document.id]) != document.passages for document in documents):
        return None  # one that has been replaced or removed meanwhile is not read whole
    return Corpus(documents, texts)
