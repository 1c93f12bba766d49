"""The hostile-file campaign: ``python -m tests.faults.campaign --reader npz --inputs 100000 --out DIR``.

Goes on where it was ended: ``DIR/READER.jsonl`` has a line per chunk done. Every defect is kept as a file in
``DIR/found``, made smaller where that is possible, with what was wrong beside it. Exit 1 where there is one.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from snnas.hw_sim.files import write_json
from snnas.toolchain.runs.log import JsonLines
from tests.faults import readers
from tests.faults.chunks import judge_bytes, run_chunk
from tests.faults.judge import Target

CHUNK = 1000
INPUTS = {**dict.fromkeys(readers.OWN, 100_000), **dict.fromkeys(readers.GUARDED, 10_000), "commands": 2_000}
KEPT = 3  # files of each defect
TRIES = 200  # to make one smaller


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="tests.faults.campaign", description=__doc__)
    parser.add_argument("--reader", default="all", choices=["all", *INPUTS], help="which reader")
    parser.add_argument("--inputs", type=int, help="files in all [100000 of parsers of ours, 10000 of the others]")
    parser.add_argument("--out", type=Path, default=Path("faults.out"), help="folder of logs and of what is found")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--replay", type=Path, help="judge this file alone, with every target of --reader")
    given = parser.parse_args(arguments)
    chosen = list(INPUTS) if given.reader == "all" else [given.reader]
    given.out.mkdir(parents=True, exist_ok=True)
    if given.replay is not None:
        return _replay(given.replay, chosen)
    defects = 0
    for reader in chosen:
        with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as work:
            run(reader, given.inputs or INPUTS[reader], given.out, Path(work), seed=given.seed)
        summary = summarise(given.out, reader)
        defects += sum(summary["defects"].values())
        print(line(summary), flush=True)
    return 1 if defects else 0


def run(reader: str, inputs: int, out: Path, work: Path, *, seed: int = 0) -> None:
    """All chunks that are not done yet."""
    log = JsonLines(out / f"{reader}.jsonl")
    log.mend()
    done = {record["chunk"] for record in log.read() if record["seed"] == seed}
    targets: Sequence[Target] = ()
    outside = work / "outside"
    outside.mkdir()
    before = Path.cwd()
    begun = time.monotonic()
    for chunk in range(-(-inputs // CHUNK)):
        if chunk in done:
            continue
        targets = targets or readers.targets(reader, work)
        os.chdir(outside)
        try:
            tally, found = run_chunk(
                reader, targets, work, seed=seed, chunk=chunk, inputs=min(CHUNK, inputs - chunk * CHUNK)
            )
        finally:
            os.chdir(before)
        for left in [*outside.iterdir(), *(p for p in (work / "canary",) if p.exists())]:
            tally.defects[f"left {left.name} outside"] = 1
            left.unlink()
        _keep(out / "found" / reader, targets, found, work)
        log.append(tally.plain() | {"seed": seed})
        if sys.stderr.isatty():
            sys.stderr.write(
                f"\r{reader}: chunk {chunk + 1} of {-(-inputs // CHUNK)}, {time.monotonic() - begun:.0f} s "
            )


def _keep(folder: Path, targets: Sequence[Target], found: list[dict[str, Any]], work: Path) -> None:
    by_name = {target.name: target for target in targets}
    for record in found:
        name = hashlib.sha256(f"{record['target']} {record['defect']}".encode()).hexdigest()[:10]
        number = len(list(folder.glob(f"{name}-*.json")))
        if number >= KEPT:
            continue
        folder.mkdir(parents=True, exist_ok=True)
        data = base64.b64decode(record.pop("data"))
        if number == 0 and record["code"] != 0 and "crash" not in record["defect"] and "takes" not in record["defect"]:
            data = smaller(by_name[record["target"]], data, record["defect"], work)
        path = folder / f"{name}-{number}{Path(record['file']).suffix}"
        path.write_bytes(data)
        write_json(path.with_suffix(".json"), record | {"bytes": len(data)})


def smaller(target: Target, data: bytes, defect: str, work: Path) -> bytes:
    """The data without pieces that the defect does not need; in this process, so for defects that it survives."""
    folder = work / "smaller"
    folder.mkdir(exist_ok=True)
    tries = 0

    def same(candidate: bytes) -> bool:
        nonlocal tries
        tries += 1
        return judge_bytes(target, candidate, folder).defect == defect

    piece = len(data) // 2
    while piece >= 1 and tries < TRIES:
        at = 0
        while at < len(data) and tries < TRIES:
            candidate = data[:at] + data[at + piece :]
            if same(candidate):
                data = candidate
            else:
                at += piece
        piece //= 2
    shutil.rmtree(folder)
    return data


def _replay(path: Path, chosen: Sequence[str]) -> int:
    data = path.read_bytes()
    with tempfile.TemporaryDirectory() as work:
        for reader in chosen:
            for target in readers.targets(reader, Path(work)):
                folder = Path(work) / "in"
                folder.mkdir(exist_ok=True)
                verdict = judge_bytes(target, data, folder)
                print(f"{reader}, {target.name}: {verdict}")
    return 0


def summarise(out: Path, reader: str) -> dict[str, Any]:
    """All chunks of a reader together."""
    records = JsonLines(out / f"{reader}.jsonl").read()
    total: Callable[[str], Any] = lambda key: sum(record[key] for record in records)  # noqa: E731
    merged: dict[str, dict[str, int]] = {"codes": {}, "defects": {}}
    for name, into in merged.items():
        for record in records:
            for key, count in record[name].items():
                into[key] = into.get(key, 0) + count
    return {
        "reader": reader,
        "inputs": total("inputs"),
        "minutes": total("seconds") / 60,
        "cpu_minutes": total("cpu_seconds") / 60,
        "slowest_seconds": max((r["slowest_seconds"] for r in records), default=0.0),
        "peak_mib": max((r["peak_mib"] for r in records), default=0.0),
        **merged,
    }


def line(s: dict[str, Any]) -> str:
    """The figures of a reader, and a line for each kind of defect."""
    rate, per_cpu = (s["inputs"] / max(1e-9, 60 * s[key]) for key in ("minutes", "cpu_minutes"))
    codes = ", ".join(f"exit {code}: {n}" if code != "0" else f"read: {n}" for code, n in sorted(s["codes"].items()))
    text = (
        f"{s['reader']}: {s['inputs']} files in {s['minutes']:.1f} min ({rate:.0f}/s; {per_cpu:.0f} per CPU second); "
    )
    text += f"{codes}; slowest {s['slowest_seconds']:.2f} s, at most {s['peak_mib']:.0f} MiB; "
    text += f"{sum(s['defects'].values())} defects"
    return text + "".join(f"\n  {count} x {what}" for what, count in sorted(s["defects"].items(), key=lambda p: -p[1]))


if __name__ == "__main__":
    sys.exit(main())
