from __future__ import annotations

import pytest

from rag.contradiction import asks, contradicts, is_passive
from rag.terms import terms


def differs(claim: str, text: str) -> bool:
    said = terms(claim)
    required = frozenset(term.stem for term in said if term.is_number or term.word[0].isupper())
    return contradicts(said, terms(text), required, is_passive(claim) != is_passive(text))


@pytest.mark.parametrize(
    ("claim", "text"),
    [
        ("The pump may be opened", "The pump may not be opened"),
        ("The pump may not be opened", "The pump may be opened"),
        ("Sales increased by 5%", "Sales decreased by 5%"),
        ("Sales rose by 5%", "Sales of 5% were reported"),  # nothing rises there
        ("Costs rose and sales fell", "Costs fell and sales rose"),
        ("The harbour is south of the lock", "The harbour is north of the lock"),
        ("The valve is effective", "The valve is ineffective"),
        ("The protein deactivates the pathway", "Activation of the pathway by the protein"),
        ("The mill is in Skerrow and the lock in Marrow", "The mill is in Marrow and the lock in Skerrow"),
        ("Pia has 5 boats and Jon has 7 boats", "Pia has 7 boats and Jon has 5 boats"),
        ("The pump costs 5 euros", "The pump costs 5 dollars"),
        (
            "The drug was associated with an increased risk",
            "The drug was not associated with an increased risk",
        ),
    ],
)
def test_another_statement_in_the_same_words(claim: str, text: str) -> None:
    assert differs(claim, text)


@pytest.mark.parametrize(
    ("claim", "text"),
    [
        ("The pump may not be opened", "The pump must never be opened"),
        ("Sales rose by 5%", "Higher sales: 5%"),
        ("Costs fell and sales rose", "Sales rose while costs fell"),
        ("The harbour is south of the lock", "South of the lock, and north of the pier, is the harbour"),
        ("Skerrow was built by Marrow", "Marrow built Skerrow"),
        ("The pump lasts 400 days", "The pump lasts 400 days and is not heavy"),
        ("Jon has 7 boats, Pia 5 boats", "Pia has 5 boats and Jon has 7 boats"),
    ],
)
def test_the_same_statement_in_other_words(claim: str, text: str) -> None:
    assert not differs(claim, text)


@pytest.mark.parametrize("text", ["Whether it lasts is unknown.", "How long does it last?", "它能用多久？"])
def test_questions(text: str) -> None:
    assert asks(text)
    assert not asks("It lasts 400 days.")
