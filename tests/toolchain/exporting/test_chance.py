"""An export whose network guesses says so, whatever it was made by."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from snnas.export.formats.nir_file import write_nir
from snnas.toolchain.cli.app import run_command
from snnas.toolchain.exporting import stimulus
from tests.toolchain.checking.check_subjects import example


@pytest.mark.usefixtures("no_lava")
def test_an_accuracy_on_target_that_guessing_reaches_is_doubted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    made = example()
    write_nir(Path("graph.nir"), made.graph())
    x, y = made.bars(100, seed=7)

    def said(labels: np.ndarray) -> str:
        np.savez("bars.npz", x=x, y=labels)
        assert run_command(["export", "graph.nir", "--data", "bars.npz", "--samples", "4", "-q", "--force"]) == 0
        return " ".join(capsys.readouterr().err.split())

    assert "always naming one class" not in said(y)
    guessed = np.where(np.random.default_rng(0).random(len(y)) < 0.25, y, (y + 1) % 4)
    wrong = said(guessed)
    assert "note: on target " in wrong
    assert "always naming one class" in wrong
    assert "train longer" in wrong
    # Of 100 samples four are kept, and their labels do not say what guessing would reach on all.
    monkeypatch.setattr(stimulus, "LIMIT_BYTES", 1)
    assert "always naming one class" not in said(guessed)
