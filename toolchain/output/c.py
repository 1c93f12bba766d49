"""A program's run as C, as rows of a table."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

TITLES = {"cortex-m4": "Cortex-M4", "rv32imc": "RV32IMC"}
Row = tuple[str, str, str]
"""What, how much, and what is to be said of it."""


ENDS = ("low", "nominal", "high")


def title_of(core: dict[str, Any]) -> str:
    """A core as a person knows it."""
    return TITLES.get(core["core"], str(core["core"]))


def costs(found: dict[str, Any]) -> Iterator[Row]:
    """What each core takes. found: ``c`` of a report."""
    without = "; the host stage is not in it" if found.get("host") == "float" else ""
    encoders = {each["core"]: each for each in (found.get("encoder") or {}).get("cores") or ()}
    for core in found["cores"]:
        title = title_of(core)
        if core["missing"] is not None:
            yield title, "not emulated", ""  # why is said once, by ``unverified``
            yield from _estimated(core, without)
            continue
        counted = f"{core['counted']} sample{'' if core['counted'] == 1 else 's'}"
        yield f"{title}: instructions", f"{core['instructions']:,.0f}", f"emulated, {counted}{without}"
        if "ending_early" in core:
            ends = core["ending_early"]
            said = f"emulated, after {ends['timesteps']:.2f} timesteps, snnas_decided asked after each"
            yield "  ending early", f"{ends['instructions']:,.0f}", said
        yield "  flash (bytes)", f"{core['flash_bytes']:,}", f"code and weights, {core['compiler']}"
        memory = f"{core['state_bytes']:,} + {core['stack_bytes']:,}"
        yield "  RAM (bytes)", memory, "an instance + the deepest stack seen"
        yield from _board(core, without)
        if core["core"] in encoders:
            yield from _encoder(encoders[core["core"]])


def _encoder(found: dict[str, Any]) -> Iterator[Row]:
    """What makes spikes of a signal, before the network."""
    yield "  encoder: instructions", f"{found['instructions']:,}", "emulated, one signal; not in those above"
    yield "    flash (bytes)", f"{found['flash_bytes']:,}", "code and constants; not in those above"
    yield "    RAM (bytes)", f"{found['state_bytes']:,}", "an encoder"


def _estimated(core: dict[str, Any], without: str) -> Iterator[Row]:
    found = core.get("estimated")
    if found:
        taken = f"{found['instructions']['nominal']:,.0f}"
        yield "  instructions", taken, f"estimated, on the recorded samples{without}"
        yield "  flash, RAM (bytes)", f"{found['flash_bytes']:,}, {found['ram_bytes']:,}", "estimated"
        yield from _board(core, without)


def _board(core: dict[str, Any], without: str) -> Iterator[Row]:
    """On a board with that core. without: what is said of work that is not in the C."""
    found = core.get("board")
    if found:
        said = f"estimated, {found['profile']}, evidence: {found['evidence']}"
        yield "  cycles (M)", ends(found["cycles"], 1e-6), "estimated, instructions x cycles of one"
        yield "  latency (ms)", ends(found["latency_ms"]), said
        yield "  energy (uJ / inference)", ends(found["energy_uJ"]), f"of the chip while it computes{without}"


def ends(band: dict[str, float], factor: float = 1.0) -> str:
    """Its low, nominal and high end."""
    return " .. ".join(f"{band[end] * factor:.3g}" for end in ENDS)


def verdicts(found: dict[str, Any]) -> Iterator[Row]:
    """Where C was compared with the simulator, and where not."""
    yield from compared(found)
    yield from unverified(found)


def compared(found: dict[str, Any]) -> Iterator[Row]:
    """How many spikes and logits differ, and of what."""
    for title, run in _runs(found):
        if run["missing"] is None:
            said = f"simulator vs {run['compiler']}, {run['spikes_compared']:,} compared"
            yield f"{title}: differing spikes", str(run["differing_spikes"]), said
    encoder: dict[str, Any] = found.get("encoder") or {"places": []}
    if encoder["places"]:
        ran = ", ".join(TITLES.get(str(place), str(place)) for place in encoder["places"])
        said = f"hw_sim.signals vs encoder.c ({ran}), {encoder['spikes_compared']:,} compared"
        yield "encoder: differing spikes", str(encoder["differing_spikes"]), said
    split = found["native"]
    if split["split_samples"]:
        said = f"simulator vs C, {split['split_samples']:,} samples"
        yield "C here: differing logits", str(split["split_differing_logits"]), said


def unverified(found: dict[str, Any]) -> Iterator[Row]:
    """What was not run, and why: a reason that several share is said once."""
    missing = dict[str, list[str]]()
    for title, run in _runs(found):
        if run["missing"] is not None:
            missing.setdefault(run["missing"], []).append(title)
    for why, titles in missing.items():
        yield " and ".join(titles), "not run", why


def _runs(found: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    return [("C here", found["native"]), *((f"C, {title_of(core)}", core) for core in found["cores"])]
