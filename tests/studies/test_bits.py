"""The study of bits: the figures from the measurements, and the log that resumes."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from snnas.hw_sim.errors import InvalidFileError, UsageError
from snnas.hw_sim.limits import WEIGHT_WIDTHS
from snnas.toolchain.output.stderr import Narrator
from snnas.toolchain.runs.log import JsonLines
from snnas.toolchain.searching.options import SearchOptions
from tests.studies import bits as bench_bits
from tests.studies.bits import COMPILED, FLOAT, BitsOptions, Job


def record(right: list[bool], **more: Any) -> dict[str, Any]:
    return {"samples": len(right), "right": np.packbits(right).tobytes().hex(), "seconds": 1.0, **more}


def measured(lost_at_4: int) -> dict[Job, dict[str, Any]]:
    """Two runs of 100 samples; the float networks are right on 90; fine-tuned at 4 bits some are lost."""
    found: dict[Job, dict[str, Any]] = {}
    for run, worse in (("a", 0), ("b", 1)):
        found[run, FLOAT, COMPILED] = record([k < 90 for k in range(100)])
        for width in WEIGHT_WIDTHS:
            found[run, width, COMPILED] = record([k < 80 for k in range(100)])
            lost = (lost_at_4 if width == 4 else 0) + worse
            about = {"weights_changed": 3, "weights": 10}
            found[run, width, 7] = record([lost <= k < 90 for k in range(100)], **about)
    return found


def test_losses_are_those_of_the_same_samples() -> None:
    result = bench_bits.summary(measured(0), {"a": [7], "b": [7]}, BitsOptions(draws=400))
    assert [row["bits"] for row in result["table"]] == [8, 6, 4]
    row = result["table"][2]
    assert row["float"] == pytest.approx(0.9)
    assert row["compiled"]["loss"] == pytest.approx(0.1)
    assert row["compiled"]["over_measurements"] == pytest.approx((0.1, 0.1))
    low, high = row["compiled"]["over_samples"]
    assert 0.04 < low < 0.08 < 0.12 < high < 0.16  # 10 of 100 samples lost, twice: sd 2.1 points
    assert row["finetuned"]["loss"] == pytest.approx(0.005)
    assert row["finetuned"]["over_measurements"] == pytest.approx((0.0, 0.01))
    assert row["weights_changed"] == pytest.approx(0.3)
    assert result["good"]
    bench_bits.print_result({"runs": ["a", "b"], "epochs": 8, "rate": 3e-3, **result})


def test_the_gate_is_at_four_bits_after_fine_tuning() -> None:
    assert not bench_bits.summary(measured(2), {"a": [7], "b": [7]}, BitsOptions(draws=100))["good"]
    assert bench_bits.summary(measured(0), {"a": [7], "b": [7]}, BitsOptions(draws=100))["good"]


def test_fine_tunings_of_one_run_share_its_samples() -> None:
    """Three fine-tunings that lose the same samples say no more about samples than one."""
    found = measured(2)
    for seed in (8, 9):
        for width in WEIGHT_WIDTHS:
            found["a", width, seed] = found["a", width, 7]
    one = bench_bits.summary(found, {"a": [7]}, BitsOptions(draws=2000))["table"][2]["finetuned"]
    three = bench_bits.summary(found, {"a": [7, 8, 9]}, BitsOptions(draws=2000))["table"][2]["finetuned"]
    assert one["over_measurements"] is None
    assert three["over_samples"] == pytest.approx(one["over_samples"], abs=0.011)


def test_a_log_gives_back_what_it_was_told_and_skips_other_settings(tmp_path: Path) -> None:
    log, keys = JsonLines(tmp_path / "log.jsonl"), {True: "tuned", False: "compiled"}
    log.append({"settings": "tuned", "job": ["a", 4, 1], **record([True, False])})
    log.append({"settings": "compiled", "job": ["a", 4, COMPILED], **record([True, True])})
    log.append({"settings": "tuned", "job": ["a", 6, COMPILED], **record([True, False])})
    log.append({"settings": "other", "job": ["a", 6, 1], **record([True, False])})
    with log.path.open("ab") as f:
        f.write(b'{"settings": "tuned", "job"')  # a kill
    done = bench_bits._remembered(log, keys, "b")
    assert list(done) == [("b", 4, 1), ("b", 4, COMPILED)]  # whatever the run is called now
    assert bench_bits._accuracy(done["b", 4, 1]) == 0.5
    log.append({"settings": "tuned", "job": ["a", 4, 2], "samples": 2})
    with pytest.raises(InvalidFileError, match="line 5 is no measurement"):
        bench_bits._remembered(log, keys, "b")
    assert json.loads(log.path.read_text().splitlines()[0])["settings"] == "tuned"


def test_without_runs_networks_are_made_once_and_measurements_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("torch")
    small = {"channels": 2, "hidden": 8, "batch": 8, "timesteps": 2, "epochs": 1, "device": "cpu"}
    small_options = functools.partial(SearchOptions, **small)
    monkeypatch.setattr("snnas.toolchain.searching.options.SearchOptions", small_options)
    options = BitsOptions(seeds=1, widths=(4,), epochs=1, train=64, test=32, draws=100, seed=3)
    first = bench_bits.bits([], options, Narrator(quiet=True), tmp_path / "out.json", tmp_path)
    assert first["runs"] == ["bits-digits-3"]
    assert first["table"][0]["measurements"] == 1
    lines = (tmp_path / "out.jsonl").read_text().splitlines()
    assert [json.loads(line)["job"] for line in lines] == [
        ["bits-digits-3", FLOAT, COMPILED],
        ["bits-digits-3", 4, COMPILED],
        ["bits-digits-3", 4, 3],
    ]
    (tmp_path / "out.jsonl").write_text("".join(f"{line}\n" for line in lines[:2]))  # ended before the last
    again = bench_bits.bits([], options, Narrator(quiet=True), tmp_path / "out.json", tmp_path)
    for result in (first, again):
        result["table"][0].pop("seconds")
    assert again == first
    assert (tmp_path / "out.jsonl").read_text().splitlines()[:2] == lines[:2]


def test_bad_numbers() -> None:
    with pytest.raises(UsageError, match="--seeds 0"):
        BitsOptions(seeds=0).check()
    with pytest.raises(UsageError, match="--widths 8,5"):
        BitsOptions(widths=(8, 5)).check()
