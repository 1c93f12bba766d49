"""Runs on disk: a folder with the resolved configuration, the genotype, the weights and everything exported.

``run.toml`` holds the configuration, seeds, versions and device, and what each finished stage says of itself. A
process that works on a run holds its lock; a second one is refused with the owner's pid and host.
"""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import socket
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import tomli_w

from snnas.hw_sim.errors import InvalidFileError, UsageError, did_you_mean, printable
from snnas.hw_sim.files import read_text, write_text
from snnas.hw_sim.system_calls import take
from snnas.hw_sim.tables import parse_toml
from snnas.toolchain.results.reading import hold
from snnas.toolchain.runs.log import JsonLines
from snnas.toolchain.runs.pack import SUFFIX, unpack
from snnas.toolchain.runs.staging import clear

START = "start.safetensors"  # a copy of the weights that its training begins with, where it has been given some

DEFAULT_DIRECTORY = "runs"
FRONT = "front"  # folder of a run, whose folders are runs: the points of its front
CONFIG_BYTES = 1 << 20
MEND = "mend the file, or search again"


def directory(option: Path | None) -> Path:
    """``--runs-dir``, else SNNAS_RUNS, else ./runs."""
    return option or Path(os.environ.get("SNNAS_RUNS") or DEFAULT_DIRECTORY)


def meant_by(path: Path) -> str:
    """What a message says of a run where an export is wanted, by folder or name: its export; '' where it is none."""
    folder = (path / "run.toml").is_file()
    run = path if folder else directory(None) / path
    exports = sorted((path.parent for path in (run / "export").glob("*/manifest.json")), key=lambda p: p.name != "lava")
    if exports and (folder or not path.is_absolute()):
        return f"; it is a run, name its export: {exports[0]}"
    return f"; it is a run without an export: {shlex.join(['snnas', 'export', str(path)])}" if folder else ""


@dataclass(frozen=True, slots=True)
class Run:
    """One run's folder."""

    path: Path

    @property
    def name(self) -> str:
        """Of its folder; of a point of a front NAME/front/03, which commands take as well."""
        path = self.path
        return "/".join(path.parts[-3:]) if path.parent.name == FRONT else path.name

    @property
    def spoken(self) -> str:
        """What a command calls it: its name where commands look by default, else its folder."""
        return self.spoken_in(None)

    def spoken_in(self, runs_dir: Path | None) -> str:
        """Its name where a command that is given ``--runs-dir`` finds it there, else its folder."""
        return self.name if self.path.resolve() == directory(runs_dir).resolve() / self.name else str(self.path)

    @property
    def start(self) -> Path:
        """The weights that its training begins with; not there where they are drawn."""
        return self.path / START

    @property
    def genotype(self) -> Path:
        return self.path / "genotype.json"

    @property
    def weights(self) -> Path:
        return self.path / "weights.safetensors"

    @property
    def search_log(self) -> JsonLines:
        return JsonLines(self.path / "search.jsonl")

    @property
    def train_log(self) -> JsonLines:
        return JsonLines(self.path / "train.jsonl")

    @property
    def report(self) -> Path:
        return self.path / "report.json"

    @property
    def diagnosis(self) -> Path:
        return self.path / "diagnosis" / "diagnosis.json"

    def export(self, target: str) -> Path:
        return self.path / "export" / target

    def config(self) -> dict[str, Any]:
        """run.toml; InvalidFileError (exit 3) where it is damaged, or lacks what every run has."""
        from snnas.toolchain.results.records.run import RunFile

        path = self.path / "run.toml"
        try:
            config = parse_toml(read_text(path, CONFIG_BYTES))
        except FileNotFoundError:
            raise InvalidFileError(
                f"{path}: missing; {self.path} is not a run, or its search was killed at its start"
            ) from None
        except ValueError as error:  # TOML, UTF-8 and overlong numbers
            raise InvalidFileError(f"{path}: not TOML ({' '.join(str(error).split())[:120]})") from None
        for name, value in config.items():
            try:
                json.dumps(value, allow_nan=False)
            except (TypeError, ValueError):  # TOML has dates, nan and inf, JSON none of them
                place = f"[{name}]" if isinstance(value, dict) else name
                raise InvalidFileError(f"{path}: {place} holds a date, nan or inf, which no run has; mend it") from None
        hold(RunFile, config, str(path), MEND, toml=True)
        return config

    def write_config(self, config: dict[str, Any]) -> None:
        write_text(self.path / "run.toml", as_toml(config))

    def section(self, name: str) -> dict[str, Any]:
        """A table of run.toml; empty where it has none."""
        return dict(self.config().get(name, {}))

    def table(self, name: str) -> dict[str, Any]:
        """A table of run.toml that a finished stage adds; InvalidFileError where it is absent."""
        config = self.config()
        if name not in config:
            raise InvalidFileError(f"{self.path / 'run.toml'}: [{name}] is missing, expected a table; {MEND}")
        return dict(config[name])

    def network_json(self) -> str:
        return json.dumps(self.section("network"))

    @property
    def trained(self) -> bool:
        """Whether the weights are there and no training is under way, which may have written them a moment ago."""
        return self.weights.exists() and not (self.path / "checkpoint" / "state.safetensors").exists()

    @property
    def failure(self) -> str | None:
        """Why its search failed for good, so that going on with it would fail again; None where it did not."""
        return str(self.section("failed")["reason"]) if self.section("failed") else None

    def fail(self, reason: str) -> None:
        self.write_config({**self.config(), "failed": {"reason": reason}})

    def stage(self) -> str:
        """How far the run has come."""
        if self.report.exists():
            return "exported"
        if self.failure is not None:
            return "failed"
        if self.weights.exists():
            return "trained"
        return "searched" if self.genotype.exists() else "begun"

    def require_network(self, *, trained: bool = True) -> None:
        """UsageError where the run has no network yet, or with ``trained`` no weights: it says what gets there."""
        if not self.genotype.exists():
            if self.failure is not None:
                raise UsageError(f"run {self.name} has no network, its search failed ({self.failure})")
            raise UsageError(
                f"run {self.name} has no genotype yet; finish its search with: snnas search --resume {self.spoken}"
            )
        if trained and not self.weights.exists():
            raise UsageError(f"run {self.name} is not trained; train it with: snnas train {self.spoken}")

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Holds the run and clears away what killed processes left in it; UsageError names the process that has it."""
        with (self.path / ".lock").open("a+") as f:
            try:
                take(f)
            except BlockingIOError:
                f.seek(0)
                raise UsageError(
                    f"run {self.name} is being worked on by {f.read().strip() or 'another process'}"
                ) from None
            f.truncate(0)
            f.write(f"pid {os.getpid()} on {socket.gethostname()}")
            f.flush()
            for place in ("", "checkpoint", "export"):
                clear(self.path / place)
            yield


def as_toml(config: dict[str, Any]) -> str:
    """The text of a run.toml."""
    return tomli_w.dumps(config)


def find(folder: Path, name: str | None, *, having: str = "") -> Run:
    """The run called ``name``, or the newest one; UsageError where there is none.

    name: of a run in ``folder``, a run's own folder, or a packed run (.zip), which is unpacked into ``folder`` first.

    having: what the newest has to have, one of NEEDS; newer ones without it are passed over, and a note on stderr names
    them. Where none has it, the newest of all.
    """
    if name is not None and name.endswith(SUFFIX) and Path(name).is_file():
        return Run(unpack(Path(name), folder).resolve())
    if name is not None:
        for path in (folder / name, Path(name)):
            if (path / "run.toml").exists():  # a FIFO, too: what it is says whoever reads it
                return Run(path.resolve())
        known = [r.name for r in every(folder)]
        there = ", ".join(known[:8]) + (f" and {len(known) - 8} more" if len(known) > 8 else "")
        hint = f"; there are {there}{did_you_mean(name, known)}" if known else f"; {ELSEWHERE}"
        raise UsageError(f"no run {name!r} in {folder.absolute()}{hint}")
    dated: list[tuple[str, Run]] = []
    damage: InvalidFileError | None = None
    for run in every(folder):
        try:
            dated.append((run.config().get("created_at", ""), run))
        except InvalidFileError as error:
            damage = error
            sys.stderr.write(f"note: run {printable(run.name)} is damaged and not looked at: {printable(str(error))}\n")
    if not dated:
        raise damage or UsageError(f"no run in {folder.absolute()}; {ELSEWHERE}")
    newest_first = [run for _, run in sorted(dated, key=lambda pair: pair[0], reverse=True)]
    place = next((at for at, run in enumerate(newest_first) if NEEDS[having](run)), 0)
    if place:
        newer = ", ".join(f"{run.name} ({run.stage()})" for run in newest_first[:place])
        taken = f"run {newest_first[place].name} is taken; newer, without {having}: {newer}"
        sys.stderr.write(f"note: {printable(taken)}\n")
    return newest_first[place]


def every(folder: Path) -> list[Run]:
    """All runs of a folder, by name; hidden ones are being begun or removed."""
    return [Run(p.parent.resolve()) for p in sorted(folder.glob("*/run.toml")) if not p.parent.name.startswith(".")]


NEEDS: dict[str, Callable[[Run], bool]] = {
    "": lambda run: True,
    "a genotype": lambda run: run.genotype.exists(),
    "weights": lambda run: run.trained and run.failure is None,
    "a report": lambda run: run.report.exists(),
    "a program": lambda run: any(run.path.glob("export/*/program.npz")),
}
ELSEWHERE = "look elsewhere with --runs-dir or SNNAS_RUNS, or make one with: snnas search --dataset digits"


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
