"""Rows of a report that say what C does, by value."""

from __future__ import annotations

from typing import Any

from snnas.toolchain.output.c import costs, verdicts

NOT_RUN = {"missing": "no compiler", "split_samples": 0}
CORE = {
    **{"core": "rv32imc", "missing": None, "compiler": "zig cc", "spikes_compared": 10, "differing_spikes": 0},
    **{"instructions": 9000.0, "counted": 1, "flash_bytes": 500, "state_bytes": 60, "stack_bytes": 40},
}


def rows(**encoder: Any) -> list[tuple[str, str, str]]:
    found = {"native": NOT_RUN, "cores": [CORE], "encoder": {"spikes_compared": 1234, "differing_spikes": 0, **encoder}}
    return [*costs(found), *verdicts(found)]


def test_an_encoder_is_compared_and_costs_beside_the_network() -> None:
    taken = {"core": "rv32imc", "flash_bytes": 444, "state_bytes": 36, "instructions": 24125}
    found = rows(places=["native", "rv32imc"], cores=[taken])
    said = "hw_sim.signals vs encoder.c (native, RV32IMC), 1,234 compared"
    assert ("encoder: differing spikes", "0", said) in found
    names = [name for name, *_ in found]
    assert (
        names.index("RV32IMC: instructions") < names.index("  encoder: instructions") < names.index("    RAM (bytes)")
    )
    assert {name.strip(): value for name, value, _ in found if "encoder:" in name or name.startswith("    ")} == {
        "encoder: instructions": "24,125",
        "flash (bytes)": "444",
        "RAM (bytes)": "36",
        "encoder: differing spikes": "0",
    }


def test_a_difference_of_an_encoder_is_shown() -> None:
    assert ("encoder: differing spikes", "7") in {row[:2] for row in rows(places=["native"], differing_spikes=7)}


def test_an_encoder_that_did_not_run_has_no_row() -> None:
    assert not [name for name, *_ in rows(places=[]) if "encoder" in name]
