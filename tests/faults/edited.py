"""The campaign of edited exports: ``python -m tests.faults.edited --out DIR``.

Each number, text and flag of an export's report.json, manifest.json and program.npz is changed by itself, and so is
each array of its other files; what a forger can make again is made again (hashes, the manifest's copies, golden.npz);
then ``snnas check`` has to find it. ``DIR/edited.jsonl`` has a line per edit, and what stands there is not done again.
Exit 1 where an edit passes that none of ``CLAIMED`` names, or moves a figure that a limit binds on and passes.
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from snnas.export.formats.npz_file import read_npz, write_npz
from snnas.export.formats.program_file import read_program
from snnas.export.graph import digest
from snnas.export.graph.graph import Graph
from snnas.hw_sim.errors import SnnasError
from snnas.hw_sim.files import sha256, write_json
from snnas.toolchain.checking import export_folder, folder_runs
from snnas.toolchain.checking.check import check
from snnas.toolchain.checking.options import CheckOptions
from snnas.toolchain.cli.app import run_command
from snnas.toolchain.exporting.on_target import reference
from snnas.toolchain.runs.log import JsonLines

SMALL = ("--channels", "3", "--hidden", "12", "-T", "3", "--epochs", "3", "--batch", "8", "-q")
SEARCHES = {"ahead": (), "back": ("--backward",)}
# By name: which search, and what the export asks for; foreign: its graph exported once more, as anybody's.
SUBJECTS: dict[str, tuple[str, tuple[str, ...]]] = {
    "lava": ("ahead", ("--target", "lava")),
    "recurrent": ("back", ("--target", "lava")),
    "c": ("ahead", ("--target", "c")),
    "onnx": ("ahead", ("--target", "onnx")),
    "tuned": ("ahead", ("--target", "lava", "--finetune", "2")),
    "foreign": ("ahead", ("--target", "lava")),
    "early": ("back", ("--target", "lava", "--early-exit", "exact")),
}
UNMADE = -1  # no tool of a forger's writes it either
LIMIT = 1 << 30
Place = tuple[Any, ...]
Edit = tuple[str, Callable[[], None]]

# What docs/check.md lists as claimed, trusted or left to its hash: how the names of such edits begin, by file.
CLAIMED: dict[str, tuple[str, ...]] = {
    "report.json": (
        *("run ", "seed ", "dataset ", "method ", "search", "versions", "hashes", "inlined ", "provenance"),
        *(r"accuracy\.(training|nir|deployed|agreement|flips\w*|balanced_training) ", r"silence\.training"),
        *(r"silence\.(on_target\.)?(cause|options) ", r"sar\.(training|lightsnn) "),
        *(r"sar\.per_population\.\w+\.training ", r"spikes_per_inference\.training ", "latency_samples_us"),
        *(
            r"energy_uJ\.profile ",
            r"checks\.(fold|nir|lava)",
            "spikes_differing ",
            "output_difference ",
        ),
        *(r"convention\.(of|recording) ", "notes", "calibration "),
        r"finetune\.(epochs|best_epoch|seconds|validation|test\.before)",
        r"host\.(recorded_samples|currents|differing_\w+|spikes|samples|accuracy_of_floats) ",
        *(r"c\.native", r"c\.cores\.\d\.(missing|compiler|\w*differing\w*|spikes_compared|flash_bytes|st\w+_bytes) "),
        r"c\.cores\.\d\.counted ",
        # What older reports lack says nothing where it is left out, and a row more of a plain table is read by nobody.
        r"(latency_samples_us|c\.host|accuracy\.balanced_training|encoder_spikes_compared) left out",
        r"[\w.]+ one more row",
        r"quantisation\.\w+\.leak ",  # of a leak that is exact but for float64, less than the millionth that is equal
    ),
    "manifest.json": ("inputs", "versions", "conventions"),
    "program.npz": (r"program\.json meta\.(bits|graph|input_kind|input_range|run|timesteps|rates|rests)",),
    "stimulus.npz": ("x ", "y "),
    "golden.npz": ("labels left out",),  # those of stimulus.npz are judged
    "counts.json": ("",),
    "floats.npz": ("",),
}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="tests.faults.edited", description=__doc__)
    parser.add_argument("--subject", default="all", choices=["all", *SUBJECTS], help="which export")
    parser.add_argument("--file", help="of this file alone")
    parser.add_argument("--place", default="", help="how the names of the places begin that are edited")
    parser.add_argument("--out", type=Path, default=Path("faults.out"))
    given = parser.parse_args(arguments)
    given.out.mkdir(parents=True, exist_ok=True)
    log = JsonLines(given.out / "edited.jsonl")
    log.mend()
    done = {(r["subject"], r["file"], r["edit"]) for r in log.read()}
    quicker()
    for name in SUBJECTS if given.subject == "all" else (given.subject,):
        folder = given.out / f"edited-{os.getpid()}"  # a copy: an edit that is killed leaves nothing
        shutil.copytree(subject(name, given.out / "edited"), folder)
        for record in campaign(name, folder, done, only=given.file, place=given.place):
            log.append(record)
        shutil.rmtree(folder)
    return 1 if summary(log.read()) else 0


def subject(name: str, out: Path) -> Path:
    """The healthy export of that name, made where it is not there."""
    run, asked = SUBJECTS[name]
    at = ("--runs-dir", str(out / name))
    folder = out / name / run / "export" / asked[1]
    if not folder.is_dir():
        shutil.rmtree(out / name, ignore_errors=True)
        out.mkdir(parents=True, exist_ok=True)
        data(out / "own.npz")
        search = ("search", "--dataset", str(out / "own.npz"), "--method", "lightsnn", *SEARCHES[run])
        for command in ((*search, "--name", run, *SMALL, *at), ("export", run, *asked, "--samples", "4", *at, "-q")):
            _done(command)
        if name == "foreign":
            _done(
                (
                    "export",
                    str(folder / "model.nir"),
                    "--data",
                    str(out / "own.npz"),
                    "--out",
                    str(out / name / "of"),
                    "-q",
                )
            )
            shutil.rmtree(folder)
            (out / name / "of").rename(folder)
    return folder


def _done(command: Sequence[str]) -> None:
    if run_command(list(command)):
        raise SystemExit(f"no subject: {' '.join(command)}")


def data(path: Path) -> None:
    """Two uneven classes of small images."""
    rng = np.random.default_rng(0)
    y = (np.arange(150) % 5 == 0).astype(np.int64)
    x = (rng.random((150, 1, 6, 6)) * 0.6).astype(np.float32)
    x[y == 1, :, :3] += 0.4
    np.savez(path, x=x, y=y)


def quicker() -> None:
    """What takes most of a check is done once for equal files: most edits leave most of them as they are."""
    slow = ((export_folder, "read_nir"), (folder_runs, "compile_graph"), (folder_runs, "calibration_spikes"))
    for module, name in slow:
        setattr(module, name, _remembering(getattr(module, name)))


def _remembering(original: Callable[..., Any]) -> Callable[..., Any]:
    known: dict[str, Any] = {}

    def call(*args: Any, **named: Any) -> Any:
        key = repr([*map(_content, args), *((name, _content(value)) for name, value in named.items())])
        if key not in known:
            known[key] = original(*args, **named)
        return known[key]

    return call


def _content(value: Any) -> Any:
    match value:
        case np.ndarray():
            return digest.of_array(value)
        case Graph():
            return digest.of_graph(value)
        case Path():
            return sha256(value)
        case dict():
            return {name: _content(inner) for name, inner in value.items()}
    return value


def campaign(
    name: str, folder: Path, done: set[tuple[str, str, str]], *, only: str | None = None, place: str = ""
) -> Iterator[dict[str, Any]]:
    """A record per edit that is not done yet; the folder is as it was after each."""
    healthy = {path.name: path.read_bytes() for path in folder.iterdir()}
    before = judged(folder)
    assert before["exit_code"] == 0, before
    for file in sorted(healthy):
        for what, apply in edits(folder, file) if only in (None, file) else ():
            if (name, file, what) in done or not what.startswith(place):
                continue
            try:
                apply()
                sign(folder, repeat=file == "report.json")
                found = judged(folder)
            except (ValueError, AssertionError, OverflowError, MemoryError):
                found = {"exit_code": UNMADE, "codes": [], "figures": {}}
            except SnnasError as error:  # a fault of the folder is a finding, and never raised
                found = {"exit_code": 0, "codes": [f"escaped: {error}"[:200]], "figures": {}}
            finally:
                for each, content in healthy.items():
                    if (folder / each).read_bytes() != content:
                        (folder / each).write_bytes(content)
            moved = sorted(k for k, v in found.pop("figures").items() if v != before["figures"].get(k))
            yield {"subject": name, "file": file, "edit": what, **found, "moved": moved}


def judged(folder: Path) -> dict[str, Any]:
    """Exit code, codes that fail and figures of a check."""
    book = check(folder, CheckOptions(graphs=(folder,), measure=True))
    codes = sorted({f.code for f in book.findings if f.fails})
    return {"exit_code": book.exit_code, "codes": codes, "figures": {n: f.value for n, f in book.figures.items()}}


def sign(folder: Path, *, repeat: bool) -> None:
    """The manifest has the files' hashes again. repeat: and what it repeats of report.json."""
    place = folder / "manifest.json"
    try:
        manifest, report = json.loads(place.read_text()), json.loads((folder / "report.json").read_text())
        manifest["files"] = {name: sha256(folder / name) for name in manifest["files"]}
        for table in (manifest, manifest.get("figures", {})) if repeat else ():
            table |= {name: report[name] for name in table if name in report and name not in ("versions", "inputs")}
    except (KeyError, TypeError, AttributeError):
        return  # of a manifest that is none any more
    write_json(place, manifest)


# ---------------------------------------------------------------------------------------------------------------- edits


def edits(folder: Path, file: str) -> Iterator[Edit]:
    """What is changed, and how; of what is neither JSON nor arrays nothing."""
    path = folder / file
    if path.suffix == ".json":
        for what, edited in of_tree(json.loads(path.read_text())):
            if not (file == "manifest.json" and what.startswith("files")):
                yield what, lambda edited=edited: write_json(path, edited)
    elif path.suffix == ".npz":
        arrays = read_npz(path, limit_bytes=LIMIT, what=file)
        for key, array in arrays.items():
            for what, other in _of_entry(key, array):
                changed = {k: v for k, v in arrays.items() if k != key} | ({} if other is None else {key: other})
                yield f"{key} {what}", lambda changed=changed: _write(folder, file, changed)


def _of_entry(key: str, array: np.ndarray) -> Iterator[tuple[str, np.ndarray | None]]:
    if key != "program.json":
        yield from of_array(array)
        return
    for what, edited in of_tree(json.loads(array.tobytes())):
        text = json.dumps(edited, sort_keys=True, separators=(",", ":")).encode()
        yield what, np.frombuffer(text, np.uint8)


def _write(folder: Path, file: str, arrays: dict[str, np.ndarray]) -> None:
    """The arrays, and the recording of what the program does now."""
    write_npz(folder / file, arrays)
    if file not in ("program.npz", "stimulus.npz") or not (folder / "golden.npz").is_file():
        return
    number = len(read_npz(folder / "golden.npz", limit_bytes=LIMIT, what="golden")["logits"])
    try:
        stimulus = read_npz(folder / "stimulus.npz", limit_bytes=LIMIT, what="stimulus")
        golden = reference(read_program(folder / "program.npz"), stimulus["x"][:number].astype(np.float32))
        labels = {"labels": stimulus["y"][:number]} if "y" in stimulus else {}
        write_npz(folder / "golden.npz", {**golden, **labels})
    except (SnnasError, KeyError):
        pass  # it does nothing any more


def of_tree(tree: Any) -> Iterator[tuple[str, Any]]:
    """Copies of a tree of JSON with one change each, and which."""
    for at, value in leaves(tree):
        name = ".".join(map(str, at))
        for what, other in others(value):
            yield f"{name} {what}", put(tree, at, other)
        if not isinstance(at[-1], int):
            yield f"{name} left out", put(tree, at, ...)


def leaves(tree: Any, path: Place = ()) -> Iterator[tuple[Place, Any]]:
    """Every place of a tree, inner ones too; of many rows of one shape three."""
    if path:
        yield path, tree
    inner = list(tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ())
    alike = len(inner) > 3 and len({_shape(value) for _, value in inner}) == 1
    for key, value in (*inner[:2], inner[-1]) if alike else inner:
        yield from leaves(value, (*path, key))


def _shape(value: Any) -> str:
    return f"row of {sorted(value)}" if isinstance(value, dict) else type(value).__name__


def others(value: Any) -> Iterator[tuple[str, Any]]:
    """Other values of the same type, and how they are other."""
    match value:
        case bool():
            yield "negated", not value
        case int():
            yield ("doubled", value * 2) if value else ("one more", 1)
        case float():
            yield ("halved", value / 2) if value else ("one more", 0.5)
        case str():
            yield "another text", f"{value}x"
        case None:
            yield "a number", 1
            yield "a text", "x"
        case list():
            yield "one more entry", [*value, copy.deepcopy(value[-1]) if value else "x"]
            if value:
                yield "one fewer", value[:-1]
        case dict() if len({_shape(row) for row in value.values()}) == 1:
            yield "one more row", {**value, "another": copy.deepcopy(next(iter(value.values())))}


def put(tree: Any, path: Place, value: Any) -> Any:
    """A copy with another value there; without it where that is ``...``."""
    whole = copy.deepcopy(tree)
    place = whole
    for key in path[:-1]:
        place = place[key]
    if value is ...:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return whole


def of_array(array: np.ndarray) -> Iterator[tuple[str, np.ndarray | None]]:
    """Other arrays of the same type, and how they are other; None: it is left out."""
    yield "left out", None
    flat = array.reshape(-1)
    if not flat.size:
        return
    largest = int(np.abs(flat.astype(np.float64)).argmax())
    for what, at in (("first changed", 0), ("largest changed", largest)):
        other = flat.copy()
        if array.dtype.kind == "f" and other[at]:
            other[at] /= 2
        else:
            other[at] = int(other[at]) + (-1 if other[at] > 0 else 1)  # within unsigned types, too
        yield what, other.reshape(array.shape)
    rolled = np.roll(flat, 1).reshape(array.shape)
    if not np.array_equal(rolled, array):
        yield "rolled", rolled
    if array.ndim and len(array) > 1:
        yield "one fewer", array[:-1]


# -------------------------------------------------------------------------------------------------------------- summary


def is_defect(record: dict[str, Any]) -> bool:
    """Whether an edit passes that should not."""
    if record["exit_code"] != 0:
        return False
    claimed = any(re.match(known, record["edit"]) for known in CLAIMED.get(record["file"], ()))
    return not claimed or (bool(record["moved"]) and record["file"] != "stimulus.npz")


def summary(records: list[dict[str, Any]]) -> int:
    """Prints the figures of each subject's files, and each defect; how many these are."""
    defects = [r for r in records if is_defect(r)]
    for name, file in dict.fromkeys((r["subject"], r["file"]) for r in records):
        of = [r for r in records if (r["subject"], r["file"]) == (name, file)]
        found, passed = (sum(test(r["exit_code"]) for r in of) for test in (lambda c: c > 0, lambda c: c == 0))
        print(f"{name} {file}: {len(of)} edits, {found} found, {passed} of what is claimed or trusted")
    for r in defects:
        print(f"DEFECT {r['subject']} {r['file']}: {r['edit']} passes; {', '.join(r['codes'] + r['moved'])}")
    return len(defects)


if __name__ == "__main__":
    sys.exit(main())
