"""Chunks of hostile files: each judged in a process of its own, whose death or silence is a finding, not an end.

Input ``i`` of chunk ``c`` of a reader is drawn from the stream ``faults/READER/c``, so that any of them can be made
again alone.
"""

from __future__ import annotations

import base64
import contextlib
import json
import mmap
import os
import resource
import signal
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from snnas.toolchain.data.seeds import stream
from tests.faults.judge import Target, Verdict, guard, judge, peak_mib

_MAKING, _READING = 0, 1
SILENCE = 3.0  # times a target's own limit, after which a process that says nothing is ended


@dataclass(slots=True, kw_only=True)
class Tally:
    """What came of a chunk. codes: exit code -> files, 0 for those that were read, "unmade" for
    those that were never judged. defects: what -> files."""

    reader: str
    chunk: int
    inputs: int
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    codes: dict[str, int] = field(default_factory=dict)
    slowest_seconds: float = 0.0
    peak_mib: float = 0.0
    defects: dict[str, int] = field(default_factory=dict)

    def plain(self) -> dict[str, Any]:
        return asdict(self)


def seeds(seed: int, reader: str, chunk: int, count: int) -> list[int]:
    """One for each input of the chunk."""
    return [int(n) for n in stream(seed, f"faults/{reader}/{chunk}").integers(0, 2**62, count)]


def target_of(targets: Sequence[Target], chunk: int, number: int) -> Target:
    """The targets take turns."""
    return targets[(chunk + number) % len(targets)]


def run_chunk(
    reader: str, targets: Sequence[Target], work: Path, *, seed: int, chunk: int, inputs: int
) -> tuple[Tally, list[dict[str, Any]]]:
    """Judges a chunk; returns the tally, and what was found: {target, defect, detail, seed, data as base64}."""
    tally = Tally(reader=reader, chunk=chunk, inputs=inputs)
    found: list[dict[str, Any]] = []
    drawn = seeds(seed, reader, chunk, inputs)
    begun, spent, number, log = time.perf_counter(), _spent(), 0, work / "chunk.jsonl"
    while number < inputs:
        log.unlink(missing_ok=True)
        at = mmap.mmap(-1, 16)
        process = os.fork()
        if process == 0:
            _work(targets, work, drawn, chunk, number, at, log)
        number, how = _wait(process, at, targets, chunk, number, inputs)
        for record in _read(log):
            _count(tally, record, found)
        if how:
            target = target_of(targets, chunk, number)
            if int.from_bytes(at[8:], "little") == _READING:
                data = (work / "in" / target.file).read_bytes()
                record = _record(target, Verdict(70, how), drawn[number], data) | {"peak": 0.0}
            else:  # the library that made the file died of it; it is not the reader's
                record = {"code": "unmade", "seconds": 0.0, "peak": 0.0}
            _count(tally, record, found)
            number += 1
    tally.seconds = round(time.perf_counter() - begun, 3)
    tally.cpu_seconds = round(_spent() - spent, 3)
    return tally, found


def _spent() -> float:
    """CPU seconds of the processes that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _work(
    targets: Sequence[Target], work: Path, drawn: list[int], chunk: int, first: int, at: mmap.mmap, log: Path
) -> None:
    """The process: judges from ``first`` on, tells its place through ``at``, writes a line each; does not return."""
    code = 1
    try:
        folder = work / "in"
        folder.mkdir(exist_ok=True)
        watch = guard(folder)
        with log.open("w", buffering=1) as out:
            base = peak_mib()
            for number in range(first, len(drawn)):
                at[:8] = number.to_bytes(8, "little")
                target = target_of(targets, chunk, number)
                at[8:] = _MAKING.to_bytes(8, "little")
                data = target.make(Random(drawn[number]))
                at[8:] = _READING.to_bytes(8, "little")
                verdict = judge_bytes(target, data, folder)
                record: dict[str, Any] = {"code": verdict.code, "seconds": verdict.seconds, "peak": peak_mib() - base}
                if verdict.defect:
                    record = _record(target, verdict, drawn[number], data) | record
                out.write(json.dumps(record) + "\n")
                if peak_mib() - base > target.mib:  # the peak only ever rises: a new process measures anew
                    out.flush()
                    at[:8] = (number + 1).to_bytes(8, "little")
                    os._exit(9)
        assert not watch.armed
        code = 0
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        os._exit(code)


def judge_bytes(target: Target, data: bytes, folder: Path) -> Verdict:
    """The verdict on a file of this content, which is removed again; a file that it left behind is a defect."""
    watch = guard(folder)
    path = folder / target.file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    verdict = judge(target, path, watch)
    with contextlib.suppress(OSError):
        path.unlink()
    return verdict


def _wait(
    process: int, at: mmap.mmap, targets: Sequence[Target], chunk: int, first: int, inputs: int
) -> tuple[int, str]:
    """(input to go on from, what ended the process before that or '')."""
    place, since = first, time.monotonic()
    pause = 0.002
    while True:
        done, status = os.waitpid(process, os.WNOHANG)
        now = int.from_bytes(at[:8], "little")
        if done:
            if os.WIFSIGNALED(status):
                return now, f"crash, signal {os.WTERMSIG(status)}"
            code = os.WEXITSTATUS(status)
            if code == 0:
                return inputs, ""
            if code == 9:
                return now, ""
            raise RuntimeError(f"the campaign itself failed at input {now}")
        if now != place:
            place, since = now, time.monotonic()
        elif time.monotonic() - since > SILENCE * target_of(targets, chunk, min(place, inputs - 1)).seconds + 5:
            os.kill(process, signal.SIGKILL)
            os.waitpid(process, 0)
            return now, "hang that no alarm ends"
        time.sleep(pause)
        pause = min(0.05, pause * 1.5)


def _record(target: Target, verdict: Verdict, seed: int, data: bytes) -> dict[str, Any]:
    return {
        "target": target.name,
        "file": target.file,
        "code": verdict.code,
        "defect": verdict.defect,
        "detail": verdict.detail,
        "seed": seed,
        "seconds": verdict.seconds,
        "data": base64.b64encode(data).decode() if len(data) < 1 << 22 else "",
    }


def _count(tally: Tally, record: dict[str, Any], found: list[dict[str, Any]]) -> None:
    code = str(record["code"])
    tally.codes[code] = tally.codes.get(code, 0) + 1
    tally.slowest_seconds = round(max(tally.slowest_seconds, record["seconds"]), 3)
    tally.peak_mib = round(max(tally.peak_mib, record["peak"]), 1)
    if "defect" in record:
        name = f"{record['target']}: {record['defect']}"
        tally.defects[name] = tally.defects.get(name, 0) + 1
        found.append(record)


def _read(log: Path) -> list[dict[str, Any]]:
    if not log.exists():
        return []
    lines = log.read_text().split("\n")
    return [json.loads(line) for line in lines[:-1]]
