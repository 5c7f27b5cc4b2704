"""The page in a real browser, from an upload to the words on the screen that an answer was made from."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Locator, Page, expect

from browser import Talker, browser, opened, talking
from conftest import ROOT
from live import Live

pytestmark = pytest.mark.process

LINES = [f"Line {number} speaks of pumps and of valve {number}." for number in range(1, 120)]
LINES[79] = "The battery of the gauge lasts 400 days."
GAUGE = "# Gauge\n\n" + "\n\n".join(LINES) + "\n"
CODE = "def surge(level: float) -> float:\n    return level * 2  # the surge factor is two\n"

REPLIES: dict[str, str | None] = {
    "battery": "The battery of the gauge lasts 400 days [1]. The moon is lit by lamps that nobody saw.",
    "heron": "The Heron H2 is a radar tide gauge for harbours, piers and lock gates [1].",
    "markdown": (
        "The battery of the gauge lasts **400 days** [1].\n\n- `rows[1]` stays\n- second\n\n"
        "| a | b |\n|---|---|\n| 1 | 2 |\n\n<img src=x onerror=\"document.title='broken'\"> [x](javascript:alert(1))"
    ),
    "endless": "…",
    "away": None,
}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("files")
    (folder / "gauge.md").write_text(GAUGE)
    (folder / "surge.py").write_text(CODE)
    (folder / "empty.txt").write_text("")
    shutil.copy(ROOT / "samples" / "heron-h2-manual.pdf", folder / "manual.pdf")
    return folder


@pytest.fixture(scope="module")
def talker() -> Talker:
    return Talker(REPLIES)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, talker: Talker, files: Path) -> Iterator[Live]:
    with talking(tmp_path_factory.mktemp("service").resolve(), talker) as service:
        for collection, name in (("team", "gauge.md"), ("team", "surge.py"), ("manuals", "manual.pdf")):
            ingest(service, collection, files / name)
        yield service


def ingest(service: Live, collection: str, file: Path) -> None:
    body = {"paths": [str(file)], "collection": collection}
    bearer = {"Authorization": f"Bearer {service.token}"}
    reply = httpx.post(f"{service.url}/v1/ingest", json=body, headers=bearer, timeout=60)
    assert "event: report" in reply.text


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser() as launched:
        yield launched


@pytest.fixture
def page(chromium: Browser, service: Live) -> Iterator[Page]:
    with opened(chromium, f"{service.url}/#key={service.token}") as page:
        choose(page, "team")
        yield page


def choose(page: Page, *names: str) -> None:
    page.locator("#collections > summary").click()
    for box in page.locator("#collections-list input").all():
        if box.get_attribute("value") in names:
            box.check()
    for box in page.locator("#collections-list input").all():
        if box.get_attribute("value") not in names:
            box.uncheck()
    page.keyboard.press("Escape")


def ask(page: Page, question: str) -> Locator:
    """The turn, once it has its answer."""
    page.fill("#question", question)
    page.keyboard.press("Enter")
    turn = page.locator(".turn").last
    turn.locator(".receipt").wait_for()
    return turn


def on_screen(page: Page, locator: Locator) -> bool:
    locator.wait_for()
    box, size = locator.bounding_box(), page.viewport_size
    assert box
    assert size
    within = box["y"] >= 0 and box["y"] + box["height"] <= size["height"]
    return within and box["x"] >= 0 and box["x"] + box["width"] <= size["width"]


def sideways(page: Page) -> int:
    """Pixels by which the page can be scrolled to the side."""
    return int(page.evaluate("document.documentElement.scrollWidth - innerWidth"))


# --- from an upload to the source -------------------------------------------------------------------------------------


def test_what_is_uploaded_is_asked_and_its_words_are_shown(
    chromium: Browser, service: Live, files: Path, talker: Talker
) -> None:
    with opened(chromium, f"{service.url}/#key={service.token}") as page:
        assert "key=" not in page.url
        page.click("text=Documents")
        page.select_option("#documents-collection", "")
        page.fill("#new-collection", "fresh")
        page.set_input_files("#files", [files / "gauge.md", files / "empty.txt"])
        expect(page.locator(".batch h2")).to_contain_text("1 file read into fresh, 1 not")
        report = page.locator("table.report")
        expect(report.locator("tr.added")).to_contain_text("gauge.md")
        expect(report.locator("tr.failed")).to_contain_text("empty.txt")
        expect(page.locator("#documents-count")).to_contain_text("1 document")

        page.click("text=New conversation")
        choose(page, "fresh")
        talker.go_on.clear()
        page.fill("#question", "How long does the battery last?")
        page.keyboard.press("Enter")
        expect(page.locator(".answer.writing")).to_have_text("The battery")  # as it comes
        talker.go_on.set()
        turn = page.locator(".turn")
        expect(turn.locator(".unsupported").first).to_have_text("The moon is lit by lamps that nobody saw.")
        chip = turn.locator(".answer .chip").first
        expect(chip).to_have_attribute("aria-label", "Source 1: gauge.md, line 161, exact")
        chip.click()
        marked = page.locator(".source mark")
        expect(marked).to_have_text("The battery of the gauge lasts 400 days.")
        assert on_screen(page, marked)
        expect(page.locator(".row:has(mark) .line-number")).to_have_text(
            str(GAUGE.split("\n").index(LINES[79]) + 1)
        )


def test_a_pdf_is_shown_as_its_page_with_the_words_marked(page: Page) -> None:
    choose(page, "manuals", "team")
    turn = ask(page, "What is the Heron H2?")
    turn.locator(".cited button", has_text="manual.pdf").first.click()
    image = page.locator(".page-image")
    image.wait_for()
    assert image.evaluate("each => each.naturalWidth") > 1000
    assert on_screen(page, page.locator(".spot"))
    page.click(".switch >> text=Text")
    assert on_screen(page, page.locator(".source mark").first)
    page.keyboard.press("Escape")
    assert page.locator("#source").is_hidden()


def test_a_receipt_is_a_picture_with_its_figures(page: Page) -> None:
    page.locator("#target > summary").click()
    page.locator("#target-range").fill("3")
    expect(page.locator("#target-plan")).to_contain_text("First word predicted after")
    few = page.locator("#target-plan").inner_text()
    page.locator("#target-range").fill("1")
    expect(page.locator("#target-plan")).not_to_have_text(few)
    expect(page.locator("#target-chosen")).to_have_text("Within 0.5 s")
    page.keyboard.press("Escape")
    turn = ask(page, "How long does the battery last?")
    turn.locator(".receipt > summary").click()
    told = turn.locator("[role=img]")
    labels = [each.get_attribute("aria-label") or "" for each in told.all()]
    assert labels[0].startswith("Tokens: 400 from cache, 800 computed, ")
    assert "target 0.5 s" in labels[1]
    assert "predicted" in labels[1]
    assert "prefill" in labels[2]
    expect(turn.locator(".receipt")).to_contain_text("not affordable within")


# --- what may go otherwise --------------------------------------------------------------------------------------------


def test_what_is_not_found_says_what_came_nearest(page: Page) -> None:
    turn = ask(page, "How high is the tower?")
    expect(turn.locator(".not-found")).to_have_text("The documents do not say.")
    turn.locator(".cited button").first.click()
    assert on_screen(page, page.locator(".source mark").first)


def test_an_answer_is_stopped_and_the_model_with_it(page: Page, talker: Talker) -> None:
    talker.gone.clear()
    page.fill("#question", "Say something endless")
    page.keyboard.press("Enter")
    expect(page.locator(".answer")).to_contain_text("and so on and so on")
    page.click("#send")
    expect(page.locator(".turn .note")).to_contain_text("Stopped")
    assert talker.gone.wait(10)
    expect(page.locator("#send")).to_contain_text("Ask")


def test_an_error_is_shown_with_its_hint(page: Page) -> None:
    page.fill("#question", "Is the model away?")
    page.keyboard.press("Enter")
    note = page.locator(".turn .problem")
    expect(note).to_contain_text("The model server is down.")
    expect(note).to_contain_text("Start it again.")
    expect(note.locator("button")).to_have_text("Ask again")


def test_what_a_model_writes_is_text_and_nothing_else(page: Page) -> None:
    turn = ask(page, "Show me markdown")
    answer = turn.locator(".answer")
    assert answer.locator("strong").first.inner_text() == "400 days"
    expect(answer.locator("li").first).to_have_text("rows[1] stays")
    expect(answer.locator("td")).to_have_text(["1", "2"])
    expect(answer).to_contain_text("<img src=x")
    assert answer.locator("img, a").count() == 0
    assert page.title() == "openbook"


def test_a_key_is_asked_for_where_one_is_needed(chromium: Browser, service: Live) -> None:
    with opened(chromium, service.url) as page:
        expect(page.locator("#history")).to_contain_text("Show with a key")
        page.click("text=Jobs")
        expect(page.locator("#key-dialog")).to_be_visible()
        page.fill("#key-input", "wrong")
        page.keyboard.press("Enter")
        expect(page.locator("#key-why")).to_contain_text("does not do")
        page.fill("#key-input", service.token)
        page.click("text=Use key")
        expect(page.locator("#jobs-list li, #jobs-list .empty").first).to_be_visible()
        assert page.evaluate("sessionStorage.getItem('openbook.key')") == service.token


# --- documents, jobs, conversations -----------------------------------------------------------------------------------


def test_documents_are_filtered_opened_and_removed(page: Page, service: Live, files: Path) -> None:
    ingest(service, "short-lived", files / "gauge.md")
    page.reload()
    page.click("text=Documents")
    page.select_option("#documents-collection", "team")
    page.fill("#documents-filter", "surge")
    expect(page.locator(".documents li")).to_have_count(1)
    page.click(".document")
    expect(page.locator(".source .lines.code .line").first).to_have_text(CODE.splitlines()[0])
    page.keyboard.press("Escape")
    page.fill("#documents-filter", "")
    page.select_option("#documents-collection", "short-lived")
    page.click("[aria-label='Remove gauge.md']")
    page.click("#confirm >> text=Cancel")
    expect(page.locator(".documents li")).to_have_count(1)
    page.click("[aria-label='Remove gauge.md']")
    page.click("#confirm-yes")
    expect(page.locator(".documents li")).to_have_count(0)


def test_jobs_are_shown_and_done_again(page: Page, files: Path) -> None:
    page.click("text=Documents")
    page.select_option("#documents-collection", "team")
    page.set_input_files("#files", files / "surge.py")
    expect(page.locator(".batch h2")).to_contain_text("1 file read into team")
    page.click("text=Jobs")
    job = page.locator(".job").first
    expect(job).to_contain_text("surge.py")
    job.locator("text=Files").click()
    expect(job.locator("table.report")).to_contain_text("surge.py")
    job.locator("text=Retry").click()
    expect(page.locator(".job").first).to_contain_text("unchanged")


def test_conversations_are_opened_again_and_deleted(page: Page) -> None:
    question = "How long does the battery last, once more?"
    ask(page, question)
    link = page.locator("#history a", has_text=question)
    expect(link).to_have_attribute("aria-current", "page")
    page.click("text=New conversation")
    expect(page.locator(".turn")).to_have_count(0)
    link.click()
    expect(page.locator(".turn .answer .chip").first).to_be_visible()
    link.locator("xpath=..").locator("button").click()
    page.click("#confirm-yes")
    expect(link).to_have_count(0)
    expect(page.locator("#welcome")).to_be_visible()


# --- for everybody ----------------------------------------------------------------------------------------------------


def test_a_keyboard_suffices(page: Page) -> None:
    page.reload()
    page.keyboard.press("Tab")
    expect(page.locator("#skip")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#question")).to_be_focused()
    page.keyboard.type("How long does the battery last?")
    page.keyboard.press("Enter")
    page.locator(".turn .receipt").wait_for()
    for _ in range(40):
        page.keyboard.press("Shift+Tab")
        if page.evaluate("document.activeElement.matches('.answer .chip')"):
            break
    chip = page.locator(".answer .chip").first
    expect(chip).to_be_focused()
    page.keyboard.press("Enter")
    assert on_screen(page, page.locator(".source mark"))
    expect(page.locator("#source-title")).to_be_focused()
    page.keyboard.press("Escape")
    expect(chip).to_be_focused()


def test_light_and_dark_follow_the_system_and_the_switch(chromium: Browser, service: Live) -> None:
    ground = "getComputedStyle(document.body).backgroundColor"
    with opened(chromium, service.url, dark=True) as page:
        dark = page.evaluate(ground)
        page.click("#theme")
        light = page.evaluate(ground)
        assert brightness(dark) < 40 < 200 < brightness(light)
        page.reload()
        assert page.evaluate(ground) == light  # it is remembered
        page.click("#theme")
        assert page.evaluate(ground) == dark


def brightness(colour: str) -> float:
    parts = [float(each) for each in colour.removeprefix("rgb(").removesuffix(")").split(",")]
    return sum(parts) / 3


def test_a_phone_shows_all_without_scrolling_sideways(chromium: Browser, service: Live) -> None:
    with opened(chromium, f"{service.url}/#key={service.token}", width=390, height=844) as page:
        choose(page, "team", "manuals")
        turn = ask(page, "How long does the battery last?")
        assert sideways(page) == 0
        turn.locator(".receipt > summary").click()
        assert sideways(page) == 0
        turn.locator(".answer .chip").first.click()
        assert on_screen(page, page.locator(".source mark"))
        assert sideways(page) == 0
        page.keyboard.press("Escape")
        for view in ("Documents", "Jobs"):
            page.click("#menu")
            page.click(f".places >> text={view}")
            expect(page.get_by_role("heading", name=view, exact=True)).to_be_visible()
            assert sideways(page) == 0


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [1280, 390])
def test_axe_finds_nothing_serious(chromium: Browser, service: Live, width: int, dark: bool) -> None:
    with opened(chromium, f"{service.url}/#key={service.token}", width=width, dark=dark) as page:
        checked(page)
        choose(page, "team")
        turn = ask(page, "How long does the battery last?")
        turn.locator(".receipt > summary").click()
        checked(page)
        turn.locator(".answer .chip").first.click()
        page.locator(".source mark").wait_for()
        checked(page)
        page.keyboard.press("Escape")
        page.locator("#target > summary").click()
        checked(page)
        for view in ("documents", "jobs"):
            page.evaluate(f"location.hash = '#/{view}'")
            page.locator(f"#view-{view}").wait_for()
            page.wait_for_load_state("networkidle")
            checked(page)
        if width > 760:
            page.click("#key-button")
            checked(page)


def checked(page: Page) -> None:
    page.evaluate(
        "Promise.all(document.getAnimations().filter(a => a.effect.getTiming().iterations === 1).map(a => a.finished))"
    )
    found: list[dict[str, Any]] = Axe().run(page).response["violations"]
    serious = [
        (each["id"], [node["html"][:200] for node in each["nodes"]])
        for each in found
        if each["impact"] in ("serious", "critical")
    ]
    assert serious == []
