"""The page in headless Chromium: no message, no request, every figure has a size, nothing overflows, keys suffice."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from snnas.toolchain.html import write_comparison, write_html
from tests.browser import BROWSER, Browser
from tests.toolchain.html.test_html_page import DRAWN, FIGURES, make_run

pytestmark = pytest.mark.skipif(not (BROWSER and shutil.which("bash")), reason="no Chromium (or no bash) on the PATH")


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    found = Browser(tmp_path_factory.mktemp("chromium"))
    yield found
    found.close()


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_html(make_run(tmp_path_factory.mktemp("runs")))


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_every_figure_is_there_and_nothing_is_said(browser: Browser, page: Path, width: int, theme: str) -> None:
    browser.open(page, width, theme)
    assert browser.complaints() == []
    boxes = browser.js(
        "[...document.querySelectorAll('svg[role=img]')].map(s => { const r = s.getBoundingClientRect();"
        " return [s.getAttribute('aria-label'), r.width, r.height]; })"
    )
    for name in FIGURES:
        sizes = [(w, h) for label, w, h in boxes if label.startswith(name)]
        assert sizes, name
        assert all(w > 300 and h > 40 for w, h in sizes), (name, sizes)
    assert browser.js("document.documentElement.scrollWidth") <= width, "the page is wider than the screen"
    assert browser.js("document.querySelectorAll('section').length") == len(DRAWN)
    image = browser.js("const i = document.querySelector('svg image').getBoundingClientRect(); i.width * i.height")
    assert image > 1000
    ground = browser.js("getComputedStyle(document.body).backgroundColor")
    assert ground == {"light": "rgb(253, 253, 252)", "dark": "rgb(20, 23, 27)"}[theme]


@pytest.mark.parametrize("width", [1280, 390])
def test_text_in_figures_stays_legible_and_inside(browser: Browser, page: Path, width: int) -> None:
    browser.open(page, width)
    found = browser.js(
        "[...document.querySelectorAll('svg[role=img] text')].map(t => { const r = t.getBoundingClientRect(),"
        " s = t.ownerSVGElement, o = s.getBoundingClientRect();"
        " return [t.textContent, r.height, Math.max(o.left - r.left, r.right - o.right)]; })"
    )
    assert len(found) > 100
    assert [f for f in found if f[1] < 9] == []
    assert [f for f in found if f[2] > 3] == []


def test_the_keyboard_suffices(browser: Browser, page: Path) -> None:
    browser.open(page)
    browser.key("Tab", 9)
    assert browser.js("document.activeElement.className") == "skip"
    assert browser.js("document.activeElement.getBoundingClientRect().left >= 0")
    order = []
    for _ in range(len(DRAWN) + 2):
        browser.key("Tab", 9)
        order.append(browser.js("document.activeElement.id || document.activeElement.getAttribute('href')"))
    assert order[: len(DRAWN) + 1] == ["theme", *(f"#{id_}" for id_ in DRAWN)]
    assert browser.js("document.activeElement.matches(':focus-visible')")
    style = browser.js("getComputedStyle(document.activeElement).outlineStyle")
    assert style == "solid"
    assert browser.js("[...document.querySelectorAll('.scroll')].every(s => s.tabIndex === 0)")
    browser.js("document.querySelector('summary').focus()")
    browser.key("Enter", 13)


def test_the_theme_can_be_switched(browser: Browser, page: Path) -> None:
    browser.open(page, theme="light")
    ground = "getComputedStyle(document.body).backgroundColor"
    before = browser.js(ground)
    assert browser.js("const b = document.getElementById('theme'); !b.hidden && b.textContent") == "Dark"
    browser.js("document.getElementById('theme').click()")
    assert browser.js(ground) != before
    assert browser.js("document.getElementById('theme').textContent") == "Light"
    browser.js("document.getElementById('theme').click()")
    assert browser.js(ground) == before
    assert browser.complaints() == []


def test_the_comparison_shows_up(browser: Browser, tmp_path: Path) -> None:
    runs = [make_run(tmp_path, name) for name in ("one", "two")]
    page = write_comparison(runs, tmp_path / "both.html")
    for width in (1280, 390):
        browser.open(page, width)
        assert browser.complaints() == []
        assert browser.js("document.documentElement.scrollWidth") <= width
        assert browser.js("document.querySelectorAll('svg[role=img]').length") == 7


def test_the_policy_holds(browser: Browser, page: Path, tmp_path: Path) -> None:
    """The checks above can fail: a script that is not ours is refused, and the refusal is seen."""
    spoiled = tmp_path / "spoiled.html"
    text = page.read_text(encoding="utf-8").replace("</main>", "<script>document.title = 'x'</script></main>")
    spoiled.write_text(text.replace("</main>", '<img src="http://127.0.0.1:9/x.png"></main>'), encoding="utf-8")
    browser.open(spoiled)
    assert browser.js("document.title") != "x"
    assert any("Content Security Policy" in said for said in browser.complaints())


def test_screenshots_are_taken(browser: Browser, page: Path, tmp_path: Path) -> None:
    """Kept where SNNAS_SCREENSHOTS says, for a person to look at."""
    folder = Path(os.environ.get("SNNAS_SCREENSHOTS") or tmp_path)
    for width in (1280, 390):
        for theme in ("light", "dark"):
            browser.open(page, width, theme)
            browser.js("localStorage.clear()")  # what another test has switched
            browser.open(page, width, theme)
            path = folder / f"report-{width}-{theme}.png"
            path.write_bytes(browser.picture())
            assert path.stat().st_size > 10_000
