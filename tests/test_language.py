from __future__ import annotations

import re
from pathlib import Path

import pytest

from rag.language import DEFAULT, NAMES, known, language_of, weights

TEXTS = {
    "en": "The tide gauge in the harbour measures the level of the water, and its battery lasts four hundred days. "
    * 3,
    "de": "Der Pegel im Hafen misst den Stand des Wassers, und seine Batterie hält vierhundert Tage lang. "
    * 3,
    "fr": "Le marégraphe du port mesure le niveau de l'eau, et sa pile dure quatre cents jours au moins. "
    * 3,
    "ru": "Мареограф в гавани измеряет уровень воды, и его батарея работает четыреста дней подряд. " * 3,
    "no": "Tidvassmålaren i hamna måler vasstanden, og batteriet varer i fire hundre dagar. "
    "Kvar vår skiftar vaktmeisteren pakningane før stormane kjem. " * 2,
    "zh": "港口的验潮仪测量水位，其电池可以使用四百天。维护人员每年春天更换一次密封圈。" * 8,
}
SMAPS = Path("/proc/self/smaps")
CODE = (
    """
def run(x, y):
    return {k: v for k, v in zip(x, y) if k != v}
"""
    * 8
)


@pytest.mark.parametrize("language", TEXTS)
def test_the_language_of_prose(language: str) -> None:
    assert language_of(TEXTS[language]) == language


@pytest.mark.parametrize("text", ["", "Der Pegel im Hafen.", "1 2 3\n" * 3])
def test_a_short_text_is_no_proof(text: str) -> None:
    assert language_of(text) == ""


@pytest.mark.parametrize("text", [CODE, "| 12.5 | 13.1 | 14 |\n" * 30], ids=["code", "figures"])
def test_code_and_figures_are_in_none(text: str) -> None:
    assert language_of(text) == ""


def test_what_a_text_touched_of_the_model_does_not_stay_in_memory() -> None:
    assert language_of(TEXTS["en"]) == "en"
    mappings = re.findall(r"\(deleted\)\nSize: +(\d+) kB.*?\nRss: +(\d+) kB", SMAPS.read_text(), re.S)
    assert sorted(int(rss) for size, rss in mappings if int(size) > 20_000) == [0, 0]


def test_what_is_not_known_is_indexed_by_the_default() -> None:
    assert weights("") is weights("xx") is weights(DEFAULT)


def test_words_meet_by_the_stems_of_their_language() -> None:
    def shared(language: str, text: str, query: str) -> int:
        encoder = weights(language)
        return len(set(encoder.embed_document(text).indices) & set(encoder.embed_query(query).indices))

    assert shared("en", "The gauges were measuring.", "gauge measured") == 2
    assert shared("de", "Die Pegel wurden gemessen, die Batterien gewechselt.", "Batterie") == 1
    assert shared("en", "Die Batterien wurden gewechselt.", "Batterie") == 0
    assert shared("de", "Der Pegel und die Batterie.", "der und die") == 0, "stop words"
    assert shared("zh", TEXTS["zh"], "电池 水位") == 2


def test_one_encoder_for_each_language_that_needs_one() -> None:
    assert known([]) == [DEFAULT]
    assert known(["", "xx"]) == [DEFAULT]
    assert known(["de", "", "fr", "de"]) == ["de", "en", "fr"]
    assert known(["de"]) == ["de"]


@pytest.mark.parametrize("language", NAMES)
def test_every_language_that_is_named_has_an_encoder(language: str) -> None:
    assert weights(language).embed_document("words слова 水位 λέξεις").indices
