"""What each cause of loss is worth: switched off alone among the integers, and switched on alone in the float graph.

Both are measured, since causes interact: a spike that two of them turn is mended by neither alone, and the sum of the
parts is not the whole. Faults found are switched off alone likewise, each at its own population.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from snnas.export.compiler.parts import own_spikes
from snnas.export.compiler.ranges import verify_ranges
from snnas.export.executors import interpreter
from snnas.hw_sim.errors import GateError, UnsupportedError
from snnas.hw_sim.simulate.silence import Answers, Silence
from snnas.hw_sim.simulate.simulator import simulate_input
from snnas.toolchain.data.statistics import beyond_chance
from snnas.toolchain.diagnosing import hybrid
from snnas.toolchain.diagnosing.divergence import Divergence, three_runs
from snnas.toolchain.diagnosing.faults import Fault
from snnas.toolchain.diagnosing.hybrid import CAUSES, Outcome, Switches
from snnas.toolchain.diagnosing.pairing import Joint
from snnas.toolchain.diagnosing.switched_map import clipped

MEMORY = 1 << 27  # bytes of a population's states and inputs at once
BATCH = 32


@dataclass(slots=True)
class Setting:
    """One choice of switches, and what came of it. differing: spikes that are not the graph's. why_not: not run.

    fired: spikes, by population that stands for a node.
    """

    exact: Switches
    predictions: list[np.ndarray] = field(default_factory=list)
    differing: int = 0
    why_not: str = ""
    answers: Answers = field(default_factory=Answers)
    fired: dict[str, int] = field(default_factory=dict)

    def take(self, outcome: Outcome, graph: Outcome, names: list[str]) -> None:
        self.predictions.append(outcome.predictions)
        self.answers.add(outcome.answers)
        for n in names:
            self.fired[n] = self.fired.get(n, 0) + int(outcome.spikes[n].sum())
        self.differing += sum(int((outcome.spikes[n] != graph.spikes[n]).sum()) for n in names)

    @property
    def silence(self) -> Silence:
        return self.answers.with_spikes(self.fired)

    @property
    def predicted(self) -> np.ndarray:
        return np.concatenate(self.predictions) if self.predictions else np.zeros(0, dtype=np.int64)


@dataclass(slots=True, kw_only=True)
class SettingRuns:
    """A subject's samples under every setting. ties: spikes of the exact run that the NIR interpreter does not fire."""

    graph: Setting
    program: Setting
    off: dict[str, Setting]
    on: dict[str, Setting]
    mended: list[Setting]
    divergence: Divergence
    slots: int
    ties: int


def in_play(joint: Joint) -> list[str]:
    """The causes that can act in this program at all."""
    units = joint.units
    absent = {
        "input": not any(u.links or u.maps for u in units),
        "reset": not joint.subtract,
        "saturation": not _saturates(joint),
        "timing": all(w.real == w.integer for u in units for w in u.ways),
        "bias": not any(u.population.bias.any() or u.clock is not None or _biased(u.group) for u in units),
    }
    return [c for c in CAUSES if not absent.get(c, False)]


def _saturates(joint: Joint) -> bool:
    """Whether a weight is clipped, or a register could overflow."""
    ways = [w for u in joint.units for w in u.ways if w.alike]
    if any(clipped(w, joint.program).any() for w in ways):
        return True
    try:
        verify_ranges(joint.program)
    except UnsupportedError:
        return True
    return False


def _biased(group: Any) -> bool:
    return group is not None and (bool(group.bias.any()) or group.drive is not None)


def measure(
    joint: Joint, x: np.ndarray, faults: list[Fault], advance: Callable[[int, int], None] = lambda done, total: None
) -> SettingRuns:
    """Runs the samples x under every setting. GateError where the hybrid and the program's simulator differ."""
    every = hybrid.everywhere(joint, CAUSES)
    names = [u.id for u in joint.units if u.group is not None]
    found = SettingRuns(
        graph=Setting(every),
        program=Setting(frozenset()),
        off={c: Setting(hybrid.everywhere(joint, [c])) for c in in_play(joint)},
        on={c: Setting(every - hybrid.everywhere(joint, [c])) for c in in_play(joint)},
        mended=[Setting(f.switches) for f in faults],
        divergence=Divergence(),
        slots=len(x) * joint.program.timesteps * sum(joint.unit(n).population.size for n in names),
        ties=0,
    )
    size = batch(joint)
    total, done = (3 + len(found.off) + len(found.on) + len(found.mended)) * -(-len(x) // size), 0
    for k in range(0, len(x), size):
        part = x[k : k + size]
        given = hybrid.stimulus(joint, part)
        graph, program, alone = three_runs(joint, given)
        _require_equal(joint, part, program, k)
        found.ties += _ties(joint, part, graph)
        found.divergence.add(joint, graph, program, alone)
        found.graph.take(graph, graph, names)
        found.program.take(program, graph, names)
        done += 3
        nearest: list[tuple[list[Setting], tuple[Switches, Outcome]]] = [
            ([*found.off.values(), *found.mended], (frozenset(), program)),
            ([*found.on.values()], (every, graph)),
        ]
        for settings, near in nearest:
            for setting in settings:
                _run(joint, given, setting, near, graph, names)
                done += 1
                advance(done, total)
    return found


def batch(joint: Joint) -> int:
    """Samples at a time."""
    largest = max(u.population.size for u in joint.units) * joint.program.timesteps
    return int(np.clip(MEMORY // (32 * largest), 1, BATCH))


def _run(
    joint: Joint,
    given: hybrid.Stimulus,
    setting: Setting,
    near: tuple[Switches, Outcome],
    graph: Outcome,
    names: list[str],
) -> None:
    if setting.why_not:
        return
    try:
        setting.take(hybrid.run_hybrid(joint, given, setting.exact, known=near), graph, names)
    except UnsupportedError as error:
        setting.why_not = str(error)


def _require_equal(joint: Joint, x: np.ndarray, ours: Outcome, before: int) -> None:
    done = 0
    for trace, _ in simulate_input(joint.program, x, batch=len(x)):
        for unit in joint.units:
            if not np.array_equal(trace.spikes[unit.id], ours.spikes[unit.id]):
                raise GateError(
                    f"the hybrid simulator and the program's differ in population {unit.id}, samples from "
                    f"{before + done} on; this is a fault of ours, please report it"
                )
        done += len(trace.logits)


def _ties(joint: Joint, x: np.ndarray, ours: Outcome) -> int:
    """Spikes in which the exact run and the NIR interpreter differ: membranes at the threshold to the last bit."""
    theirs = interpreter.run(joint.graph, x, joint.program.timesteps)
    count = 0
    for unit in joint.units:
        if unit.group is not None:
            theirs_here = own_spikes(joint.program, unit.id, theirs.spikes[unit.node])
            count += int((theirs_here != ours.spikes[unit.id]).sum())
    return count


def share(setting: Setting, reference: SettingRuns, labels: np.ndarray | None) -> dict[str, Any]:
    """What a setting did: accuracy (with labels), predictions as the graph's, differing spikes."""
    if setting.why_not:
        return {"not_run": setting.why_not}
    same = setting.predicted == reference.graph.predicted
    return {
        "accuracy": None if labels is None else float((setting.predicted == labels).mean()),
        "agreement": float(same.mean()),
        "changed_predictions": int((~same).sum()),
        "differing_spikes": setting.differing,
        "differing_fraction": setting.differing / max(1, reference.slots),
    }


def worth(setting: Setting, base: Setting, reference: SettingRuns, labels: np.ndarray | None) -> dict[str, Any]:
    """A setting against another: samples that it mends and breaks, in points of accuracy (agreement without labels)."""
    if setting.why_not:
        return {}
    wanted = reference.graph.predicted if labels is None else labels
    now, before = setting.predicted == wanted, base.predicted == wanted
    mended, broken = int((now & ~before).sum()), int((before & ~now).sum())
    fewer = base.differing - setting.differing
    return {
        "mended": mended,
        "broken": broken,
        "points": 100 * (mended - broken) / len(wanted),
        "spikes": fewer,
        "spikes_share": fewer / base.differing if base.differing else None,
    }


def loss(found: SettingRuns, labels: np.ndarray | None) -> dict[str, Any]:
    """What the program lost against the graph: points, and the samples that it lost and won."""
    worth_of_it = worth(found.program, found.graph, found, labels)
    lost, won = worth_of_it["broken"], worth_of_it["mended"]
    return {"points": -worth_of_it["points"], "lost": lost, "won": won, "beyond_chance": beyond_chance(lost, won)}


def table(found: SettingRuns, labels: np.ndarray | None) -> list[dict[str, Any]]:
    """One row per cause in play: what gives most points back first where points were lost, else most spikes."""
    rows = []
    for cause in found.off:
        off, on = found.off[cause], found.on[cause]
        rows.append(
            {
                "cause": cause,
                "meaning": CAUSES[cause],
                "off_alone": share(off, found, labels) | worth(off, found.program, found, labels),
                "on_alone": share(on, found, labels) | worth(on, found.graph, found, labels),
            }
        )
    fell = loss(found, labels)["points"] > 0

    def order(row: dict[str, Any]) -> tuple[float, float]:
        off = row["off_alone"]
        return (-off.get("points", 0.0) if fell else 0.0, -off.get("spikes", 0))

    return sorted(rows, key=order)
