"""The page in a real browser: it sorts, filters and turns pages, fast, and axe finds no fault."""

import os
import shutil
import time
from pathlib import Path

import pytest

from tests.report.made_page import page

pytestmark = pytest.mark.cluster

_MANY = 100_000
#: Room for a loaded machine; benchmarks/report.py measures.
_OPEN_S, _FILTER_S = 30.0, 5.0


@pytest.fixture(scope="module")
def browser():
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("no browser: neither chromium nor google-chrome is on the path")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def opened(browser, tmp_path):
    """Opens a page from disk; fails at the end if the browser had anything to complain about."""
    faults = []
    contexts = []

    def open_page(text, width=1280, scheme="light"):
        file = tmp_path / "report.html"
        file.write_text(text, encoding="utf-8")
        context = browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme=scheme, bypass_csp=False
        )
        contexts.append(context)
        view = context.new_page()
        view.on("console", lambda message: faults.append(message.text))
        view.on("pageerror", lambda error: faults.append(str(error)))
        view.on("request", lambda request: requests.append(request.url))
        view.goto(file.as_uri())
        return view

    requests: list[str] = []
    yield open_page
    for context in contexts:
        context.close()
    assert faults == []
    assert all(url.startswith(("file:", "data:")) for url in requests)


def column(view, number):
    return view.locator(f"#rows tr td:nth-child({number})").all_inner_texts()


def test_it_sorts_filters_and_turns_pages(opened):
    view = opened(page(120))
    assert view.locator("#count").inner_text() == "120 videos"
    assert column(view, 2) == sorted(column(view, 2), reverse=True)
    view.get_by_role("button", name="Score").click()
    assert column(view, 2)[0] == "0.058"
    assert view.locator("th:has(button[data-key=score])").get_attribute("aria-sort") == "ascending"
    view.get_by_role("button", name="Last", exact=True).click()
    assert column(view, 2)[-1] == ""
    view.get_by_role("button", name="Video", exact=True).click()
    names = view.locator("#rows td:first-child > :first-child").all_inner_texts()
    assert [name.lower() for name in names] == sorted(name.lower() for name in names)
    view.locator("#status").select_option("corrupt")
    assert view.locator("#count").inner_text() == "6 of 120 videos"
    view.locator("#status").select_option("")
    view.locator("#least").fill("0.9")
    assert view.locator("#count").inner_text() == "13 of 120 videos"
    view.locator("#least").fill("")
    view.locator("#search").fill(str(2**62 + 7))
    assert view.locator("#count").inner_text() == "1 of 120 videos"
    view.locator("#search").fill("")
    view.get_by_role("button", name="Next", exact=True).click()
    assert view.locator("#page").inner_text() == "page 2 of 3"
    view.locator("#size").select_option("200")
    assert view.locator("#page").inner_text() == "page 1 of 1"


def test_a_hostile_name_is_shown_and_not_run(opened):
    view = opened(page(5))
    assert "</script><script>alert(1)" in view.locator("#rows").inner_text()


def test_the_keyboard_reaches_the_table_and_a_link_leads_to_its_card(opened):
    view = opened(page(5))
    view.keyboard.press("Tab")
    assert view.evaluate("document.activeElement.className") == "skip"
    view.locator("#rows a").first.press("Enter")
    assert view.url.endswith(f"#video-{2**62}")
    view.locator("#heat").press("Space")
    assert view.locator(".heat").first.is_hidden()


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_sticks_out_and_axe_finds_no_serious_fault(opened, width, scheme):
    view = opened(page(60), width, scheme)
    assert view.evaluate("document.documentElement.scrollWidth") <= width
    axe = os.environ.get("MOVER_RAY_AXE")
    if not axe:
        pytest.skip("MOVER_RAY_AXE does not name axe.min.js of the npm package axe-core")
    view.evaluate(Path(axe).read_text(encoding="utf-8"))
    found = view.evaluate("axe.run(document)")
    serious = [one for one in found["violations"] if one["impact"] in ("serious", "critical")]
    assert [(one["id"], [node["html"] for node in one["nodes"]]) for one in serious] == []


def test_a_hundred_thousand_rows_stay_usable(opened):
    text = page(_MANY)
    started = time.monotonic()
    view = opened(text)
    view.locator("#rows tr").first.wait_for()
    assert time.monotonic() - started < _OPEN_S
    assert view.locator("#rows tr").count() == 50
    started = time.monotonic()
    view.locator("#search").fill("clip_12")
    assert view.locator("#count").inner_text().endswith(" of 100,000 videos")
    assert time.monotonic() - started < _FILTER_S
