"""What may be seen of a folder of runs at any moment: whole files that their readers take, known temporary names."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from snnas.export.formats.nir_file import read_nir
from snnas.export.formats.npz_file import read_npz
from snnas.export.formats.program_file import read_program
from snnas.hw_sim.files import read_json, sha256
from snnas.toolchain.runs.log import JsonLines
from snnas.toolchain.runs.run import Run

TEMPORARY = re.compile(r"\..+\.(part|old|begun)|\.train\.jsonl\.part")  # never a whole file's name
LASTING = re.compile(r"\.lock|\.filler")  # the second is ours: what fills a disk
TIMES = {"seconds", "resumed", "created_at", "command", "build_seconds", "run_seconds"}


def files(root: Path) -> Iterator[Path]:
    """Every file that is not below a temporary name."""
    with_gone = sorted(root.iterdir()) if root.is_dir() else []
    for path in with_gone:
        if TEMPORARY.fullmatch(path.name) or LASTING.fullmatch(path.name):
            continue
        if path.is_dir() and not path.is_symlink():
            yield from files(path)
        else:
            yield path


def temporaries(root: Path) -> list[str]:
    """Temporary names that are there."""
    return [str(path.relative_to(root)) for path in sorted(root.rglob("*")) if TEMPORARY.fullmatch(path.name)]


def problem(path: Path, *, thorough: bool = True) -> str:
    """What is wrong with one file; '' for nothing. thorough: with readers that start a process too."""
    try:
        _read(path, thorough)
    except FileNotFoundError:
        return ""  # replaced or removed a moment ago; what stands there now is looked at next
    except Exception as error:  # whatever a reader raises
        if not path.exists():  # not every reader's own error says so
            return ""
        return f"{path.name}: {' '.join(str(error).split())[:200]}"
    return ""


def _read(path: Path, thorough: bool) -> None:
    if path.name not in READERS:
        raise ValueError("a name that no command is known to write")
    if thorough or path.name not in SLOW:
        READERS[path.name](path)


def _manifest(path: Path) -> None:
    for name, wanted in read_json(path)["files"].items():
        if sha256(path.with_name(name)) != wanted:
            raise ValueError(f"{name} is not the one that it names")


def _tensors(path: Path) -> None:
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        for name in file.keys():  # noqa: SIM118
            file.get_tensor(name)


def _something(path: Path) -> None:
    if not path.stat().st_size:
        raise ValueError("empty")


READERS: dict[str, Callable[[Path], Any]] = {
    "run.toml": lambda path: Run(path.parent).config(),
    **dict.fromkeys(("search.jsonl", "train.jsonl"), lambda path: JsonLines(path).read()),
    **dict.fromkeys(("genotype.json", "counts.json", "report.json", "front.json", "diagnosis.json"), read_json),
    "manifest.json": _manifest,
    **dict.fromkeys(("weights.safetensors", "state.safetensors"), _tensors),
    "program.npz": read_program,
    **dict.fromkeys(("golden.npz", "stimulus.npz", "calibration.npz", "floats.npz", "smallest.npz"), read_npz),
    "model.nir": read_nir,
    **dict.fromkeys(("model.onnx", "run_lava.py", "front.svg", "divergence.svg", "README.md"), _something),
}
SLOW = {"model.nir"}  # starts a process


def outcome(run: Path) -> dict[str, Any]:
    """All that must not depend on how often the work was ended: results without times."""
    found: dict[str, Any] = {}
    for path in files(run):
        name = str(path.relative_to(run))
        if path.name == "run.toml":
            found[name] = _timeless(Run(path.parent).config())
        elif path.name in ("search.jsonl", "train.jsonl"):
            found[name] = [_timeless(record) for record in JsonLines(path).read()]
        elif path.name in ("manifest.json", "front.json", "report.json"):
            found[name] = _timeless(json.loads(path.read_text()))
        else:
            found[name] = sha256(path)
    return found


def _timeless(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _timeless(v) for k, v in value.items() if k not in TIMES}
    return [_timeless(v) for v in value] if isinstance(value, list) else value


def difference(ours: Any, theirs: Any, place: str = "") -> str:
    """Where two outcomes first differ; '' where they are equal."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for key in sorted(ours.keys() | theirs.keys()):
            if key not in ours or key not in theirs:
                return f"{place}/{key} is {'missing' if key not in theirs else 'new'}"
            if found := difference(ours[key], theirs[key], f"{place}/{key}"):
                return found
        return ""
    return "" if ours == theirs else f"{place}: {str(ours)[:120]} became {str(theirs)[:120]}"
