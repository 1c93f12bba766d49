"""The campaign of bad machines: ``python -m tests.faults.machines --out DIR``.

Disks that are full or read-only, memory that ends, a missing Python 3.10, Lava workers that hang, die, lie or flood:
each command must end with one line and its documented code, leave nothing behind, and give the right result once the
machine is whole again. ``DIR/machines.jsonl`` has a line per fault, and what stands there is not done again. Exit 1
where there is a defect.
"""

from __future__ import annotations

import argparse
import contextlib
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from snnas.toolchain.runs.log import JsonLines
from tests.faults import kill, visible
from tests.faults.kill import Ground, Undisturbed
from tests.faults.lava_workers import WORKERS, write_worker
from tests.faults.processes import Ended, Launcher, shared_memory
from tests.faults.scenarios import NAME

SHARES = (0.0, 0.02, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99)  # of the space that a command needs
MIB, PAGE = 1 << 20, 4096
ADDRESS_SPACE = (64, 128, 256, 384, 512, 768, 1024, 1536, 2048, 3072)  # MiB
LIMIT = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What is expected of a command. codes: one of these; 0 where it may not be felt. words: in its last line.

    others: what libraries that end the process themselves say, by their code.
    """

    name: str
    codes: tuple[int, ...]
    words: str = ""
    others: Mapping[int, str] = field(default_factory=dict)


def judge(fault: Fault, ended: Ended) -> list[str]:
    """What is wrong with how a command ended."""
    found = list(ended.problems)
    lines = ended.err.splitlines()
    if ended.code not in (*fault.codes, *fault.others):
        found.append(f"code {ended.code}, expected {fault.codes}: {ended.err.strip()[-300:]}")
    elif ended.code:
        if fault.others.get(ended.code, "\0") in ended.err:
            return found
        if len(lines) != 1 or not lines[0].startswith("snnas: ") or "fault of snnas" in lines[0]:
            found.append(f"words: {ended.err.strip()[-300:]!r}")
        if not re.search(fault.words, lines[-1] if lines else ""):
            found.append(f"words: {ended.err.strip()[-300:]!r}, expected {fault.words!r}")
    return found


class Campaign:
    """Faults are injected one by one; what is recorded already is not injected again."""

    def __init__(self, out: Path, launcher: Launcher) -> None:
        self.out, self.launcher = out, launcher
        self.log = JsonLines(out / "machines.jsonl")
        self.log.mend()
        self.done = {record["fault"] for record in self.log.read()}
        self.grounds: dict[str, tuple[Ground, Undisturbed]] = {}
        self.needed: dict[str, int] = {}  # bytes that the command adds

    def ground(self, name: str) -> tuple[Ground, Undisturbed]:
        """A scenario of the kill campaign, prepared once."""
        if name not in self.grounds:
            ground = Ground(name, self.out, self.launcher)
            self.grounds[name] = (ground, ground.prepare())
            self.needed[name] = _used(ground.root) - _used(ground.base) + 8 * PAGE
        return self.grounds[name]

    def inject(self, command: str, fault: Fault, *, whole: bool = True, **orders: Any) -> None:
        """One command under one fault, then once more without. whole: the second gives the undisturbed result."""
        name = f"{command}: {fault.name}"
        if name in self.done:
            return
        ground, alone = self.ground(command)
        arguments = (*ground.scenario.first, *orders.pop("more", ()))
        if orders.pop("fresh", True):
            ground.reset()
        before = shared_memory()
        ended = ground.run(arguments, cold=True, limit=LIMIT, **orders)
        killed = ended.code in fault.others
        defects = [*judge(fault, ended), *kill.left(ground, before, killed=killed, lava="--python" in arguments)]
        defects += self.mended(ground, alone) if whole else []
        self.record(name, ended, defects)

    def mended(self, ground: Ground, alone: Undisturbed) -> list[str]:
        """The machine is whole again."""
        again = ground.run(ground.scenario.again(ground.root), cold=False, limit=LIMIT)
        lost = visible.difference(alone.outcome, visible.outcome(ground.root / NAME))
        good = again.code == 0 or (again.code == 2 and "is trained" in again.err)
        return [*([] if good else [f"then code {again.code}: {again.err[-200:]}"]), *([f"then {lost}"] if lost else [])]

    def record(self, name: str, ended: Ended, defects: list[str]) -> None:
        line = (ended.err.strip().splitlines() or [""])[-1]
        self.log.append(
            {
                "fault": name,
                "code": ended.code,
                "line": line[:300],
                "seconds": round(ended.seconds, 2),
                "defects": defects,
            }
        )
        print(f"{name}: code {ended.code}: {line[:160]}", *defects, sep="\n  DEFECT ", flush=True)

    # ------------------------------------------------------------------------------------------------------- disks

    def full_disks(self) -> None:
        """A small tmpfs with less space than the command needs; without the right to mount one, no file over a size."""
        mounts = may_mount(self.out)
        for command in ("search", "train", "export", "re-export"):
            ground, _ = self.ground(command)
            for share in SHARES:
                fault = Fault(
                    name=f"disk with {share:.0%} of the space", codes=(0, 74), words="No space left|too large"
                )
                if f"{command}: {fault.name}" in self.done:
                    continue
                if not mounts:
                    size = int(share * max(p.stat().st_size for p in ground.root.rglob("*") if p.is_file()))
                    self.inject(command, fault, limits=(("RLIMIT_FSIZE", size),))
                    continue
                ground.reset()
                with tmpfs(ground.root, ground.base, free=int(share * self.needed[command])) as filler:
                    before = shared_memory()
                    ended = ground.run(ground.scenario.first, cold=True, limit=LIMIT)
                    defects = [*judge(fault, ended), *kill.left(ground, before, killed=False, lava=False)]
                    filler.unlink()
                    defects += self.mended(*self.ground(command))
                self.record(f"{command}: {fault.name}", ended, defects)
        for size in (800, 2000, 6000, 20_000):  # the line that says so must fit
            fault = Fault(name=f"no file over {size} bytes", codes=(0, 74), words="too large")
            for command in ("search", "train", "export"):
                self.inject(command, fault, limits=(("RLIMIT_FSIZE", size),))

    def read_only(self) -> None:
        """A folder of runs that cannot be written: mounted so, or another user's."""
        if may_mount(self.out):
            for command, codes in (("search", (74,)), ("train", (74,)), ("export", (74,)), ("simulate", (0,))):
                ground, _ = self.ground(command)
                if f"{command}: read-only folder" not in self.done:
                    ground.reset()
                    with tmpfs(ground.root, ground.base, free=MIB):
                        subprocess.run(["mount", "-o", "remount,ro", str(ground.root)], check=True)
                        fault = Fault(name="read-only folder", codes=codes, words="Read-only file system")
                        self.inject(command, fault, whole=False, fresh=False)
        for command in ("search", "train", "export"):
            ground, _ = self.ground(command)
            ground.reset()
            folders = [path for path in (ground.root, *ground.root.rglob("*")) if path.is_dir()]
            for path in folders:
                path.chmod(0o555)
            fault = Fault(name="folder without the right to write", codes=(2,), words="Permission denied")
            self.inject(command, fault, powerless=True, fresh=False, whole=False)
            for path in folders:
                path.chmod(0o755)

    # ------------------------------------------------------------------------------------------------------ memory

    def memory(self) -> None:
        """Less and less address space. C++ and OpenBLAS may end the process in ways of their own."""
        for command in ("search", "train", "export", "simulate"):
            for size in ADDRESS_SPACE:
                others = {-int(signal.SIGABRT): "bad_alloc", 1: "OpenBLAS error"}
                name = f"{size} MiB of address space"
                words = "out of memory|the process that reads HDF5 does not start"
                fault = Fault(name=name, codes=(0, 4, 70), words=words, others=others)
                self.inject(command, fault, limits=(("RLIMIT_AS", size * MIB),))

    # -------------------------------------------------------------------------------------------------------- Lava

    def no_python(self) -> None:
        """No Python 3.10 anywhere."""
        nothing = (("PATH", ""), ("HOME", "/nowhere"), ("SNNAS_LAVA_PYTHON", ""), ("SNNAS_LAVA_ENV", "/nowhere/lava"))
        self.inject("export", Fault(name="no Python 3.10", codes=(0,)), environment=nothing, whole=False)
        fault = Fault(name="no Python 3.10, --require-lava", codes=(4,), words="no Lava environment.*snnas lava setup")
        self.inject("export", fault, environment=nothing, more=("--require-lava",))
        fault = Fault(name="SNNAS_LAVA_PYTHON is no program", codes=(4,), words="not an executable file")
        self.inject("export", fault, environment=(("SNNAS_LAVA_PYTHON", "/nowhere"),), more=("--require-lava",))

    def workers(self) -> None:
        """Lava workers that misbehave, within an export that already stands and must stay."""
        ground, _ = self.ground("export")
        for name, (body, code, words) in WORKERS.items():
            python = write_worker(ground.folder / "python", body)
            fault = Fault(name=f"a worker that {name}", codes=(code,), words=words)
            more = ("--python", str(python), "--timeout", "4", "--require-lava")
            self.inject("export", fault, more=more)


def may_mount(out: Path) -> bool:
    """Whether a tmpfs can be mounted."""
    place = out / "mount"
    place.mkdir(exist_ok=True)
    good = (
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(place)], capture_output=True, check=False).returncode == 0
    )
    if good:
        subprocess.run(["umount", str(place)], check=True)
    return good


@contextlib.contextmanager
def tmpfs(place: Path, base: Path, *, free: int) -> Iterator[Path]:
    """``place`` is a small disk that holds ``base`` and has ``free`` bytes left; yields what fills the rest."""
    shutil.rmtree(place)
    place.mkdir()
    size = _used(base) + max(free, 0) + 8 * MIB
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place)], check=True)
    try:
        shutil.copytree(base, place, dirs_exist_ok=True)
        filler = place / ".filler"
        there = shutil.disk_usage(place).free
        filler.write_bytes(bytes(max(0, there - free)))
        yield filler
    finally:
        subprocess.run(["umount", str(place)], check=True)


def _used(folder: Path) -> int:
    """Bytes in pages, as a tmpfs counts them."""
    return sum(-(-path.stat().st_size // PAGE) * PAGE for path in folder.rglob("*") if path.is_file())


def main(arguments: Sequence[str] | None = None) -> int:
    parts = ("full_disks", "read_only", "memory", "no_python", "workers")
    parser = argparse.ArgumentParser(prog="tests.faults.machines", description=__doc__)
    parser.add_argument("--part", default="all", choices=["all", *parts])
    parser.add_argument("--out", type=Path, default=Path("faults.out"))
    given = parser.parse_args(arguments)
    given.out.mkdir(parents=True, exist_ok=True)
    campaign = Campaign(given.out, Launcher())
    for part in parts if given.part == "all" else [given.part]:
        getattr(campaign, part)()
    records = campaign.log.read()
    bad = [record for record in records if record["defects"]]
    codes = sorted({str(record["code"]) for record in records})
    counts = ", ".join(f"exit {code}: {sum(str(r['code']) == code for r in records)}" for code in codes)
    print(f"{len(records)} faults ({counts}), {len(bad)} with a defect")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
