"""Bad machines, one fault of each kind; all of them are in the campaign (``tests.faults.machines``)."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch")

from tests.faults.lava_workers import WORKERS, write_worker
from tests.faults.machines import MIB, Campaign, Fault, judge
from tests.faults.processes import Ended, Launcher


@pytest.mark.slow
def test_a_fault_of_each_kind(tmp_path: Path) -> None:
    campaign = Campaign(tmp_path, Launcher())
    campaign.inject("export", Fault(name="disk", codes=(74,), words="too large"), limits=(("RLIMIT_FSIZE", 2000),))
    nothing = (("PATH", ""), ("HOME", "/nowhere"), ("SNNAS_LAVA_PYTHON", ""), ("SNNAS_LAVA_ENV", "/nowhere/lava"))
    campaign.inject("export", Fault(name="no Python", codes=(0,)), environment=nothing, whole=False)
    limits = (("RLIMIT_AS", 256 * MIB),)
    campaign.inject("export", Fault(name="memory", codes=(70,), words="out of memory"), limits=limits)
    body, code, words = WORKERS["gives spikes of another shape"]
    python = write_worker(campaign.ground("export")[0].folder / "python", body)
    campaign.inject("export", Fault(name="worker", codes=(code,), words=words), more=("--python", str(python)))
    assert [record["defects"] for record in campaign.log.read()] == [[]] * 4


def test_words_and_codes_are_judged() -> None:
    def ended(code: int, err: str) -> Ended:
        return Ended(code, 1.0, 1.0, "", err)

    fault = Fault(name="full", codes=(74,), words="No space left")
    assert judge(fault, ended(74, "snnas: run.toml: No space left on device; free some\n")) == []
    assert judge(fault, ended(0, ""))
    assert judge(fault, ended(74, "snnas: something else\n"))
    assert judge(fault, ended(74, "Traceback\nsnnas: No space left\n"))
    assert judge(Fault(name="any", codes=(70,)), ended(70, "snnas: a fault of snnas: OSError\n"))
