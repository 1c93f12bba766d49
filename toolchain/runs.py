"""Runs on disk: a folder with the resolved configuration, the genotype, the weights and everything exported.

``run.toml`` holds the configuration, seeds, versions and device, and what each finished stage says of itself. A
process that works on a run holds its lock; a second one is refused with the owner's pid and host.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import platform
import re
import socket
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import tomli_w

from hw_sim.errors import InvalidFileError, UsageError, brief, did_you_mean
from hw_sim.tables import parse_toml
from toolchain.files import JsonLines, write_text
from toolchain.narration import printable
from toolchain.staging import beside, clear

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
DEFAULT_DIRECTORY = "runs"
CONFIG_BYTES = 1 << 20
# What a search writes before anything else, and what a finished stage adds: {section: {key: type}}, '' the top level.
REQUIRED: dict[str, dict[str, type]] = {
    "": {"seed": int},
    "data": {"name": str},
    "method": {"name": str, "space": str, "backward": bool, "batch": int},
    "network": {},
    "train": {},
    "versions": {"device": str},
}
OPTIONAL: dict[str, dict[str, type]] = {
    "": {"name": str, "created_at": str, "command": str},
    "data": {"path": str, "sha256": str, "train": int},
    "method": {"candidates": int, "study": int, "proxy": str, "population": int, "generations": int},
    "search": {"seconds": float, "evaluations": int, "guards": int, "architecture": str},
    "training": {
        "seconds": float,
        "best_epoch": int,
        "validation_accuracy": float,
        "validation_sar": float,
        "device": str,
    },
    "transfer": {"genotype": str, "sha256": str},
}
NOUNS = {int: "a whole number", float: "a number", str: "a string", bool: "true or false", dict: "a table"}


def directory(option: Path | None) -> Path:
    """``--runs-dir``, else SNNAS_RUNS, else ./runs."""
    return option or Path(os.environ.get("SNNAS_RUNS") or DEFAULT_DIRECTORY)


@dataclass(frozen=True, slots=True)
class Run:
    """One run's folder."""

    path: Path

    @property
    def name(self) -> str:
        return self.path.name

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
        path = self.path / "run.toml"
        try:
            if path.stat().st_size > CONFIG_BYTES:
                raise InvalidFileError(f"{path}: {path.stat().st_size} bytes; at most {CONFIG_BYTES} are read")
            config = parse_toml(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise InvalidFileError(
                f"{path}: missing; {self.path} is not a run, or its search was killed at its start"
            ) from None
        except ValueError as error:  # TOML, UTF-8 and overlong numbers
            raise InvalidFileError(f"{path}: not TOML ({' '.join(str(error).split())[:120]})") from None
        for section, kinds in REQUIRED.items():
            self._check(config, section, None, dict)
            for key, kind in kinds.items():
                self._check(config, section, key, kind)
        for section, kinds in OPTIONAL.items():
            if section == "" or section in config:
                table = self._check(config, section, None, dict)
                for key in kinds.keys() & table.keys():
                    self._check(config, section, key, kinds[key])
        if config["seed"] < 0:
            raise InvalidFileError(f"{path}: seed is {config['seed']}, expected a whole number >= 0; mend it there")
        for name, value in config.items():
            try:
                json.dumps(value, allow_nan=False)
            except (TypeError, ValueError):  # TOML has dates, nan and inf, JSON none of them
                place = f"[{name}]" if isinstance(value, dict) else name
                raise InvalidFileError(f"{path}: {place} holds a date, nan or inf, which no run has; mend it") from None
        return config

    def _check(self, config: dict[str, Any], section: str, key: str | None, kind: type) -> Any:
        """``config[section][key]``, or the section where ``key`` is None; InvalidFileError where it is absent."""
        path, value = self.path / "run.toml", config if section == "" else config.get(section)
        if not isinstance(value, dict):
            raise InvalidFileError(f"{path}: [{section}] is {_brief(value)}, expected a table; {_MEND}")
        if key is None:
            return value
        value = value.get(key)
        # TOML's true is an int to Python, and 1 may stand for 1.0.
        if not isinstance(value, (int, float) if kind is float else kind) or isinstance(value, bool) != (kind is bool):
            place = f"[{section}] {key}" if section else key
            raise InvalidFileError(f"{path}: {place} is {_brief(value)}, expected {NOUNS[kind]}; {_MEND}")
        return value

    def value(self, section: str, key: str, kind: type) -> Any:
        """One value of run.toml; InvalidFileError where it is absent or of another type."""
        return self._check(self.config(), section, key, kind)

    def write_config(self, config: dict[str, Any]) -> None:
        write_text(self.path / "run.toml", as_toml(config))

    def section(self, name: str) -> dict[str, Any]:
        value = self.config().get(name, {})
        if not isinstance(value, dict):
            raise InvalidFileError(f"{self.path / 'run.toml'}: [{name}] is not a table")
        return value

    def network_json(self) -> str:
        return json.dumps(self.section("network"))

    @property
    def trained(self) -> bool:
        """Whether the weights are there and no training is under way, which may have written them a moment ago."""
        return self.weights.exists() and not (self.path / "checkpoint" / "state.safetensors").exists()

    def stage(self) -> str:
        """How far the run has come."""
        if self.report.exists():
            return "exported"
        if self.weights.exists():
            return "trained"
        return "searched" if self.genotype.exists() else "begun"

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Holds the run and clears away what killed processes left in it; UsageError names the process that has it."""
        with (self.path / ".lock").open("a+") as f:
            try:
                fcntl.flock(f, fcntl.LOCK_EX | fcntl.LOCK_NB)
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


def create(folder: Path, name: str | None, stem: str, files: Callable[[str], Mapping[str, str]]) -> Run:
    """A new run: ``name``, or the first free ``stem-001``, holding the texts that ``files`` gives of its name.

    It appears with all of them or not at all; an empty folder is taken over. UsageError where the name is taken or
    unusable.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if name is not None:
        if not NAME.fullmatch(name):
            raise UsageError(f"run name {name!r}: letters, digits, '.', '_' and '-' are taken, at most 100")
        if not _begin(folder / name, files):
            there = folder / name / "run.toml"
            how = f"continue it with --resume {name}" if there.is_file() else "remove that folder, which is no run"
            raise UsageError(f"run {name} exists in {folder}; choose another --name, or {how}")
        return Run(folder / name)
    stem = re.sub(r"[^A-Za-z0-9._-]", "-", stem).strip("-.")[:80] or "run"
    for number in range(1, 100_000):
        path = folder / f"{stem}-{number:03d}"
        if _begin(path, files):
            return Run(path)
    raise UsageError(f"{folder} holds 99,999 runs named {stem}-NNN; give a --name")


def _begin(path: Path, files: Callable[[str], Mapping[str, str]]) -> bool:
    """Makes the folder whole; False where another one, or a file, has the name."""
    if os.path.lexists(path) and not (path.is_dir() and not any(path.iterdir())):
        return False
    with contextlib.suppress(UsageError):  # another process is beginning a run of this name
        clear(path.parent, path.name)
    with beside(path) as stage:
        for name, text in files(path.name).items():
            write_text(stage / name, text)
        try:
            os.rename(stage, path)  # onto an empty folder too
        except OSError as error:
            if error.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                return False
            raise
    return True


def find(folder: Path, name: str | None) -> Run:
    """The run called ``name`` (or the folder of that path), or the newest one; UsageError where there is none."""
    if name is not None:
        for path in (folder / name, Path(name)):
            if (path / "run.toml").is_file():
                return Run(path.resolve())
        known = [r.name for r in every(folder)]
        there = ", ".join(known[:8]) + (f" and {len(known) - 8} more" if len(known) > 8 else "")
        hint = f"; there are {there}{did_you_mean(name, known)}" if known else "; make one with: snnas search"
        raise UsageError(f"no run {name!r} in {folder}{hint}")
    dated: list[tuple[str, Run]] = []
    damage: InvalidFileError | None = None
    for run in every(folder):
        try:
            dated.append((run.config().get("created_at", ""), run))
        except InvalidFileError as error:
            damage = error
            sys.stderr.write(f"note: run {printable(run.name)} is damaged and not looked at: {printable(str(error))}\n")
    if not dated:
        raise damage or UsageError(f"no run in {folder}; make one with: snnas search --dataset digits")
    return max(dated, key=lambda pair: pair[0])[1]


def every(folder: Path) -> list[Run]:
    """All runs of a folder, by name; hidden ones are being begun or removed."""
    return [Run(p.parent.resolve()) for p in sorted(folder.glob("*/run.toml")) if not p.parent.name.startswith(".")]


def _brief(value: Any) -> str:
    return "missing" if value is None else brief(value)


_MEND = "mend the file, or search again"


def fingerprint(device: str) -> dict[str, str]:
    """What the figures of a run depend on besides its seed.

    The number of threads and the instructions that torch uses decide the order of its sums, so the last bits of trained
    weights (measured: the digits trained with one thread and with two end 1.1 points apart in test accuracy).
    """
    versions = {"python": platform.python_version(), "machine": platform.machine(), "device": device}
    with contextlib.suppress(ImportError):
        import torch

        versions |= {"instructions": torch.backends.cpu.get_cpu_capability(), "threads": str(torch.get_num_threads())}
    for name in ("snnas", "numpy", "torch", "spikingjelly", "nir"):
        with contextlib.suppress(metadata.PackageNotFoundError):
            versions[name] = metadata.version(name)
    return versions


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
