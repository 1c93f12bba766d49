"""A C export's rows of the report's table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.table import Table

TITLES = {"cortex-m4": "Cortex-M4", "rv32imc": "RV32IMC"}


def add_rows(out: Table, found: dict[str, Any]) -> None:
    """What each core takes, and where C was compared with the simulator."""
    for core in found["cores"]:
        title = TITLES.get(core["core"], core["core"])
        if core["missing"] is not None:
            out.add_row(title, "", "not run", core["missing"])
            continue
        counted = f"{core['counted']} sample{'' if core['counted'] == 1 else 's'}"
        out.add_row(f"{title}: instructions", "", f"{core['instructions']:,.0f}", f"emulated, {counted}")
        memory = f"{core['state_bytes']:,} + {core['stack_bytes']:,}"
        out.add_row("  flash (bytes)", "", f"{core['flash_bytes']:,}", f"code and weights, {core['compiler']}")
        out.add_row("  RAM (bytes)", "", memory, "an instance + the deepest stack seen")
    out.add_section()
    for title, run in [("C here", found["native"]), *((f"C, {TITLES.get(c['core'])}", c) for c in found["cores"])]:
        if run["missing"] is not None:
            out.add_row(f"{title}: differing spikes", "", "not run", run["missing"])
        else:
            said = f"simulator vs {run['compiler']}, {run['spikes_compared']:,} compared"
            out.add_row(f"{title}: differing spikes", "", str(run["differing_spikes"]), said)
    split = found["native"]
    if split["split_samples"]:
        said = f"simulator vs C, {split['split_samples']:,} samples"
        out.add_row("C here: differing logits", "", str(split["split_differing_logits"]), said)
