"""A run of prefill as tables, Markdown and a page: from saved scores alone."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from evals.prefill import frontier, page, tables
from evals.prefill.chart import HEIGHT, LEFT, WIDTH, Chart, Line, ticks
from evals.report import Outcome

SERVER = {
    "64/cold/0": {
        "pp64: t/s": (64.0, 0.5),
        "pp64: e2e_ttft (ms)": (510.0, 1.0),
        "pp64: ttfr (ms)": (500.0, 1.0),
    },
    "64/cold/1": {"pp64: t/s": (64.0, 1.0), "pp64: e2e_ttft (ms)": (1010.0, 1.0)},
    "64/warm/0": {"pp64 again: e2e_ttft (ms)": (20.0, 1.0)},
}
OURS = {
    "same/1": {
        "same: cached share": (90.0, 100.0),
        "same: TTFT s": (0.5, 1.0),
        "same: evidence": (1.0, 1.0),
        "same: error of the predicted TTFT": (0.25, 1.0),
        "same: cached tokens foretold": (1.0, 1.0),
    },
    "same/3": {"same: cached share": (0.0, 200.0), "same: TTFT s": (1.5, 1.0), "same: evidence": (0.0, 1.0)},
    "overhead/x": {"overhead: ms above the server": (7.0, 1.0)},
}
OUTCOME = Outcome(
    "prefill",
    {"model server": SERVER, "openbook": OURS},
    {"model": "<m>", "settings": {"lengths": [64], "workloads": ["same", "random"]}},
    0,
    ["A note."],
)


def test_tables_hold_what_was_measured_and_no_more() -> None:
    server, workloads, predictions, waits = tables.grids(OUTCOME)
    assert server.header == ("model", "test", "t/s", "ttfr (ms)", "est_ppt (ms)", "e2e_ttft (ms)")
    assert server.rows[0] == ("<m>", "pp64", "96.00 ± 32.00", "500.00 ± 0.00", "", "760.00 ± 250.00")
    assert [row[1] for row in server.rows] == ["pp64", "pp32 @ d32", "pp64 again"]
    (same,) = workloads.rows
    assert same[:4] == ("same", "openbook", "2", "0.300")  # of all tokens, not the mean of two shares
    assert same[5:] == ("1", "1.45", "0.500")
    assert predictions.rows == [("same", "1", "0.25", "0.25", "1.000")]
    assert waits.rows == [("overhead: ms above the server", "1", "7", "7", "7")]
    bare = replace(OUTCOME, scores={"model server": SERVER})
    assert tables.grids(bare) == [server]


def test_markdown_has_a_table_for_each() -> None:
    text = page.markdown(OUTCOME, "A run", tables.grids(OUTCOME))
    assert text.startswith("# A run\n\n## The model server alone\n\n| model | test | t/s |")
    assert "| :--- | :--- | ---: |" in text
    assert "A note." in text
    assert "- settings: lengths 64; workloads same, random" in text


def test_the_page_needs_no_other_file_and_escapes_names() -> None:
    made = page.html(OUTCOME, "A run", tables.grids(OUTCOME), tables.charts(OUTCOME))
    HTMLParser().feed(made)
    assert "&lt;m&gt;" in made
    assert "<m>" not in made
    assert not re.search(r"\b(src|href)=|url\(|@import|<script", made)
    assert made.count("<svg") == 2
    assert made.count("<polyline") == 3  # TTFT cold and warm, tokens/s cold
    assert ">none cached</text>" in made
    assert '<td class="share" style="--share: 0.300">0.300</td>' in made


@pytest.mark.parametrize(
    ("most", "expected"),
    [(7.3, [0, 2, 4, 6, 8]), (1.0, [0, 0.2, 0.4, 0.6, 0.8, 1.0]), (4096, [0, 1000, 2000, 3000, 4000, 5000])],
)
def test_ticks_are_round_and_reach_beyond_the_most(most: float, expected: list[float]) -> None:
    assert ticks(most) == pytest.approx(expected)


def test_a_line_is_drawn_within_its_axes() -> None:
    chart = Chart("t", "x", "y", [Line("a", [(0, 0), (10, 100)], ["first", "last"])])
    (drawn,) = chart.drawn
    first, last = drawn.marks
    assert (first.x, first.text) == (LEFT, "first")
    assert last.x > first.x
    assert last.y < first.y < HEIGHT
    assert last.x < WIDTH
    assert list(Chart("t", "x", "y", []).x_ticks)  # nothing measured: axes alone


def test_a_frontier_is_a_row_and_a_point_for_each_budget() -> None:
    scores = {
        "q": {
            "cached share @ 500": (10.0, 100.0),
            "TTFT s @ 500": (0.5, 1.0),
            "evidence @ 500": (1.0, 1.0),
            "tokens @ 500": (480.0, 1.0),
            "TTFT s @ 1000": (1.0, 1.0),
            "F1 @ 1000": (0.25, 1.0),
        }
    }
    made = Outcome("frontier", {"openbook": scores}, {"settings": {"budgets": [500, 1000]}}, 0)
    assert frontier.grid(made).rows == [
        ("500", "1", "480", "0.5", "", "0.100", "1.000", "", ""),
        ("1,000", "1", "", "1", "", "", "", "", "0.250"),
    ]
    lines = {line.name: (list(line.points), list(line.labels)) for line in frontier.plot(made).lines}
    assert lines["evidence"] == ([(0.5, 1.0)], ["500"])
    assert lines["F1"] == ([(1.0, 0.25)], [])
