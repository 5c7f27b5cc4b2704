"""The arguments of the tools, with their bounds and what an agent is told of them."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from api.code import LEAST_TOKENS, LONGEST_NAME, MOST_RESULTS, MOST_TOKENS
from api.schemas import Text

Collection = Annotated[
    Text, Field(description="The collection; the tool collections lists them.", max_length=200)
]
Query = Annotated[
    Text, Field(description="Words to look for: a question, names, an error.", min_length=1, max_length=8000)
]
AskedText = Annotated[
    Text, Field(description="The question, complete in itself.", min_length=1, max_length=8000)
]
Paths = Annotated[
    tuple[Text, ...],
    Field(
        description="Only files whose path or its end matches one of these globs: src/*.py.", max_length=50
    ),
]
Limit = Annotated[int, Field(description="Most results.", ge=1, le=MOST_RESULTS)]
Offset = Annotated[int, Field(description="Results to leave out: for the next page.", ge=0, le=100_000)]
Tokens = Annotated[
    int, Field(description="Most tokens of text in the result.", ge=LEAST_TOKENS, le=MOST_TOKENS)
]
Document = Annotated[
    Text,
    Field(description="Path, end of a path (app.py, flask/app.py), URI or id.", max_length=4096),
]
Lines = Annotated[str, Field(description="10-40, 10 or 10-; empty for all.", max_length=24)]
Symbol = Annotated[Text, Field(description="run, Flask.run or flask.app.Flask.run.", max_length=LONGEST_NAME)]
Qualified = Annotated[
    Text, Field(description="Which of several symbols of that name, in full.", max_length=LONGEST_NAME)
]
Focus = Annotated[
    tuple[Document, ...],
    Field(description="Files that matter most now: the map grows around them.", max_length=50),
]
Folders = Annotated[
    tuple[Text, ...],
    Field(description="Absolute paths of files and folders to read.", min_length=1, max_length=100),
]
Ref = Annotated[
    Text,
    Field(
        description="Of repositories: branch, tag or commit; empty for the files on the disk.", max_length=255
    ),
]
Prune = Annotated[bool, Field(description="Remove documents whose files are gone from these folders.")]
Wait = Annotated[
    float, Field(description="Seconds to wait for the end before telling how far it is.", ge=0, le=300)
]
Model = Annotated[
    Text | None, Field(description="Who is to answer, where openbook has several models.", max_length=256)
]
MostContext = Annotated[int | None, Field(description="Most tokens of documents to read.", ge=1)]
MostAnswer = Annotated[int | None, Field(description="Longest answer, in tokens.", ge=1, le=32768)]
