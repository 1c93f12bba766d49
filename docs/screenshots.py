"""Takes the pictures of a report that the pages show, in headless Chromium: a desk, its diagnosis, a telephone."""

from __future__ import annotations

import io
import tempfile
from pathlib import Path

from PIL import Image

from tests.browser import Browser

HEAD = 335  # pixels of the figures at a glance
GAP = 20  # pixels between the telephone's screens
SCREENS = ("", "cell", "raster", "diagnosis")  # where each of them begins; '' the top


def take(page: Path, folder: Path) -> None:
    """report-head.png, report.png, report-diagnosis.png and report-phone.png of a report.html, into ``folder``."""
    with tempfile.TemporaryDirectory() as profile:
        browser = Browser(Path(profile))
        try:
            browser.open(page)
            _save([browser.picture(0, HEAD)], folder / "report-head.png")
            _save([browser.picture(0, 1500)], folder / "report.png")
            begin, end = (_top(browser, name) for name in ("quantisation", "chip"))
            _save([browser.picture(begin, end - begin)], folder / "report-diagnosis.png")
            browser.open(page, 390, "dark")
            _save([browser.picture(_top(browser, n), 1180) for n in SCREENS], folder / "report-phone.png")
        finally:
            browser.close()


def _top(browser: Browser, section: str) -> float:
    where = f"document.getElementById('{section}').getBoundingClientRect().top + scrollY"
    return float(browser.js(where)) if section else 0.0


def _save(shots: list[bytes], path: Path) -> None:
    """Shots side by side, in 128 colours."""
    images = [Image.open(io.BytesIO(shot)).convert("RGB") for shot in shots]
    whole = Image.new("RGB", (sum(i.width for i in images) + GAP * (len(images) - 1), images[0].height), "#777777")
    x = 0
    for image in images:
        whole.paste(image, (x, 0))
        x += image.width + GAP
    few = whole.quantize(128, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    few.save(path, optimize=True)
