"""The kill campaign: ``python -m tests.faults.kill --command search --kills 50 --out DIR``.

Each kill begins from the same files, ends a command by SIGKILL, SIGTERM or SIGINT, in turn, at a moment drawn over its
whole duration or at one of its file events, looks at what is left, goes on, and compares the result with that of an
undisturbed run. It goes on where it was ended: ``DIR/kills.jsonl`` has a line per kill. Exit 1 where something is lost.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from snnas.toolchain.data.seeds import stream
from snnas.toolchain.runs.log import JsonLines
from tests.faults import processes, visible
from tests.faults.processes import TOKEN, Ended, Launcher
from tests.faults.scenarios import NAME, SCENARIOS, Scenario
from tests.faults.victim import Orders

SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
COLD_EVERY = 10  # of the kills that may be warm
# What torch and onnxruntime keep in TMPDIR as soon as they are imported: compiled code, a session's number.
THEIRS = re.compile(r"torchinductor_.*|\.ses")
BY_EVENT = 0.6  # of the kills, where there are such events
# Of CPU time, warm and cold: before the first module of ours is there, Python itself answers a signal.
EARLY_SECONDS = (0.05, 0.2)
HANGS = 20.0  # times the undisturbed duration


@dataclass(frozen=True, slots=True)
class Undisturbed:
    """What a command does when it is left alone. seconds, used (of CPU time): by cold or not."""

    outcome: dict[str, Any]
    out: Any
    events: int
    seconds: dict[bool, float]
    used: dict[bool, float]


class Ground:
    """The folders of one scenario: what it begins from, and where it is killed."""

    def __init__(self, name: str, out: Path, launcher: Launcher) -> None:
        self.name, self.scenario, self.launcher = name, SCENARIOS[name], launcher
        self.folder = (out / "work" / name).resolve()
        self.root, self.base, self.temporary = (self.folder / part for part in ("runs", "base", "tmp"))

    def prepare(self) -> Undisturbed:
        """Make the files that every kill begins from, and one undisturbed run; with a process of each kind."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.root.mkdir(parents=True)
        for arguments in self.scenario.base:
            self._good(self.run(arguments, cold=False, limit=600))
        shutil.copytree(self.root, self.base)
        found, seconds, used = [], {}, {}
        for cold in (True,) if self.scenario.cold else (True, False, False):
            self.reset()
            ended = self._good(self.run(self.scenario.first, cold=cold, limit=600))
            found.append((visible.outcome(self.root / NAME), self.said(ended)))
            # The first warm one has more to do, and a moment behind the end is a kill lost.
            seconds[cold], used[cold] = ended.seconds, min(ended.used, used.get(cold, ended.used))
        if found[0] != found[-1]:
            why = visible.difference(found[0][0], found[-1][0]) or "on stdout"
            raise SystemExit(f"{self.name} gives two results undisturbed: {why}")
        events = int((self.folder / "count").read_text())
        return Undisturbed(*found[0], events, seconds, used)

    def said(self, ended: Ended) -> Any:
        """The result on stdout of what writes no file."""
        return json.loads(ended.out) if self.scenario.first[0] == "simulate" else None

    def reset(self) -> None:
        """Begin from the base again."""
        shutil.rmtree(self.root, ignore_errors=True)
        shutil.copytree(self.base, self.root)
        shutil.rmtree(self.temporary, ignore_errors=True)
        self.temporary.mkdir()

    def run(self, arguments: Sequence[str], *, cold: bool, limit: float, **more: Any) -> Ended:
        """One process; more: of Orders, or ``moment``."""
        moment = more.pop("moment", None)
        self.temporary.mkdir(exist_ok=True)
        words = [str(self.root / word) if word.startswith(f"{NAME}/") else word for word in arguments]
        where = () if words[0] == "simulate" else ("-q", "--runs-dir", str(self.root))
        no_lava = () if self.scenario.lava else (("SNNAS_LAVA_PYTHON", "/nowhere"),)
        orders = Orders(
            arguments=(*words, *where),
            root=str(self.root),
            temporary=str(self.temporary),
            out=str(self.folder / "out"),
            err=str(self.folder / "err"),
            count=str(self.folder / "count"),
            environment=((TOKEN, self.token), *no_lava, *more.pop("environment", ())),
        )
        return self.launcher.run(replace(orders, **more), cold=cold, limit=limit, moment=moment)

    @property
    def token(self) -> str:
        return str(self.folder)

    def _good(self, ended: Ended) -> Ended:
        if ended.code != 0 or ended.problems:
            raise SystemExit(f"{self.name}: undisturbed, code {ended.code}: {ended.problems} {ended.err[-2000:]}")
        return ended


def kill_once(ground: Ground, alone: Undisturbed, number: int, seed: int) -> dict[str, Any]:
    """One kill and what came of it: a record whose "defects" is empty where all is well."""
    scenario = ground.scenario
    rng = stream(seed, f"kill {ground.name} {number}")
    which = SIGNALS[number % len(SIGNALS)]
    cold = scenario.cold or number % COLD_EVERY == COLD_EVERY - 1
    by_event = alone.events > 0 and bool(rng.random() < BY_EVENT)
    at = int(rng.integers(1, alone.events + 1)) if by_event else 0
    moment = None if by_event else float(rng.random() * alone.used[cold])
    torn = by_event and which is signal.SIGKILL and bool(rng.random() < 0.5)
    ground.reset()
    before = processes.shared_memory()
    limit = 60 + HANGS * max(alone.seconds.values())
    orders = {"at": at, "number": int(which), "torn": torn, "seed": number}
    ended = ground.run(scenario.first, cold=cold, limit=limit, moment=moment, **orders)
    lava = scenario.lava
    defects = [*ended.problems, *_ending(ended, which, cold)]
    defects += left(ground, before, killed=which is signal.SIGKILL, lava=lava)
    again = ground.run(scenario.again(ground.root), cold=False, limit=limit)
    done = "is trained" in again.err and scenario.first[0] == "train" and again.code == 2
    if again.code != 0 and not done:
        defects.append(f"gone on with, code {again.code}: {again.err.strip()[-300:]}")
    defects += [f"then {problem}" for problem in [*again.problems, *left(ground, before, killed=False, lava=lava)]]
    lost = visible.difference(alone.outcome, visible.outcome(ground.root / NAME))
    said = ground.said(again) if again.code == 0 else alone.out
    if lost or said != alone.out:
        defects.append(f"another result: {lost or 'on stdout'}")
    return {
        "command": ground.name,
        "number": number,
        "seed": seed,
        "signal": which.name,
        "cold": cold,
        "at": f"{'torn ' if torn else ''}event {at}" if by_event else f"{moment:.3f} s of CPU time",
        "code": ended.code,
        "seconds": round(ended.seconds, 3),
        "again_seconds": round(again.seconds, 3),
        "defects": defects,
    }


def _ending(ended: Ended, which: signal.Signals, cold: bool) -> list[str]:
    """What is wrong with code and words."""
    if ended.code is None or ended.code == 0:
        return []
    if which is signal.SIGKILL:
        return [] if ended.code == -which else [f"code {ended.code} of SIGKILL"]
    lines = ended.err.splitlines()
    if ended.used < EARLY_SECONDS[cold] and ended.code in (-which, 130):
        return []
    if ended.code != 130:
        return [f"code {ended.code} of {which.name}, expected 130: {ended.err.strip()[-200:]}"]
    return [] if len(lines) == 1 and lines[0].startswith("snnas: ") else [f"words of {which.name}: {ended.err[:300]!r}"]


def left(ground: Ground, shared: set[str], *, killed: bool, lava: bool) -> list[str]:
    """What is left that should not be: SIGKILL leaves temporary names to the next process.

    lava: whether shared memory is looked at; other work on the machine has segments too, which come and go.
    """
    found = [f"partial: {p}" for path in visible.files(ground.root) if (p := visible.problem(path))]
    found += [f"left alive: {name}" for name in processes.left_alive(ground.token)]
    if lava:
        found += [f"left in /dev/shm: {name}" for name in sorted(processes.left_shared(shared))]
    if not killed:
        found += [f"left: {name}" for name in visible.temporaries(ground.root)]
        there = [path.name for path in sorted(ground.temporary.iterdir()) if not THEIRS.fullmatch(path.name)]
        found += [f"left in TMPDIR: {name}" for name in there]
    return found


def run(name: str, kills: int, out: Path, launcher: Launcher, *, seed: int = 0) -> None:
    """All kills of a scenario that are not done yet."""
    log = JsonLines(out / "kills.jsonl")
    log.mend()
    done = {record["number"] for record in log.read() if (record["command"], record["seed"]) == (name, seed)}
    if set(range(kills)) <= done:
        return
    ground = Ground(name, out, launcher)
    alone = ground.prepare()
    for number in sorted(set(range(kills)) - done):
        record = kill_once(ground, alone, number, seed)
        if record["defects"]:
            kept = out / "found" / f"{name}-{number}"
            shutil.rmtree(kept, ignore_errors=True)
            shutil.copytree(ground.folder, kept, symlinks=True)
        log.append(record)
    shutil.rmtree(ground.folder, ignore_errors=True)


def summarise(out: Path) -> list[str]:
    """One line per command, and one per defect."""
    records = JsonLines(out / "kills.jsonl").read()
    lines = []
    for name in dict.fromkeys(record["command"] for record in records):
        mine = [record for record in records if record["command"] == name]
        counts = {s.name: sum(r["signal"] == s.name for r in mine) for s in SIGNALS}
        events, torn = (sum(word in r["at"] for r in mine) for word in ("event", "torn"))
        late, bad = sum(r["code"] == 0 for r in mine), sum(bool(r["defects"]) for r in mine)
        hangs = sum("hangs" in defect for r in mine for defect in r["defects"])
        minutes = sum(r["seconds"] + r["again_seconds"] for r in mine) / 60
        lines.append(
            f"{name}: {len(mine)} kills ({', '.join(f'{v} {k}' for k, v in counts.items())}; {events} at file events, "
            f"{torn} torn; {late} came after the end), {bad} with a defect, {hangs} hangs, {minutes:.1f} min"
        )
        lines += [f"  {name} {r['number']} ({r['signal']}, {r['at']}): {d}" for r in mine for d in r["defects"]]
    return lines


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="tests.faults.kill", description=__doc__)
    parser.add_argument("--command", default="all", choices=["all", *SCENARIOS])
    parser.add_argument("--kills", type=int, help="of each command [its own number]")
    parser.add_argument("--out", type=Path, default=Path("faults.out"))
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args(arguments)
    given.out.mkdir(parents=True, exist_ok=True)
    launcher = Launcher()
    for name in SCENARIOS if given.command == "all" else [given.command]:
        scenario: Scenario = SCENARIOS[name]
        run(name, given.kills or scenario.kills, given.out, launcher, seed=given.seed)
    lines = summarise(given.out)
    print("\n".join(lines), flush=True)
    return 1 if any(line.startswith("  ") for line in lines) else 0


if __name__ == "__main__":
    sys.exit(main())
