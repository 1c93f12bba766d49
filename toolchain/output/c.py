"""A program's run as C, as rows of a table."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

TITLES = {"cortex-m4": "Cortex-M4", "rv32imc": "RV32IMC"}
Row = tuple[str, str, str]
"""What, how much, and what is to be said of it."""


def costs(found: dict[str, Any]) -> Iterator[Row]:
    """What each core takes. found: ``c`` of a report."""
    for core in found["cores"]:
        title = TITLES.get(core["core"], str(core["core"]))
        if core["missing"] is not None:
            yield title, "not run", core["missing"]
            continue
        counted = f"{core['counted']} sample{'' if core['counted'] == 1 else 's'}"
        yield f"{title}: instructions", f"{core['instructions']:,.0f}", f"emulated, {counted}"
        yield "  flash (bytes)", f"{core['flash_bytes']:,}", f"code and weights, {core['compiler']}"
        memory = f"{core['state_bytes']:,} + {core['stack_bytes']:,}"
        yield "  RAM (bytes)", memory, "an instance + the deepest stack seen"


def verdicts(found: dict[str, Any]) -> Iterator[Row]:
    """Where C was compared with the simulator."""
    for title, run in [("C here", found["native"]), *((f"C, {TITLES.get(c['core'])}", c) for c in found["cores"])]:
        if run["missing"] is not None:
            yield f"{title}: differing spikes", "not run", run["missing"]
        else:
            said = f"simulator vs {run['compiler']}, {run['spikes_compared']:,} compared"
            yield f"{title}: differing spikes", str(run["differing_spikes"]), said
    split = found["native"]
    if split["split_samples"]:
        said = f"simulator vs C, {split['split_samples']:,} samples"
        yield "C here: differing logits", str(split["split_differing_logits"]), said
