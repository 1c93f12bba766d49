"""Measures what docs/data holds, and takes the pictures of its report: ``make figures``.

The run of ``make demo``, without Lava where there is none; the pictures need Chromium on the ``PATH``.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

DATA = Path(__file__).resolve().parent / "data"
sys.path.insert(0, str(DATA.parents[1]))  # for the tests' browser, whatever the current folder

from docs import screenshots  # noqa: E402
from tests.browser import BROWSER  # noqa: E402

RUN = "digits-trained-001"
# What ``make demo`` types.
SEARCH = "search --dataset digits --budget energy_total=200uJ --trainings 32 --workers 2"


def snnas(folder: Path, *words: str) -> dict[str, Any]:
    """What a command prints with --json; its narration goes to stderr."""
    command = [sys.executable, "-m", "snnas", *words, "--json"]
    done = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, text=True, check=True)
    return dict(json.loads(done.stdout))


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        snnas(folder, *SEARCH.split())
        found = {
            "demo": snnas(folder, "export", "--target", "lava"),
            "profiles": snnas(folder, "estimate", f"runs/{RUN}/export/lava", "--profiles", "all"),
        }
        if BROWSER:
            snnas(folder, "diagnose")
            snnas(folder, "report", "--html")
            screenshots.take(folder / "runs" / RUN / "report.html", DATA.parent / "img")
    for stem, figures in found.items():
        (DATA / f"{stem}.json").write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
