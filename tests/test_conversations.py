"""Conversations that are kept: what a turn reads and declares, and what the file holds whatever happens."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import aclosing, closing
from dataclasses import replace
from pathlib import Path

import pytest

from fakes import FakeCounter, FakeEmbedder, FakeGenerator, change, document, passages, rag_of
from rag import conversations as kept
from rag.answer import Limits, Piece, Rag, Reading
from rag.conversation import Ref, Repack, Turn
from rag.conversations import Conversations
from rag.errors import (
    BadRequest,
    ConversationBusy,
    ConversationNotFound,
    ModelUnavailable,
    StoreUnavailable,
)
from rag.question import Filter, Question
from rag.store.edge import EdgeStore
from rag.types import Answer, Receipt

pytestmark = pytest.mark.process  # of which they start none; but a store for each takes seconds

EMBEDDER = FakeEmbedder()
TOPICS = ["tide gauge", "battery pack", "radio mast", "spare seal"]
ANSWER = Answer("Q?", "A.", True, None, (), (), "stop", Receipt("default", 1, 1, 1, (), (), 0, 10, "m", None))
TURN = Turn("Q?", "A.", (Ref(1, "d", "r", 0, 3),), (1,), "Q?", Repack("why", 1, 2, 30))


def write(store: EdgeStore, source: str, *texts: str, revision: str = "r1") -> None:
    tiles = passages(document(source, revision), *texts)
    fields = {"tokens": sum(tile.tokens for tile in tiles), "passages": len(tiles)}
    doc = document(source, revision, tokenizer=FakeCounter.name, **fields)
    index = store.open("default", create=True)
    index.put(doc, tiles, EMBEDDER.embed([tile.text for tile in tiles]))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[EdgeStore]:
    made = EdgeStore(tmp_path / "collections", embedder=EMBEDDER.name, dimension=EMBEDDER.dimension)
    for number, topic in enumerate(TOPICS):
        write(
            made,
            f"file:///d/{topic.replace(' ', '-')}.txt",
            *(
                f"Section {at} of the {topic} says that it lasts {100 * number + at} days.\n"
                for at in range(12)
            ),
        )
    yield made
    made.close()


@pytest.fixture
def talks(tmp_path: Path) -> Iterator[Conversations]:
    with closing(Conversations(tmp_path / "conversations.db")) as made:
        yield made


@pytest.fixture
def model() -> FakeGenerator:
    return FakeGenerator("It lasts 105 days [1].", window=4096)


@pytest.fixture
def rag(store: EdgeStore, talks: Conversations, model: FakeGenerator) -> Rag:
    limits = Limits(search=12, context_tokens=150)
    return rag_of(store, EMBEDDER, FakeCounter(), model, limits, conversations=talks)


def asked(id_: str | None, text: str, **fields: object) -> Question:
    return replace(Question(text, conversation=id_), **fields)  # type: ignore[arg-type]


FIRST, SECOND = "How long does the battery pack of section 5 last?", "And the radio mast of section 7?"


# --- what a turn reads ------------------------------------------------------------------------------------------


async def test_a_follow_up_adds_to_what_was_read_and_may_cite_all_of_it(
    rag: Rag, talks: Conversations, model: FakeGenerator
) -> None:
    id_ = talks.create().id
    first = await rag.answer(asked(id_, FIRST))
    (battery,) = (
        read.number
        for read in first.receipt.read
        if "battery" in read.source and read.place.line_start <= 6 <= read.place.line_end
    )
    model.reply = f"The battery pack lasts 105 days [{battery}]. The radio mast of section 7 lasts 207 days."
    second = await rag.answer(asked(id_, SECOND))
    one, other = model.sent
    assert list(other[: len(one)]) == list(one)
    assert [message.role for message in other] == ["system", "user", "assistant", "user"]

    before, after = first.receipt, second.receipt
    assert after.read[: len(before.read)] == before.read
    assert [read.number for read in after.read] == list(range(1, len(after.read) + 1))
    assert before.context_tokens < after.context_tokens <= after.budget_tokens
    assert not [warning for warning in after.warnings if "anew" in warning]
    cited = {citation.number: citation for citation in second.citations}
    assert cited[battery].grade == "exact"
    assert any(number > len(before.read) for number in cited)


async def test_the_index_is_asked_for_what_a_follow_up_means(rag: Rag, talks: Conversations) -> None:
    id_ = talks.create().id
    assert (await reading(rag, asked(id_, FIRST))).searched_for == FIRST
    second = await reading(rag, asked(id_, "Why?"))
    assert second.searched_for == f"{FIRST} 105 Why?"
    assert f"Searched for: {second.searched_for}" in second.receipt.warnings
    (_, last) = talks.transcript(id_).turns
    assert last.turn.searched_for == second.searched_for
    assert last.answer.question == "Why?"


async def reading(rag: Rag, question: Question) -> Reading:
    first, *_ = [event async for event in rag.stream(question)]
    assert isinstance(first, Reading)
    return first


async def test_the_model_makes_a_follow_up_self_contained_where_the_settings_say(
    rag: Rag, talks: Conversations, model: FakeGenerator
) -> None:
    rag.rewrite_follow_ups = True
    id_ = talks.create().id
    assert (await reading(rag, asked(id_, FIRST))).searched_for == FIRST
    assert len(model.sent) == 1
    second = await rag.answer(asked(id_, "Why?"))
    assert f"Searched for: {model.reply}" in second.receipt.warnings
    assert "rewrite" in second.receipt.seconds
    assert [len(sent) for sent in model.sent] == [2, 2, 4]


async def test_what_no_longer_fits_is_packed_anew_and_history_trimmed_and_both_are_told(
    rag: Rag, talks: Conversations, model: FakeGenerator
) -> None:
    model.window = 900
    model.reply = "It lasts 105 days [1]. " + " ".join(f"Of {n} the same is said." for n in range(6))
    id_ = talks.create().id
    repacked = 0
    for number in range(12):
        answer = await rag.answer(asked(id_, f"How long does the {TOPICS[number % 4]} of {number} last?"))
        receipt = answer.receipt
        assert receipt.usage
        assert receipt.usage.prompt + 900 // 8 <= 900
        assert receipt.context_tokens <= receipt.budget_tokens
        last = talks.transcript(id_).turns[-1].turn
        if last.repack:
            repacked += 1
            assert last.repack.kept + last.repack.dropped == number
            assert any("packed anew: with what was read before" in note for note in receipt.warnings)
            told = [note for note in receipt.warnings if note.startswith("Earlier turns left out")]
            assert told == (
                [f"Earlier turns left out: {last.repack.dropped}, {last.repack.tokens:,} tokens."]
                if last.repack.dropped
                else []
            )
            assert not re.search(
                r"\[\d\]", "".join(m.content for m in model.sent[-1] if m.role == "assistant")
            )
        elif number:
            before, now = model.sent[-2:]
            assert list(now[: len(before)]) == list(before)
    assert 0 < repacked < 11


async def test_max_context_tokens_bounds_what_earlier_turns_brought_too(
    rag: Rag, talks: Conversations
) -> None:
    id_ = talks.create().id
    await rag.answer(asked(id_, FIRST))
    second = await rag.answer(asked(id_, SECOND, max_context_tokens=150))
    assert second.receipt.context_tokens <= 150
    assert any("packed anew" in note for note in second.receipt.warnings)


async def test_documents_grow_to_four_times_what_a_question_reads(
    rag: Rag, talks: Conversations, model: FakeGenerator
) -> None:
    model.window = 100_000
    change(rag, limits=replace(rag.limits, context_tokens=40))
    id_ = talks.create().id
    read = []
    for number in range(12):
        asking = f"What does section {number} of the {TOPICS[number % 4]} say?"
        receipt = (await rag.answer(asked(id_, asking))).receipt
        read.append(receipt.context_tokens)
        assert receipt.budget_tokens in (40, 160)
    assert 100 < max(read) <= 160
    assert min(read) <= 40


@pytest.mark.parametrize("change", ["changed", "removed"])
async def test_a_document_that_changed_or_went_is_not_shown_as_it_was(
    rag: Rag, store: EdgeStore, talks: Conversations, model: FakeGenerator, change: str
) -> None:
    id_ = talks.create().id
    first = await rag.answer(asked(id_, FIRST))
    assert first.receipt.read[0].source == "file:///d/battery-pack.txt"
    if change == "changed":
        write(
            store,
            "file:///d/battery-pack.txt",
            "How long the battery pack of section 5 lasts: 999 days.\n",
            revision="r2",
        )
    else:
        store.open("default").remove([first.receipt.read[0].document_id])
    second = await rag.answer(asked(id_, FIRST))
    prompt = "\n".join(message.content for message in model.sent[-1])
    assert "Section 5 of the battery pack" not in prompt
    assert ("999 days" in prompt) == (change == "changed")
    why = "battery-pack.txt has changed since" if change == "changed" else "is gone, or not in"
    assert any(why in note for note in second.receipt.warnings)


async def test_what_the_filter_does_not_admit_is_not_read_on(
    rag: Rag, talks: Conversations, model: FakeGenerator
) -> None:
    id_ = talks.create().id
    await rag.answer(asked(id_, FIRST))
    second = await rag.answer(asked(id_, SECOND, among=Filter(paths=("radio-mast.txt",))))
    assert {read.source for read in second.receipt.read} == {"file:///d/radio-mast.txt"}
    assert any("not among what is asked about" in note for note in second.receipt.warnings)


async def test_a_conversation_begins_with_half_the_window(
    store: EdgeStore, talks: Conversations, model: FakeGenerator
) -> None:
    model.window = 900
    rag = rag_of(store, EMBEDDER, FakeCounter(), model, Limits(search=12), conversations=talks)
    alone = await rag.answer(asked(None, FIRST))
    begun = await rag.answer(asked(talks.create().id, FIRST))
    assert begun.receipt.budget_tokens == alone.receipt.budget_tokens // 2


async def test_a_question_about_nothing_is_a_turn_too(
    rag: Rag, store: EdgeStore, talks: Conversations, model: FakeGenerator
) -> None:
    store.open("empty", create=True)
    id_ = talks.create().id
    answer = await rag.answer(asked(id_, FIRST, collection="empty"))
    assert (answer.answerable, model.sent) == (False, [])
    await rag.answer(asked(id_, SECOND))
    assert [message.role for message in model.sent[0]] == ["system", "user", "assistant", "user"]


# --- one at a time, and nothing half-done -----------------------------------------------------------------------


async def test_a_second_question_at_the_same_time_is_refused(rag: Rag, talks: Conversations) -> None:
    id_ = talks.create().id
    async with aclosing(rag.stream(asked(id_, FIRST))) as events:
        await anext(events)
        with pytest.raises(ConversationBusy, match="being answered"):
            await rag.answer(asked(id_, SECOND))
        async for event in events:
            if isinstance(event, Answer):  # whoever has the answer may go on at once
                await rag.answer(asked(id_, SECOND))
    assert talks.get(id_).turns == 2


@pytest.mark.parametrize("ending", ["left", "failed"])
async def test_a_turn_that_was_not_answered_is_none(
    rag: Rag, talks: Conversations, model: FakeGenerator, ending: str
) -> None:
    id_ = talks.create().id
    if ending == "failed":
        model.error = ModelUnavailable("down")
        with pytest.raises(ModelUnavailable):
            await rag.answer(asked(id_, FIRST))
    else:
        async with aclosing(rag.stream(asked(id_, FIRST))) as events:
            async for event in events:
                if isinstance(event, Piece):
                    break
    assert talks.transcript(id_).turns == ()
    model.error = None
    await rag.answer(asked(id_, FIRST))
    assert talks.get(id_).turns == 1


async def test_the_answer_is_kept_when_it_is_told(rag: Rag, talks: Conversations, tmp_path: Path) -> None:
    id_ = talks.create().id
    async for event in rag.stream(asked(id_, FIRST)):
        if isinstance(event, Answer):
            with closing(Conversations(tmp_path / "conversations.db")) as other:
                assert [turn.answer for turn in other.transcript(id_).turns] == [event]


async def test_an_unknown_conversation_is_told_before_anything_is_done(
    rag: Rag, model: FakeGenerator
) -> None:
    for id_ in ("", "nope", "0" * 32, "0" * 33, "../../etc", "\ud800", "'; DROP TABLE turns"):
        with pytest.raises(ConversationNotFound, match="no conversation") as caught:
            await rag.check(asked(id_, FIRST))
        assert "POST /v1/conversations" in caught.value.hint
        with pytest.raises(ConversationNotFound):
            await rag.answer(asked(id_, FIRST))
    assert model.sent == []


# --- the file -----------------------------------------------------------------------------------------------------


def test_what_was_added_is_there_for_the_next_process(tmp_path: Path) -> None:
    path = tmp_path / "conversations.db"
    with closing(Conversations(path)) as talks:
        id_ = talks.create().id
        talks.add(id_, TURN, ANSWER)
        talks.add(id_, replace(TURN, repack=None), replace(ANSWER, question="And?"))
    with closing(Conversations(path)) as talks:
        assert talks.turns(id_) == (TURN, replace(TURN, repack=None))
        transcript = talks.transcript(id_)
        assert [turn.answer.question for turn in transcript.turns] == ["Q?", "And?"]
        assert (transcript.conversation.turns, transcript.conversation.title) == (2, "Q?")
        assert transcript.conversation.created_at <= transcript.conversation.used_at


def test_no_file_is_made_before_it_is_needed(tmp_path: Path) -> None:
    with closing(Conversations(tmp_path / "conversations.db")):
        assert not (tmp_path / "conversations.db").exists()
    with closing(Conversations()) as talks:
        assert talks.turns(talks.create().id) == ()


def test_ids_cannot_be_guessed(talks: Conversations) -> None:
    ids = {talks.create().id for _ in range(50)}
    assert len(ids) == 50
    assert all(re.fullmatch("[0-9a-f]{32}", id_) for id_ in ids)


def test_a_deleted_conversation_is_gone_with_its_turns(talks: Conversations, tmp_path: Path) -> None:
    id_, other = talks.create().id, talks.create().id
    talks.add(id_, TURN, ANSWER)
    talks.add(other, TURN, ANSWER)
    talks.delete(id_)
    with pytest.raises(ConversationNotFound):
        talks.transcript(id_)
    with pytest.raises(ConversationNotFound):
        talks.add(id_, TURN, ANSWER)
    with pytest.raises(ConversationNotFound):
        talks.delete(id_)
    with closing(sqlite3.connect(tmp_path / "conversations.db")) as database:
        assert database.execute("SELECT conversation FROM turns").fetchall() == [(other,)]


def test_the_longest_unused_and_the_old_are_forgotten(
    talks: Conversations, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(kept, "KEPT", 3)
    one, two, empty = (talks.create().id for _ in range(3))
    talks.add(one, TURN, ANSWER)
    talks.add(two, TURN, ANSWER)
    new = talks.create().id
    assert {talk.id for talk in talks.newest()} == {one, two, new}, "an empty one goes first"
    assert empty not in {one, two, new}
    talks.add(new, TURN, ANSWER)
    talks.add(one, TURN, ANSWER)
    newest = talks.create().id
    assert {talk.id for talk in talks.newest()} == {newest, one, new}
    with closing(sqlite3.connect(tmp_path / "conversations.db")) as database, database:
        database.execute("UPDATE conversations SET used_at = '2020-01-01' WHERE id = ?", (one,))
    last = talks.create().id
    assert {talk.id for talk in talks.newest()} == {last, newest, new}


def test_a_conversation_has_only_so_many_turns(talks: Conversations, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "MOST_TURNS", 2)
    id_ = talks.create().id
    for _ in range(2):
        talks.add(id_, TURN, ANSWER)
    with pytest.raises(BadRequest, match="has had 2 turns"):
        talks.turns(id_)
    assert len(talks.transcript(id_).turns) == 2


def test_a_damaged_file_is_named_with_the_way_out(tmp_path: Path) -> None:
    path = tmp_path / "conversations.db"
    path.write_bytes(b"no database" * 1000)
    with closing(Conversations(path)) as talks:
        for _ in range(2):
            with pytest.raises(StoreUnavailable, match=re.escape(str(path))) as caught:
                talks.newest()
            assert "move it away" in caught.value.hint
        path.unlink()
        assert talks.newest() == []


def test_a_turn_of_another_version_is_told(talks: Conversations, tmp_path: Path) -> None:
    id_ = talks.create().id
    talks.add(id_, TURN, ANSWER)
    with closing(sqlite3.connect(tmp_path / "conversations.db")) as database, database:
        database.execute("UPDATE turns SET turn = '{}'")
    with pytest.raises(StoreUnavailable, match="another version"):
        talks.turns(id_)
