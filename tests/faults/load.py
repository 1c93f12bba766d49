"""The load campaign: ``python -m tests.faults.load --part search --out DIR``.

A search of 10,000 evaluations, 1,000 runs listed, a program of a million neurons, 1,000 timesteps: time, peak memory,
its growth while the work goes on, and the longest silence of its progress. 100 runs and
100 exports side by side. ``DIR/load.jsonl`` has a line per command.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from snnas.export.formats.program_file import write_program
from snnas.hw_sim.program import HostMap, LinearMap, Population, Program, Schedule, Synapse
from snnas.hw_sim.readout import summed
from snnas.toolchain.runs.log import JsonLines
from tests.faults.processes import ROOT, Launcher
from tests.faults.victim import Orders

TINY = (
    "--dataset",
    "digits",
    "--channels",
    "1",
    "--hidden",
    "4",
    "-T",
    "2",
    "--data",
    "train_limit=100",
    "--batch",
    "4",
)
PAUSE = 0.25
PAGE_MIB = os.sysconf("SC_PAGE_SIZE") / (1 << 20)


def measured(name: str, out: Path, arguments: Sequence[str], *, codes: Sequence[int] = (0,)) -> dict[str, Any]:
    """One command, watched: its record, which is also added to the log."""
    log = out / "load.err"
    lines: list[float] = []
    begun = time.monotonic()
    with log.open("w") as text, (out / "load.out").open("w") as said:
        process = subprocess.Popen(
            [sys.executable, "-m", "snnas", *arguments],
            cwd=ROOT,
            stdout=said,
            stderr=subprocess.PIPE,
            env={**os.environ, "SNNAS_LAVA_PYTHON": "/nowhere", "PYTHONUNBUFFERED": "1"},
            text=True,
        )

        def listen() -> None:
            assert process.stderr is not None
            for line in process.stderr:
                lines.append(time.monotonic())
                text.write(line)

        listener = threading.Thread(target=listen)
        listener.start()
        memory: list[float] = []
        while True:
            pid, status, usage = os.wait4(process.pid, os.WNOHANG)
            if pid:
                break
            memory += [mib for mib in (resident_mib(process.pid),) if mib]
            time.sleep(PAUSE)
        listener.join()
        assert process.stderr is not None
        process.stderr.close()
    process.returncode = os.waitstatus_to_exitcode(status)
    ends = [begun, *lines, time.monotonic()]
    record = {
        "what": name,
        "code": process.returncode,
        "seconds": round(ends[-1] - begun, 1),
        "cpu_seconds": round(usage.ru_utime + usage.ru_stime, 1),
        "peak_mib": round(usage.ru_maxrss / 1024),
        # At a quarter, a half, three quarters and the end of the work.
        "mib_on_the_way": [round(memory[k * (len(memory) - 1) // 4]) for k in range(1, 5)] if memory else [],
        "longest_silence_seconds": round(max(b - a for a, b in pairwise(ends)), 1),
        "as_expected": process.returncode in codes,
    }
    if not record["as_expected"]:
        record["said"] = log.read_text()[-300:]
    return record


def resident_mib(pid: int) -> float:
    """What a process holds now; 0 where it is gone."""
    try:
        return int(Path("/proc", str(pid), "statm").read_text().split()[1]) * PAGE_MIB
    except OSError:
        return 0.0


def search(out: Path, count: int) -> list[dict[str, Any]]:
    """A search of more than ``count`` evaluations, and the same again from nothing but its log."""
    folder = out / "load-runs"
    shutil.rmtree(folder, ignore_errors=True)
    at = ("--no-train", "--verbose", "--runs-dir", str(folder))
    # Of the draws less than a half are another network than one before.
    draws = ("--method", "snasnet", "--backward", "--candidates", str(5 * count // 2), "--name", "v")
    first = measured("search", out, ["search", *TINY, *draws, *at])
    run = folder / "v"
    evaluations = sum(record["event"] == "evaluation" for record in JsonLines(run / "search.jsonl").read())
    first |= {"what": f"search of {evaluations:,} evaluations", "log_bytes": (run / "search.jsonl").stat().st_size}
    found = (run / "genotype.json").read_bytes()
    (run / "genotype.json").unlink()
    again = measured(f"the same, from {evaluations:,} records", out, ["search", "--resume", "v", *at])
    again["as_expected"] = bool(again["as_expected"]) and (run / "genotype.json").read_bytes() == found
    return [first, again]


def runs(out: Path, count: int) -> list[dict[str, Any]]:
    """``count`` runs, listed."""
    folder = out / "load-runs"
    shutil.rmtree(folder, ignore_errors=True)
    made = measured(
        "one run",
        out,
        ["search", "--method", "lightsnn", *TINY, "--epochs", "1", "--name", "v", "--runs-dir", str(folder)],
    )
    exported = measured("its export", out, ["export", "v", "--samples", "2", "--runs-dir", str(folder)])
    assert made["code"] == exported["code"] == 0, (made, exported)
    for number in range(1, count):
        shutil.copytree(folder / "v", folder / f"v-{number:04d}")
    at = ("--runs-dir", str(folder))
    return [
        measured(f"{count:,} runs listed", out, ["runs", *at]),
        measured(f"{count:,} runs listed as JSON", out, ["runs", "--json", *at]),
        measured(f"the newest of {count:,} runs shown", out, ["runs", "show", *at]),
        measured(f"a run of {count:,} that is not there", out, ["report", "nobody", *at], codes=(2,)),
        measured(
            f"a run begun beside {count:,}",
            out,
            ["search", "--method", "lightsnn", *TINY, "--epochs", "1", "--no-train", *at],
        ),
    ]


def neurons(out: Path, count: int) -> list[dict[str, Any]]:
    """A program of ``count`` neurons: one sample run, priced, mapped."""
    side = 128
    path, data = out / "million.npz", out / "million-data.npz"
    write_program(path, layers(channels=max(1, count // 2 // side**2), side=side, timesteps=4))
    np.savez(data, x=np.random.default_rng(0).random((1, 2, side, side)).astype(np.float32), y=np.zeros(1, np.int64))
    simulate = ["simulate", str(path), "--data", str(data)]
    return [
        measured(f"{count:,} neurons: one sample simulated", out, simulate),
        measured(
            f"{count:,} neurons: estimated at a rate", out, ["estimate", str(path), "--rate", ".05"], codes=(0, 4)
        ),
        measured(
            f"{count:,} neurons: estimated on a sample", out, ["estimate", str(path), "--data", str(data)], codes=(0, 4)
        ),
    ]


def timesteps(out: Path, count: int) -> list[dict[str, Any]]:
    """``count`` timesteps: a program run on many samples; a search, its training and its export."""
    path, data, folder = out / "long.npz", out / "long-data.npz", out / "load-runs"
    write_program(path, layers(channels=8, side=16, timesteps=count))
    np.savez(data, x=np.random.default_rng(0).random((64, 2, 16, 16)).astype(np.float32), y=np.zeros(64, np.int64))
    shutil.rmtree(folder, ignore_errors=True)
    small = ["--dataset", "digits", "--channels", "2", "--hidden", "16", "--batch", "16", "--epochs", "2"]
    at = ("--name", "v", "--data", "train_limit=200", "--runs-dir", str(folder), "--verbose")
    export = ["export", "v", "--samples", "2", "--runs-dir", str(folder), "--verbose"]
    return [
        measured(f"T = {count:,}: 64 samples simulated", out, ["simulate", str(path), "--data", str(data)]),
        measured(
            f"T = {count:,}: searched and trained",
            out,
            ["search", "--method", "lightsnn", *small, "-T", str(count), *at],
        ),
        measured(f"T = {count:,}: exported", out, export),
    ]


def together(out: Path, count: int) -> list[dict[str, Any]]:
    """``count`` searches in one folder, unnamed, all begun at once; then ``count`` exports to one folder.

    Each search gets a name of its own and a whole run. Of the exports some end well; the others say in a line (exit 2)
    that another one fills the folder, or that they would replace it; what is there in the end is whole.
    """
    folder = out / "load-runs"
    shutil.rmtree(folder, ignore_errors=True)
    at = ["--runs-dir", str(folder)]
    searches = at_once(out, [["search", *TINY, "--method", "snasnet", "--candidates", "4", "--no-train", *at]] * count)
    whole = sum((run / "genotype.json").is_file() for run in folder.iterdir())
    first = _of_all(f"{count} searches at once", searches, codes=(0,))
    first["as_expected"] = first["as_expected"] and whole == count
    trained = measured("one run", out, ["search", "--method", "lightsnn", *TINY, "--epochs", "1", "--name", "v", *at])
    exports = at_once(out, [["export", "v", "--samples", "2", *at]] * count)
    second = _of_all(f"{count} exports of one run at once", exports, codes=(0, 2))
    again = measured("its check", out, ["check", str(folder / "v" / "export" / "lava")])
    good = 0 in second["codes"] and again["code"] == trained["code"] == 0
    left = [p.name for p in folder.rglob(".*") if p.name != ".lock"]
    second |= {"as_expected": second["as_expected"] and good and not left, "left": left}
    return [first, second]


def at_once(out: Path, commands: Sequence[Sequence[str]]) -> list[tuple[int | None, str]]:
    """Exit code and stderr of commands that run side by side, forked with their imports done: they fall on the work."""
    launcher, folder = Launcher(), out / "together"
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "tmp").mkdir(parents=True)
    said = [folder / f"{k}.err" for k in range(len(commands))]
    with contextlib.ExitStack() as stack:
        ends = [
            stack.enter_context(launcher.started(_orders(command, folder, file), cold=False))[1]
            for command, file in zip(commands, said, strict=True)
        ]
        while any(end() is None for end in ends):
            time.sleep(PAUSE)
        codes = [end() for end in ends]
    return [(code, file.read_text()) for code, file in zip(codes, said, strict=True)]


def _orders(command: Sequence[str], folder: Path, said: Path) -> Orders:
    return Orders(
        arguments=tuple(command), root=str(folder), temporary=str(folder / "tmp"), out=os.devnull, err=str(said),
        environment=(("SNNAS_LAVA_PYTHON", "/nowhere"),),
    )  # fmt: skip


def _of_all(what: str, found: Sequence[tuple[int | None, str]], codes: Sequence[int]) -> dict[str, Any]:
    counted = Counter(code for code, _ in found)
    bad = [text[-300:] for code, text in found if code not in codes or "Traceback" in text]
    return {"what": what, "codes": dict(counted), "as_expected": not bad, "said": bad[:3]}


def layers(*, channels: int, side: int, timesteps: int) -> Program:
    """Two populations of channels x side x side behind a host convolution, and a readout."""
    rng = np.random.default_rng(0)
    shape = (channels, side, side)
    bias = np.zeros((channels, 1, 1), np.int16)
    populations = tuple(
        Population(id=name, shape=shape, dv=3072, vth=90, scale=50.0, bias=bias, bias_exponent=0)
        for name in ("p0", "p1")
    )
    weight = rng.integers(-20, 25, (channels, channels, 3, 3)).astype(np.int8)
    host = rng.normal(0.3, 0.6, (channels, 2, 3, 3)).astype(np.float32)
    flat = channels * side * side
    return Program(
        timesteps=timesteps,
        input_shape=(2, side, side),
        input_kind="analogue",
        populations=populations,
        synapses=(Synapse(id="s0", src="p0", dst="p1", map=LinearMap(kind="conv", weight=weight, pad=(1, 1))),),
        host=(HostMap(id="h0", dst="p0", map=LinearMap(kind="conv", weight=host, pad=(1, 1))),),
        readout=summed(
            src="p1", weight=rng.integers(-9, 9, (2, flat)).astype(np.int8), bias=np.zeros(2, np.int64), scale=20.0
        ),
        schedule=Schedule(period=1, depth={"p0": 0, "p1": 1}, blank=0),
        meta={},
    )


PARTS = {
    "search": (search, 10_000),
    "runs": (runs, 1000),
    "neurons": (neurons, 1 << 20),
    "timesteps": (timesteps, 1000),
    "together": (together, 100),
}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="tests.faults.load", description=__doc__)
    parser.add_argument("--part", default="all", choices=["all", *PARTS])
    parser.add_argument("--count", type=int, help="of evaluations, runs, neurons, timesteps or processes")
    parser.add_argument("--out", type=Path, default=Path("faults.out"))
    given = parser.parse_args(arguments)
    given.out.mkdir(parents=True, exist_ok=True)
    out, log = given.out.resolve(), JsonLines(given.out / "load.jsonl")
    good = True
    for part in PARTS if given.part == "all" else [given.part]:
        work, count = PARTS[part]
        for record in work(out, given.count or count):
            log.append(record)
            good = good and record["as_expected"]
            print(json.dumps(record), flush=True)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
