"""The program as C: what it takes on each core, on a board with it, and where it was compared."""

from __future__ import annotations

from typing import Any

from snnas.toolchain.html.bands import Row, bars
from snnas.toolchain.html.material import Material
from snnas.toolchain.output import c as in_c
from snnas.toolchain.output.markup import Raw, el, figure, join, note, row_name, table

BANDS = (("Latency on a board", "latency_ms", "ms"), ("Energy on a board", "energy_uJ", "uJ"))
WORDS = (
    "The same program as C99, every population and timestep compared with the simulator. Instructions, flash and RAM "
    "are counted from the compiled image in an emulator; an instruction is no cycle: cycles, and with them time and "
    "energy, are instructions times an assumed band of cycles each. No board was measured."
)


def section(material: Material) -> Raw:
    """Of the newest export to C."""
    found = material.c
    missing = [note(f"{titles}: {why}", class_="missing") for titles, _, why in in_c.unverified(found)]
    drawn = [_band(found["cores"], *band) for band in BANDS]
    lines = [(row_name(name), value, said) for name, value, said in in_c.costs(found)]
    costs = table(("", "per inference", "where from"), lines, label="on a core", class_="figures stack")
    words = WORDS + (" The host stage, in floats, is in none of these figures." if found.get("host") == "float" else "")
    return join(note(words), missing, costs, el("div", drawn, class_="grid"))


def _band(cores: list[dict[str, Any]], title: str, key: str, unit: str) -> Raw:
    bands = [(core["board"][key], in_c.title_of(core), core["board"]["profile"]) for core in cores]
    rows = [Row.of(name, b, f"{in_c.ends(b)} {unit}") for b, name, _ in bands]
    numbers = [(name, profile, *(f"{b[end]:.4g}" for end in in_c.ENDS)) for b, name, profile in bands]
    data = table(("core", "profile", *in_c.ENDS), numbers, label=title, left=2)
    words = "The bar is the band, the upright line the nominal value."
    return figure(title, bars(title, f"{unit} per inference", rows, left=84, right=160), words, data=data)


def tiles(found: dict[str, Any]) -> list[tuple[str, str, str, str]]:
    """(name, value, more, provenance) of the headline, of the first core."""
    core = found["cores"][0]
    board, title = core["board"], in_c.title_of(core)
    emulated = core["missing"] is None
    said = core["estimated"]
    instructions = core["instructions"] if emulated else said["instructions"]["nominal"]
    flash = core["flash_bytes"] if emulated else said["flash_bytes"]
    ram = core["state_bytes"] + core["stack_bytes"] if emulated else said["ram_bytes"]
    counted = "emulated" if emulated else "estimated"
    native = found["native"]
    compared = [run for run in (native, *found["cores"]) if run["missing"] is None]
    spikes = sum(run["spikes_compared"] for run in compared)
    exact = not any(run["differing_spikes"] for run in compared)
    where = "natively and on emulated cores" if native["missing"] is None and emulated else "where it could run"
    verdict = ("exact" if exact else "differs") if compared else "not run"
    return [
        ("Instructions", f"{instructions:,.0f}", f"per inference, {title}", counted),
        ("Latency", f"{board['latency_ms']['nominal']:.3g} ms", f"{in_c.ends(board['latency_ms'])} ms", "estimated"),
        ("Flash and RAM", f"{flash:,} B", f"and {ram:,} B of RAM", counted),
        ("Against C", verdict, f"{spikes:,} spikes compared", where),
    ]
