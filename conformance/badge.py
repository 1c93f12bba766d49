"""A flat badge as SVG: how many graphs are equal, and how many are silently not."""

from __future__ import annotations

from conformance.judge import DIFFERS, EQUAL, OTHER
from conformance.results import Result

GREEN, YELLOW, RED = "#2e7d32", "#9a6700", "#b3261e"  # white text on each has a contrast above 4.5
LETTER = 7  # pixels of an average letter of Verdana 11


def badge(result: Result) -> str:
    """Green: all equal. Yellow: what is not, stops with an exception. Red: something differs without a word."""
    counts, total = result.counts, len(result.verdicts)
    silent = counts[DIFFERS] + counts[OTHER]
    left = f"NIR {result.convention}" if result.convention != "nir" else "NIR"
    right = f"{counts[EQUAL]}/{total} equal" + (f", {silent} silently not" if silent else "")
    colour = RED if silent else GREEN if counts[EQUAL] == total else YELLOW
    a, b = LETTER * len(left) + 12, LETTER * len(right) + 12
    label = f"{result.name}: {left} {right}".replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;")
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{a + b}" height="20" role="img" aria-label="{label}">'
        f'<title>{label}</title><rect width="{a}" height="20" fill="#444"/>'
        f'<rect x="{a}" width="{b}" height="20" fill="{colour}"/>'
        f'<g fill="#fff" font-family="Verdana,DejaVu Sans,sans-serif" font-size="11" text-anchor="middle">'
        f'<text x="{a / 2:g}" y="14">{left}</text><text x="{a + b / 2:g}" y="14">{right}</text></g></svg>\n'
    )
