"""SN314: what an export claims of its early exit, made again on the samples that it holds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from snnas.hw_sim.early_exit import Exits, Rule, joined, rule_of, stops
from snnas.hw_sim.program import Program
from snnas.toolchain.checking.findings import Book, amount_of
from snnas.toolchain.checking.made import number
from snnas.toolchain.checking.remake import TORCH_WORTH, affordable, work_of
from snnas.toolchain.checking.said import EQUAL, unlike
from snnas.toolchain.checking.samples import Samples
from snnas.toolchain.data.statistics import wilson
from snnas.toolchain.exporting.early_exit import described, energy_of, hardware_steps
from snnas.toolchain.exporting.on_target import runs

Tree = Mapping[str, Any]
PLACE = "early_exit"  # in report.json
COUNTED = (("samples",), ("changed",), ("early",), ("timesteps", "mean"))


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
    made = described(program, rule, exits, whole, samples.y, nominal)
    if rule.mode == "exact" and made["changed"]:
        first = int((exits.predictions != whole).argmax())
        return f"exact, and the answers of {amount_of(made['changed'], 'sample')} change, first of sample {first}", ""
    ends = f"{amount_of(len(whole), 'sample')}, mean {made['timesteps']['mean']:.2f} of {program.timesteps} timesteps"
    good = f"{ends}, {amount_of(made['changed'], 'answer')} changed"
    if number(said, ("samples",)) == len(whole):
        return unlike(said, made, PLACE), good
    kept = ("mode", "level", "margin", "chosen_on", "of_timesteps", "of_hardware_steps")
    problem = unlike(said, {name: made[name] for name in kept}, PLACE)
    problem = problem or _torn(program, said, number(report, ("accuracy", "samples")), nominal) or _apart(said, made)
    return problem, f"{good}; the report's {number(said, ('samples',)) or 0:.0f} are not here"


def _replayed(program: Program, rule: Rule, samples: Samples) -> tuple[Exits, np.ndarray]:
    ends, whole = list[Exits](), list[np.ndarray]()
    torch = len(samples) * work_of(program) > TORCH_WORTH
    for trace, *_ in runs(program, samples.x, torch=torch):
        ends.append(stops(program, rule, trace.spikes))
        whole.append(trace.predictions)
    return joined(ends), np.concatenate(whole)


def _torn(program: Program, said: Tree, tested: float | None, nominal: tuple[float, float] | None) -> str | None:
    """Of samples that are not here: what the claim's own figures contradict. tested: samples of the report."""
    samples, changed, early, mean = (number(said, path) for path in COUNTED)
    if samples is None or changed is None or early is None or mean is None:
        return "early_exit lacks samples, changed, early or the mean of its timesteps; export again"
    if samples != tested or not max(changed, early) <= samples or min(changed, early) < 0:
        return f"early_exit is of {samples:.0f} samples, {changed:.0f} changed, {early:.0f} early, of {tested or 0:.0f}"
    if said["mode"] == "exact" and changed:
        return f"exact, and the report says that {changed:.0f} answers change"
    steps = hardware_steps(program, mean)
    follows = {
        "stay_interval": list(wilson(int(samples - changed), int(samples))),
        **steps,
        "energy_uJ": energy_of(steps, nominal),
    }
    return unlike(said, follows, PLACE)


def _apart(said: Tree, made: Tree) -> str | None:
    """Of samples that are not here: which share or mean cannot be that of the samples that are, by 95 % intervals."""
    samples, here = int(number(said, ("samples",)) or 0), made["samples"]
    stay = wilson(here - made["changed"], here)
    if not _meet(said["stay_interval"], stay):
        return f"{stay[0]:.2%} .. {stay[1]:.2%} of the answers stay, the report says {said['stay_interval']}"
    if made["accuracy"] is not None:
        right = number(said, ("accuracy",)) or 0.0
        own = wilson(round(made["accuracy"] * here), here)
        if not 0 <= right <= 1 or not _meet(wilson(round(right * samples), samples), own):
            return f"{own[0]:.2%} .. {own[1]:.2%} are right, the report says {right:.2%}"
    interval, mean = said["timesteps"].get("interval"), number(said, ("timesteps", "mean"))
    if not _meet(interval, made["timesteps"]["interval"]) or not _meet(interval, [mean, mean]):
        low, high = made["timesteps"]["interval"]
        return f"{low:.4g} .. {high:.4g} timesteps on average, the report says {mean} in {str(interval)[:60]}"
    return None


def _meet(one: Any, other: Any) -> bool:
    """Whether two intervals, the first of a report, have a value in common."""
    if not isinstance(one, list | tuple) or len(one) != 2 or any(type(end) not in (int, float) for end in one):
        return False
    return bool(one[0] - EQUAL <= other[1] and other[0] <= one[1] + EQUAL)
