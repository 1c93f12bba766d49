"""The documents: built with warnings as errors, asking nobody, and with what they take from the program up to date."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from tests.browser import BROWSER, Browser

ROOT = Path(__file__).resolve().parents[1]
pytest.importorskip("torch")


@pytest.fixture(scope="module")
def generate() -> ModuleType:
    """docs/generate.py, which is no part of a package."""
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs/generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_what_is_generated_is_up_to_date(generate: ModuleType) -> None:
    stale = [
        str(path.relative_to(ROOT))
        for path, text in generate.generated().items()
        if path.read_text(encoding="utf-8") != text
    ]
    assert stale == [], "run: make generate"


def test_the_readme_is_read_in_a_minute_and_shows_figures(generate: ModuleType) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert generate.figures() in readme
    assert sum(any(map(str.isalnum, word)) for word in readme.split()) <= 900
    assert generate.demo() in (ROOT / "docs/quickstart.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("width", ["40", "300"])
def test_help_does_not_depend_on_the_screen(width: str, generate: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    before = generate.help_of(["search"])
    monkeypatch.setenv("COLUMNS", width)
    assert generate.help_of(["search"]) == before


def test_no_command_of_the_first_page_is_cut(generate: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generate, "WIDTH", 80)
    assert [line for line in generate.help_of([]).splitlines() if re.match(r"  \w+ .*\.\.\.$", line)] == []


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built with warnings as errors."""
    for name in ("sphinx", "myst_parser", "myst_nb", "sphinx_design", "furo"):
        pytest.importorskip(name, reason="the extra [docs] is not installed")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-n", "-b", "html"]
    arguments = ["-d", str(folder / "doctrees"), "docs", str(folder / "html")]
    done = subprocess.run([*command, *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    return folder / "html"


@pytest.mark.slow
def test_the_site_builds_without_a_warning_and_asks_nobody(site: Path) -> None:
    pages = sorted(site.rglob("*.html"))
    assert len(pages) > 20
    for page in pages:
        text = page.read_text(encoding="utf-8")
        asked = re.findall(r'<(?:script|link|img|iframe|source)\b[^>]*(?:src|href)="(?:https?:)?//[^"]*"', text)
        assert asked == [], page.name
    methods = (site / "methods.html").read_text(encoding="utf-8")
    assert methods.count('display="block"') == (ROOT / "docs/methods.md").read_text(encoding="utf-8").count("$$") / 2


@pytest.mark.slow
@pytest.mark.skipif(not (BROWSER and shutil.which("bash")), reason="no Chromium (or no bash) on the PATH")
def test_no_page_of_the_site_is_wider_than_the_screen(site: Path, tmp_path: Path) -> None:
    """In a browser, at 1280 and at 390 pixels: what is wide (code, tables, formulas) scrolls in a place of its own."""
    browser = Browser(tmp_path / "chromium")
    wide = []
    try:
        for width in (1280, 390):
            for page in sorted(site.rglob("*.html")):
                if "_static" not in page.parts:
                    browser.open(page, width)
                    found = browser.js("document.documentElement.scrollWidth")
                    wide += [f"{page.relative_to(site)}: {found} of {width}"] if found > width else []
    finally:
        browser.close()
    assert wide == []
