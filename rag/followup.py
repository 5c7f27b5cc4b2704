"""What the index is asked for a follow-up, which may make sense only after what was said before. Pure.

By rule: a question that leans on the conversation ("and in 2023?", "what does it cost?", "why?") is searched for with
what it leans on in front: the question before it, and the names and numbers of the answer to that. English; of
other languages only questions of a word or two are known to lean on something.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from rag.conversation import Turn, without_marks
from rag.text import cased_words, sentences

SHORT = 2  # words; so few say little alone
BACK = 3  # turns to look back for a question that stands alone
NAMES = 8  # of an answer
FRONT = 400  # characters of what stands in front: an embedding model reads a few hundred words

_OPENING = re.compile(r"\W*(?:and|but|or|so|also|then|(?:how|what) about|what if|what else|why not)\b", re.I)
_LEANING = re.compile(
    r"\b(?:it|its|they|them|their|theirs|he|him|his|she|her|hers|this|these|those|ones?|another|other|others|"
    r"same|former|latter|previous|above|else|more|(?<!are )(?<!is )(?<!was )(?<!were )there(?=\W*$)|"
    r"that(?=\W*$|\s+(?:one|is|was|does|did|has|had|would|will|can|year|case|time|day|page|document)\b))\b",
    re.I,
)
_UNSPACED = re.compile("[\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff]")  # two or so make a word
_COMMON = frozenset(
    "a an the of in on at by for from to with and or but is are was were be been do does did has have had can could "
    "will would should may might must not no yes what which who whom whose when where why how much many long far "
    "often i we you me us about say says said tell give show exactly again please".split()
)


def standalone(question: str, turns: Sequence[Turn]) -> str:
    """The question alone where it stands alone, else with what it leans on in front."""
    if not turns or not leans(question):
        return question
    front = " ".join(_front(turns[-BACK:]))
    return f"{_last_words(front)} {question}"


def leans(question: str) -> bool:
    """Whether a question seems to mean something that was said before it."""
    said = cased_words(question)
    size = len(said) + len(_UNSPACED.findall(question)) // 2
    if size <= SHORT or all(word.lower() in _COMMON or word[0].isdigit() for word in said):
        return True
    if _OPENING.match(question):
        return True
    leaning = _LEANING.search(question)
    # "Does the Heron H2 keep its data?" says itself whose.
    return leaning is not None and not any(_names(question[: leaning.start()]))


def _front(turns: Sequence[Turn]) -> Iterator[str]:
    """Questions back to one that stands alone, and the names and numbers of the last answer."""
    first = next((at for at in reversed(range(len(turns))) if not leans(turns[at].question)), 0)
    asked = [turn.question for turn in turns[first:]]
    yield from asked
    known = {word.lower() for question in asked for word in cased_words(question)}
    names = [name for name in _names(without_marks(turns[-1].text)) if name.lower() not in known]
    yield from list(dict.fromkeys(names))[:NAMES]


def _names(text: str) -> Iterator[str]:
    """Words with a capital that do not begin a sentence, and what holds a digit."""
    for span in sentences(text):
        for at, word in enumerate(cased_words(text[span.start : span.end])):
            is_name = at > 0 and word[0].isupper() and word.lower() not in _COMMON and word != "I"
            if is_name or any(character.isdigit() for character in word):
                yield word


def _last_words(text: str) -> str:
    if len(text) <= FRONT:
        return text
    cut = text[-FRONT:]
    return cut[cut.find(" ") + 1 :]
