"""What other tools do with the .nir of each case of docs/conformance.md: measured in a file, explained here.

``docs/conformance_readers.json`` holds what the tools gave, each in an environment of its own. ``make oracles`` asserts
that it is current; it is written anew by

    SNNAS_SNNTORCH_PYTHON=... python -m pytest -m oracle tests/oracles/test_nir_readers.py --update-golden
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

TOOLS = ("snntorch", "norse", "spikingjelly")
FILE = Path(__file__).parents[2] / "docs" / "conformance_readers.json"
EQUAL, STOPS, DIFFERS = "equal", "stops", "differs"
UNTRIED = "not tried"  # a case that the file does not have yet


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a cell is not equal. defect: the tool does something else without a word, or breaks on what it accepted."""

    text: str
    defect: bool = False


def _both(text: str, *tools: str, defect: bool = False) -> dict[str, Reason]:
    return dict.fromkeys(tools, Reason(text, defect))


_UNSAID = _both("NIR does not carry it, only our metadata does; the tool runs the plain equations", *TOOLS)
_NO_NODE = _both("knows no such node and says so", "snntorch", "spikingjelly")
_DROPPED = _both("leaves out a node that it does not know, without a word", "norse", defect=True)
_RESET = _both("takes v_reset for 0", "snntorch", "norse", defect=True)
_IF = _both("wants an IF with r = 1, of which it makes a Leaky with beta = 0.9; ours has r = 1 / dt", "snntorch")
_TAUS = {
    **_both("scales every neuron's input by the smallest tau of the layer", "snntorch", defect=True),
    **_both("wants one tau for all neurons of a layer", "spikingjelly"),
}
_PATHS = _both("breaks on a second path into the output", "snntorch", "spikingjelly", defect=True)
_LOOP = _both("runs the loop another way: its RLeaky and RSynaptic", "snntorch", defect=True)
REASONS: dict[str, dict[str, Reason]] = {
    "LIF, r = 3, v_leak = 0.25": {
        **_both("wants v_leak = 0", "snntorch"),
        **_both("ignores r", "norse", defect=True),
        **_both("wants r = 1 or tau / dt, and v_leak = v_reset", "spikingjelly"),
    },
    "LIF, tau of one timestep": _both("wants tau > dt", "spikingjelly"),
    "LIF, a threshold per neuron": _both("wants one threshold for all neurons of a layer", "snntorch", "spikingjelly"),
    "LIF, two taus": _TAUS,
    "LIF, a tau per neuron": _TAUS,
    "LIF, v_reset = 0.25": {**_RESET, **_both("wants v_leak = v_reset", "spikingjelly")},
    "LIF, reset by subtraction": _UNSAID,
    "LIF, reset by subtraction, late": _UNSAID,
    "LIF, exact decay": _UNSAID,
    "IF": _IF,
    "IF, a spike iff v >= threshold": {**_IF, "norse": _UNSAID["norse"]},
    "Threshold": {**_NO_NODE, **_DROPPED},
    "I as the readout": {**_NO_NODE, **_DROPPED},
    "CubaLIF, the current before": _UNSAID,
    "LI as the readout": {**_NO_NODE, **_DROPPED},
    "LI, its largest value": {**_NO_NODE, **_DROPPED},
    "CubaLI as the readout": {**_NO_NODE, **_DROPPED},
    "LIF read by its membrane": {**_NO_NODE, **_DROPPED},
    "two paths into the output": _PATHS,
    "I between neurons": {**_NO_NODE, **_DROPPED},
    "AvgPool2d": _DROPPED,
    "pool, Conv2d, pool": _DROPPED,
    "Scale": {**_NO_NODE, **_DROPPED},
    "Scale per pixel behind Conv2d": {**_NO_NODE, **_DROPPED},
    "Delay of 3 timesteps": {**_NO_NODE, **_DROPPED},
    "Delay, another for each neuron": {**_NO_NODE, **_DROPPED},
    "a self-loop": _LOOP,
    "a self-loop of a CubaLIF": _LOOP,
    "a loop with a CubaLIF and another": _IF,
}


@cache
def measured() -> dict[str, Any]:
    """Return versions {tool: version} and cells {case: {tool: {outcome, found}}}, as the file holds them."""
    return dict(json.loads(FILE.read_text(encoding="utf-8")))


def cells(case: str, notes: list[str]) -> tuple[str, ...]:
    """The tools' cells of a case; one that is not equal has the number of its reason, which goes into ``notes``."""
    return tuple(_cell(case, tool, notes) for tool in TOOLS)


def _cell(case: str, tool: str, notes: list[str]) -> str:
    found = measured()["cells"].get(case)
    if found is None:
        return UNTRIED
    outcome = str(found[tool]["outcome"])
    if outcome == EQUAL:
        return EQUAL
    text = REASONS[case][tool].text
    if text not in notes:
        notes.append(text)
    return f"{outcome} ({notes.index(text) + 1})"
