"""The HTML report in a real browser: phone and desktop, light and dark, with the keyboard, without any network."""

from __future__ import annotations

import time

import pytest
from tests.browser import chromium
from tests.reporters import samples

from abicheck.reporters import RenderOptions, render

SIZES = {"phone": (360, 800), "desktop": (1280, 900)}


@pytest.fixture(scope="module")
def browser():
    with chromium() as opened:
        yield opened


@pytest.fixture
def show(browser, tmp_path):
    """Open a report as a page: (page, what the console, the scripts and the network said)."""
    contexts = []

    def go(sample: str, size: str = "desktop", scheme: str = "light", script: bool = True):
        file = tmp_path / f"{sample}.html"
        text = render(samples.SAMPLES[sample](), "html", RenderOptions(target_flag="-n prod"))
        file.write_bytes(text.encode("utf-8", "backslashreplace"))
        width, height = SIZES[size]
        context = browser.new_context(
            viewport={"width": width, "height": height}, color_scheme=scheme, java_script_enabled=script
        )
        contexts.append(context)
        page, said = context.new_page(), []
        page.on("console", lambda m: said.append(("console", m.text)))
        page.on("pageerror", lambda e: said.append(("error", str(e))))
        page.on("request", lambda r: said.append(("request", r.url)) if not r.url.startswith("file:") else None)
        page.on("dialog", lambda d: said.append(("dialog", d.message)))
        page.goto(file.as_uri())
        return page, said

    yield go
    for context in contexts:
        context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("sample", ["passes", "ordered", "hostile", "incomplete", "suppressed", "error"])
def test_page_is_quiet_and_fits(show, sample, size, scheme):
    """No script error, no request, no dialog, nothing wider than the screen."""
    page, said = show(sample, size, scheme)
    assert said == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (ground == "rgb(255, 255, 255)") is (scheme == "light")


def test_graph_on_a_desktop_and_a_list_on_a_phone(show):
    page, _ = show("ordered", "desktop")
    assert page.locator("svg.graph").is_visible() and not page.locator("ul.only-narrow").is_visible()
    page, _ = show("ordered", "phone")
    assert not page.locator("svg.graph").is_visible() and page.locator("ul.only-narrow").is_visible()


def test_both_import_orders_are_drawn(show):
    page, _ = show("ordered", "phone")
    words = page.locator("svg.timeline").first.text_content()
    assert "fails here" in words and "works" in words and "import netbits" in words


def until(page, condition):
    """Wait for a condition. The page's own policy forbids what ``wait_for_function`` does (it evaluates text)."""
    deadline = time.monotonic() + 10
    while not page.evaluate(condition):
        assert time.monotonic() < deadline, condition
        page.wait_for_timeout(20)


def test_keyboard(show):
    """Tab begins at the skip link; a link of the matrix moves the focus to its finding; the button copies by Enter."""
    page, _ = show("ordered")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    assert page.evaluate("location.hash") == "#findings"
    page.locator("table.matrix a").first.focus()
    page.keyboard.press("Enter")
    until(page, "document.activeElement.id === 'f1'")
    button = page.locator("#f1 button.copy").first
    button.focus()
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline != "none"
    page.keyboard.press("Enter")
    until(page, "['copied', 'selected'].includes(document.querySelector('#f1 button.copy').textContent)")


def test_everything_can_be_read_without_its_script(show):
    page, _ = show("ordered", script=False)
    assert not page.locator("button.copy").first.is_visible()
    assert page.locator("#f1 .command code").first.text_content() == 'conda install -n prod "libstdcxx>=13.2"'
    assert page.locator("#f1 .search").is_visible()


def test_touch_targets_on_a_phone(show):
    """What is to be pressed is high enough for a thumb."""
    page, _ = show("ordered", "phone")
    heights = page.evaluate("[...document.querySelectorAll('button, summary')].map(e => e.offsetHeight)")
    assert heights and min(heights) >= 24


def test_embedded_report_reads_back(show):
    import json

    page, _ = show("hostile")
    document = json.loads(page.locator("#abicheck-report").text_content())
    assert document["verdict"] == "fail"
