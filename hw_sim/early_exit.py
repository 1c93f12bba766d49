"""Early exit: an inference ends once its answer is settled, before all of its timesteps have run.

Of a readout that counts spikes, all timesteps alike, the answer so far is what the logits would be if no neuron that it
reads fired again. Two rules say when the class with the largest of them is taken:

* **exact**: no spikes in the timesteps that are left can change it. In a timestep each neuron that is read fires or
  does not, so class c loses at most ``slack[c, k]`` to k, the sum over neurons of what a spike of theirs gives k more
  than c. Ties are part of it: the lower index wins them.
* **confidence**: it leads the second by a margin that was chosen on samples which nothing is measured on, so that at
  least a level of their answers are those at the end. That share is no promise for others.

A program's rule is ``meta["early_exit"]``; simulators, Lava and figures of a whole run are unchanged by it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from snnas.hw_sim.entries import Entries, values_of
from snnas.hw_sim.errors import InvalidFileError, UnsupportedError, UsageError, brief
from snnas.hw_sim.program import Program
from snnas.hw_sim.readout import Readout, constant, currents

KEY = "early_exit"
LEVELS = (0.5, 1.0)  # a confidence lies between them


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """When a program stops."""

    mode: Literal["exact", "confidence"]
    """See the module's docstring."""
    level: float | None = None
    """Of a confidence: the share of answers that were to stay."""
    margin: int | None = None
    """Of a confidence: how far the first class leads the second, in the readout's units."""
    chosen_on: int | None = None
    """Of a confidence: samples that the margin was chosen on."""

    def to_json(self) -> dict[str, Any]:
        """``meta["early_exit"]`` of a program."""
        plain = {"mode": self.mode, "level": self.level, "margin": self.margin, "chosen_on": self.chosen_on}
        return {key: value for key, value in plain.items() if value is not None}


@dataclass(frozen=True, slots=True, kw_only=True)
class Exits:
    """Where samples ended. timesteps: int64 (B,), from 1. predictions: int64 (B,), the class that was taken there."""

    timesteps: np.ndarray
    predictions: np.ndarray


def level_of(asked: object) -> float | None:
    """The confidence that was asked for, None of ``exact``; UsageError for what is neither."""
    if asked == "exact":
        return None
    low, high = LEVELS
    try:
        level = 0.0 if isinstance(asked, bool) else float(str(asked))
    except (TypeError, ValueError):
        level = 0.0
    if not low < level < high:
        raise UsageError(
            f"--early-exit {str(asked)[:40]}: expected exact, or a share of answers that stay, above {low:g} and below "
            f"{high:g}, as 0.99"
        )
    return level


def rule_of(program: Program) -> Rule | None:
    """The program's rule, None without; InvalidFileError for one that is none."""
    found = program.meta.get(KEY)
    if found is None:
        return None
    if found == {"mode": "exact"}:
        rule = Rule(mode="exact")
    else:
        fields = found if isinstance(found, dict) else {}
        level, margin, on = fields.get("level"), fields.get("margin"), fields.get("chosen_on")
        good = fields.get("mode") == "confidence" and isinstance(level, float) and LEVELS[0] < level < LEVELS[1]
        if not good or type(margin) is not int or type(on) is not int or margin < 1 or on < 1:
            raise InvalidFileError(
                f"program: meta.{KEY} is {brief(found)}; expected mode exact, or confidence with level, margin and "
                "chosen_on; export again"
            )
        rule = Rule(mode="confidence", level=level, margin=margin, chosen_on=on)
    require_sum(program)
    return rule


def require_sum(program: Program) -> None:
    """UnsupportedError where the answer so far is no sum of spikes."""
    r = program.readout
    if not r.counts_spikes or any(part.distance for part in r.readings):
        raise UnsupportedError(
            "--early-exit: this readout weighs timesteps, membranes or delayed spikes; only a plain sum of spikes has "
            "an answer at every timestep; leave the option out"
        )
    if any(isinstance(part.weight, Entries) for part in r.readings):
        raise UnsupportedError(
            f"--early-exit: {r.classes} outputs without a linear layer before them, whose leads would all be compared; "
            "leave the option out"
        )
    if r.classes < 2:
        raise UnsupportedError("--early-exit: one output, so that no answer is chosen; leave the option out")


def slack(readout: Readout) -> np.ndarray:
    """int64 (C, C): by how much class k can gain on class c in one timestep, whatever fires; 0 where they are one."""
    scale = 64 * np.broadcast_to(readout.response[0], (readout.classes,)).astype(np.int64)
    gained: np.ndarray = np.zeros((readout.classes, readout.classes), np.int64)
    for part in readout.readings:
        weight = values_of(part.weight).astype(np.int64) * scale[:, None]  # whole: see require_sum
        for c in range(readout.classes):
            gained[c] += np.maximum(weight - weight[c], 0).sum(axis=1)
    return gained


def so_far(program: Program, spikes: Mapping[str, np.ndarray]) -> np.ndarray:
    """int64 (B, T, C): the logits after each timestep, were it the last with a spike."""
    r, steps = program.readout, program.timesteps
    return 64 * currents(r, spikes, steps).cumsum(axis=1) * r.response[0] + constant(r, steps)


def stops(program: Program, rule: Rule, spikes: Mapping[str, np.ndarray]) -> Exits:
    """Where each sample ends. spikes: bool (B, T, ...) by population, of whole inferences."""
    answers, steps = so_far(program, spikes), program.timesteps
    taken = answers.argmax(axis=2)
    lead = np.take_along_axis(answers, taken[..., None], axis=2) - answers
    if rule.mode == "exact":
        left = (steps - np.arange(1, steps + 1))[None, :, None]
        lower = np.arange(answers.shape[2]) < taken[..., None]
        wanted: np.ndarray = left * slack(program.readout)[taken] + lower
    else:
        wanted = np.array(rule.margin or 0)
    itself = np.arange(answers.shape[2]) == taken[..., None]
    ends: np.ndarray = ((lead >= wanted) | itself).all(axis=2)
    ends[:, -1] = True
    first = ends.argmax(axis=1)
    return Exits(timesteps=first + 1, predictions=np.take_along_axis(taken, first[:, None], axis=1)[:, 0])


def joined(parts: Sequence[Exits]) -> Exits:
    """Those of batches, one after the other."""
    return Exits(
        timesteps=np.concatenate([p.timesteps for p in parts]),
        predictions=np.concatenate([p.predictions for p in parts]),
    )


def samples_for(level: float) -> int:
    """How many samples a level needs, so that one answer that changes is within it."""
    return math.ceil(1 / (1 - level) - 1e-9)


def choose(level: float, answers: np.ndarray) -> Rule:
    """The rule of a level. answers: int64 (N, T, C) as ``so_far``, of samples that nothing is measured on.

    The smallest margin from which on, for it and every larger one, at least ``level`` of the answers are those at the
    end. UnsupportedError for fewer samples than the level needs.
    """
    needed = samples_for(level)
    if len(answers) < needed:
        raise UnsupportedError(
            f"--early-exit {level:g}: there are {len(answers)} samples to choose a margin on, {needed} are needed to "
            f"tell {level:.4g}; give more with --calibration, take a lower level, or exact"
        )
    ordered = np.sort(answers, axis=2)
    lead = ordered[:, :, -1] - ordered[:, :, -2]
    taken = answers.argmax(axis=2)
    same = taken == taken[:, -1:]
    # A sample goes wrong under a margin m where its first timestep with lead >= m has another class.
    margins = np.unique(lead[lead > 0])
    best = int(lead.max()) + 1
    for margin in margins[::-1]:
        reached = lead >= margin
        reached[:, -1] = True
        first = reached.argmax(axis=1)
        if same[np.arange(len(same)), first].mean() < level:
            break
        best = int(margin)
    return Rule(mode="confidence", level=level, margin=best, chosen_on=len(answers))
