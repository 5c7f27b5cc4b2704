"""What the Python client says of replies is what the service says of them; it may leave fields out."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from typing import Any, get_args, get_origin, get_type_hints

import pytest

from api import collections, context_routes, replies
from ingest import jobs
from openbook.client import models
from rag import admission, answer, conversations, pinned

SERVICE: dict[type, type] = {
    models.Collection: collections.CollectionView,
    models.Collections: collections.CollectionList,
    models.Context: context_routes.ContextReply,
    models.ContextBlock: context_routes.ContextBlock,
    models.Conversation: conversations.Summary,
    models.Conversations: replies.ConversationList,
    models.Hits: replies.SearchReply,
    models.Job: jobs.Job,
    models.JobView: jobs.JobView,
    models.Jobs: jobs.JobList,
    models.Piece: answer.Piece,
    models.Pin: pinned.Pin,
    models.Reading: answer.Reading,
    models.Transcript: conversations.Transcript,
    models.Turn: conversations.Answered,
    models.Waiting: admission.Waiting,
}


def is_same(ours: Any, theirs: Any) -> bool:
    """Of types, in which a class of the client stands for the service's."""
    if ours == theirs or SERVICE.get(ours) is theirs:
        return True
    mine, others = get_args(ours), get_args(theirs)
    alike = get_origin(ours) is get_origin(theirs) and len(mine) == len(others) > 0
    return alike and all(map(is_same, mine, others))


@pytest.mark.parametrize("ours", SERVICE)
def test_fields_are_those_of_the_service(ours: type) -> None:
    mine, theirs = get_type_hints(ours), get_type_hints(SERVICE[ours])
    assert [name for name in mine if name not in theirs or not is_same(mine[name], theirs[name])] == []


def test_no_class_is_left_out() -> None:
    own = {
        kind
        for kind in vars(models).values()
        if is_dataclass(kind)
        and isinstance(kind, type)
        and kind.__module__ == models.__name__
        and fields(kind)
    }
    assert own == set(SERVICE)
