"""SN314: what an export claims of its early exit, made again on the samples that it holds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from snnas.hw_sim.early_exit import Exits, Rule, joined, rule_of, stops
from snnas.hw_sim.program import Program
from snnas.toolchain.checking.findings import Book, amount_of
from snnas.toolchain.checking.remake import EQUAL, TORCH_WORTH, affordable, number, work_of
from snnas.toolchain.checking.samples import Samples
from snnas.toolchain.data.statistics import wilson
from snnas.toolchain.exporting.early_exit import described
from snnas.toolchain.exporting.on_target import runs

Tree = Mapping[str, Any]


def check_early_exit(book: Book, program: Program, samples: Samples, report: Tree) -> None:
    """SN314 of an export whose program or report has an early exit. samples: all that it holds."""
    rule, said = rule_of(program), report.get("early_exit")
    good, problem = "", None
    if rule is None or not isinstance(said, Mapping):
        has, lacks = ("report.json", "program.npz") if rule is None else ("program.npz", "report.json")
        problem = f"{has} has an early exit, {lacks} has none; export again"
    else:
        problem, good = _made_again(program, rule, samples.first(affordable(program, len(samples))), report, said)
    book.judge("SN314", "early exit", problem, good, book.subject / "report.json")


def _made_again(program: Program, rule: Rule, samples: Samples, report: Tree, said: Tree) -> tuple[str | None, str]:
    """What is wrong with the claim, or None; and what is good where nothing is."""
    exits, whole = _replayed(program, rule, samples)
    total, floor = (number(report, ("energy_uJ", part, "nominal")) for part in ("total", "floor"))
    nominal = None if report.get("c") is not None or total is None or floor is None else (total, floor)
    labels = None if said.get("accuracy") is None else samples.y
    made = described(program, rule, exits, whole, labels, nominal)
    if rule.mode == "exact" and made["changed"]:
        first = int((exits.predictions != whole).argmax())
        return f"exact, and the answers of {amount_of(made['changed'], 'sample')} change, first of sample {first}", ""
    ends = f"{amount_of(len(whole), 'sample')}, mean {made['timesteps']['mean']:.2f} of {program.timesteps} timesteps"
    good = f"{ends}, {amount_of(made['changed'], 'answer')} changed"
    if number(said, ("samples",)) == len(whole):
        return _unlike(said, made), good
    kept = ("mode", "level", "margin", "chosen_on", "of_timesteps", "of_hardware_steps")
    problem = _unlike({name: said.get(name) for name in kept}, {name: made[name] for name in kept})
    return problem or _apart(said, made), f"{good}; the report's {number(said, ('samples',)) or 0:.0f} are not here"


def _replayed(program: Program, rule: Rule, samples: Samples) -> tuple[Exits, np.ndarray]:
    ends, whole = list[Exits](), list[np.ndarray]()
    torch = len(samples) * work_of(program) > TORCH_WORTH
    for trace, _ in runs(program, samples.x, lambda _done, _total: None, torch=torch):
        ends.append(stops(program, rule, trace.spikes))
        whole.append(trace.predictions)
    return joined(ends), np.concatenate(whole)


def _apart(said: Tree, made: Tree) -> str | None:
    """Of other samples than the report's: the share of answers that stay, where its interval and theirs do not meet."""
    low, high = wilson(made["samples"] - made["changed"], made["samples"])
    ends = said.get("stay_interval")
    read = ends if isinstance(ends, list) and all(type(end) in (int, float) for end in ends) else []
    if len(read) == 2 and read[0] <= high and low <= read[1]:
        return None
    return f"{low:.2%} .. {high:.2%} of the answers stay, the report says {str(ends)[:60]}"


def _unlike(said: Any, made: Any, path: str = "early_exit") -> str | None:
    """The first figure that is not what was made again."""
    if isinstance(made, Mapping):
        if not isinstance(said, Mapping):
            return f"{path} is no table; export again"
        return next(filter(None, (_unlike(said.get(k), v, f"{path}.{k}") for k, v in made.items())), None)
    if isinstance(made, list) and isinstance(said, list) and len(said) == len(made):
        return next(filter(None, (_unlike(a, b, path) for a, b in zip(said, made, strict=True))), None)
    numbers = all(type(value) in (int, float) for value in (said, made))
    if said == made or (numbers and abs(said - made) <= EQUAL * abs(made)):
        return None
    return f"{path} is {_shown(made)}, the report says {_shown(said)}"


def _shown(value: Any) -> str:
    return f"{value:.9g}" if type(value) in (int, float) else "nothing" if value is None else str(value)[:40]
