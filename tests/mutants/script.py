"""Mutants of ``run_lava.py`` that ``campaign`` has just let live, where it runs: by the Lava worker's interpreter.

    python -m tests.mutants.script --out FOLDER

``trial`` puts faults into a process of its own, where the worker, which runs the script's file, never meets them. Here
each mutant is a file. Two programs (a static image; a spike input with a delayed synapse at period 4) are run by it:
*killed* is what ends otherwise than the script itself, or whose spikes, counts or steps are others. The tests that run
Lava (``tests/hw_sim/lava``) do the same over six programs, and more.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from snnas.hw_sim.lava import environment
from tests.hw_sim.lava.test_lava import PROGRAMS, export
from tests.mutants.campaign import ROOT, read_results, tried_of, write_results

MODULE = "hw_sim/lava/run_lava.py"
NAMES = ("spike input, period 4", "static image")
SECONDS = 300  # wall time of a run, which takes seconds on a quiet machine
SAME = ("samples", "hardware_steps", "processes", "differing_spikes", "spikes", "per_population")


def outcome(script: Path, exports: Sequence[Path], python: Path, out: Path) -> str:
    """What the script makes of the exports, as one text."""
    told = []
    for folder in exports:
        where = out / folder.name
        for old in where.glob("*"):
            old.unlink()
        where.mkdir(parents=True, exist_ok=True)
        command = [str(python), str(script), str(folder), "--samples", "2", "--out", str(where)]
        process = subprocess.Popen(
            command, cwd=out, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            told.append(str(process.wait(SECONDS)))
        except subprocess.TimeoutExpired:
            return "late"
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # and what it started
            process.wait()
        if told[-1] == "0" and (where / "result.json").is_file():
            result = json.loads((where / "result.json").read_text())
            told.append(json.dumps({key: result.get(key) for key in SAME}, sort_keys=True))
            with np.load(where / "spikes.npz") as arrays:
                told += [f"{name} {hash(arrays[name].tobytes())} {arrays[name].shape}" for name in sorted(arrays.files)]
    return "\n".join(told)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args(arguments)
    python, why = environment.find_python()
    if python is None:
        parser.error(f"no Lava worker: {why}")
    out = given.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    exports = []
    for k, name in enumerate(NAMES):
        program, frames = PROGRAMS[name]
        exports.append(out / f"export{k}")
        if not (exports[-1] / "golden.npz").exists():
            export(exports[-1], program, 2, frames=frames)
    expected = outcome(ROOT / MODULE, exports, python, out / "ran")
    if "late" in expected or not expected.startswith("0"):
        raise SystemExit(f"{MODULE} does not run as it is: {expected[:200]}")
    known = read_results()
    for mutant in tried_of(MODULE, known):
        was = known[mutant.key]
        if not was.first == was.outcome == "alive":
            continue
        script = out / "mutant.py"
        script.write_text(mutant.source)
        found = outcome(script, exports, python, out / "ran")
        said = "alive" if found == expected else "late" if found == "late" else "killed"
        print(f"{said}: {was.row}\n- {was.old}\n+ {was.new}", flush=True)
        known[mutant.key] = replace(was, first=said, outcome=said)
        write_results(known.values())
    return 0


if __name__ == "__main__":
    sys.exit(main())
