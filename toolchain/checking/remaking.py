"""How a run is made again elsewhere: the commands, and the small files that they name.

A file of somebody's own (a space, a recipe, a budget) is written anew from what run.toml resolved of it, so that it is
what the run was made with even where the file has changed since. A data set is never part of it, only its hash.
"""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from snnas.hw_sim.errors import InvalidFileError, UsageError, printable
from snnas.hw_sim.files import write_text
from snnas.toolchain.runs.run import FRONT, Run, as_toml

# Options of where and how fast, with their value; a row says none of them. Its exports are commands of their own.
ELSEWHERE = {"--name", "--runs-dir", "--workers", "--engine", "--log-to", "--device", "--target"}
QUIET = {"--quiet", "-q", "--verbose", "-v", "--json"}
GENOTYPE = "genotype.json"
# What a command names a file of the user's by, and what it is called in the row; FILES is all that a row may hold.
NAMED = {"--genotype": GENOTYPE, "--space": "space.toml", "--recipe": "recipe.toml", "--budget": "budget.toml"}
TRAINED = "train.toml"
FILES = (*(name for name in NAMED.values() if name != GENOTYPE), TRAINED)
FILE_BYTES = 1 << 16
OWN = (".toml", ".npz", ".json", ".ts", ".zip")
PROFILE = "loihi1"  # what an export is priced by where nothing is said


@dataclass(frozen=True, slots=True)
class Making:
    """The commands, in order, and the text of each file that they name, by its name."""

    commands: tuple[str, ...]
    files: Mapping[str, str]

    def plain(self) -> dict[str, Any]:
        """Of ``made`` of a row."""
        files = [{"name": name, "sha256": _digest(text), "text": text} for name, text in self.files.items()]
        return {"commands": list(self.commands), **({"files": files} if files else {})}


def making_of(run: Run, exports: Mapping[str, Mapping[str, Any]], profile: str) -> Making:
    """How a run and its exports are made again. exports: of each target the inputs that its manifest says.

    UsageError for a run that no command makes, or whose command takes what cannot stand in a row.
    """
    config = run.config()
    command, data = str(config["command"]), config["data"]
    if "path" in data:
        raise UsageError(
            f"run {run.name}: its data set {data['name']} is a file of yours, and others could not make the row "
            "again; submit runs of the data sets of: snnas data list"
        )
    if command.split()[:1] != ["snnas"]:
        raise UsageError(
            f"run {run.name}: made by {command[:60]}, expected a command; make it with snnas search or train"
        )
    if "weights_sha256" in run.section("transfer"):
        raise UsageError(
            f"run {run.name}: its training began with weights of another run (--weights), which a row does not hold; "
            "submit a run whose weights are drawn"
        )
    begun, files = made_by(command), dict[str, str]()
    asked = config.get("first_train", config["train"])
    tables = {"space.toml": config["method"].get("axes"), "recipe.toml": asked, "budget.toml": config.get("budget")}
    words = shlex.split(begun)
    for option, word in zip(["", *words], words, strict=False):
        if NAMED.get(option) == word:
            files |= {word: _toml(run, word, tables[word])} if word in tables else {}
        elif word.endswith(OWN):
            raise UsageError(f"run {run.name}: its command takes {word}, a file that others lack; give options instead")
    commands, searched_only = [begun], "--no-train" in words
    if asked != config["train"]:
        files[TRAINED] = _toml(run, TRAINED, config["train"])
        commands.append(f"snnas train --recipe {TRAINED}" + ("" if searched_only else " --force"))
    elif searched_only:
        commands.append("snnas train")
    pick = ""
    if run.path.parent.name == FRONT and (run.path.parents[1] / "run.toml").is_file():
        if len(commands) > 1:
            raise UsageError(
                f"run {run.name}: a point of a front that was trained by itself, which no command does elsewhere; "
                "submit one that the search trained"
            )
        pick = f" --pick {int(run.path.name)}"
    priced = "" if profile == PROFILE else f" --profile {profile}"
    commands += [_export(inputs, target) + pick + priced for target, inputs in exports.items()]
    return Making(tuple(commands), files)


def made_by(command: str) -> str:
    """A command without what says where and how fast, and with its files named as a row names them."""
    from snnas.toolchain.data.options import parts

    words, kept = shlex.split(command), list[str]()
    at = 0
    while at < len(words):
        name, joined, value = words[at].partition("=")
        takes = name in ELSEWHERE or name in NAMED or name == "--data"
        if takes and not joined and at + 1 < len(words):
            at, value = at + 1, words[at + 1]
        at += 1
        if name == "--data":
            # Without the folder that a named set is looked for in.
            kept += [word for part in parts(value) if not part.startswith("data_dir=") for word in (name, part)]
        elif name == "--genotype" or (name in NAMED and value.endswith(".toml")):
            kept += [name, NAMED[name]]
        elif name in NAMED:
            kept += [name, value]
        elif name not in ELSEWHERE and name not in QUIET:
            kept.append(words[at - 1])
    return shlex.join(kept)


def _export(inputs: Mapping[str, Any], target: str) -> str:
    """The export with the options that decide it; what every run exports by default is left out, but for the bits."""
    words = ["snnas", "export", "--target", target, "--bits", str(inputs["bits"])]
    for name, plain in (("samples", 32), ("ranges", "auto"), ("timesteps", None)):
        value = inputs.get(name, plain)
        words += [] if value == plain else [f"--{name}", str(value)]
    tuned = inputs.get("finetune")
    words += ["--finetune", str(tuned["epochs"]), "--finetune-lr", f"{tuned['rate']:g}"] if tuned else []
    early = inputs.get("early_exit")
    words += ["--early-exit", str(early)] if early else []
    words += ["--host", "int"] if inputs.get("host") == "int" and target == "lava" else []
    return shlex.join(words)


def _toml(run: Run, name: str, table: Mapping[str, Any] | None) -> str:
    text = as_toml(dict(table or {}))
    size = len(text.encode())
    if not 1 <= size <= FILE_BYTES:
        raise UsageError(
            f"run {run.name}: {name} would have {size:,} bytes, of 1 to {FILE_BYTES:,} in a row; give options instead"
        )
    return text


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def check_files(made: Mapping[str, Any], where: str) -> None:
    """InvalidFileError where a row's files are none that it may hold, or another text than their hash says."""
    for command in made["commands"]:
        _require_command(command, where)
    if len(str(made.get("genotype", "")).encode()) > FILE_BYTES:
        raise InvalidFileError(f"{where}: its genotype has more than {FILE_BYTES:,} bytes; make it with snnas submit")
    seen = set[str]()
    for file in made.get("files", ()):
        name, text = file["name"], file["text"]
        if name not in FILES or name in seen:
            raise InvalidFileError(f"{where}: a file {name[:60]!r}, expected some of {', '.join(FILES)}, each once")
        if len(text.encode()) > FILE_BYTES or _digest(text) != file["sha256"]:
            raise InvalidFileError(
                f"{where}: {name} is not what its sha256 says, so the row was edited; make it again with snnas submit"
            )
        seen.add(name)
    missing = [name for name in FILES if name not in seen and name in _words(made)]
    if missing:
        raise InvalidFileError(f"{where}: its commands name {missing[0]}, which it lacks; make it with snnas submit")


def _require_command(command: str, where: str) -> None:
    """InvalidFileError for a line that snnas submit writes in no row: somebody will be told to type it."""
    try:
        words = shlex.split(command)
    except ValueError:
        words = []
    good = words[:1] == ["snnas"] and words[1:2] in (["search"], ["train"], ["export"])
    if not good or shlex.join(words) != command or not command.isprintable():
        raise InvalidFileError(
            f"{where}: a command {printable(command[:60])!r}, expected snnas search, train or export; make the row "
            "again with snnas submit"
        )


def write_files(made: Mapping[str, Any], folder: Path, *, force: bool = False) -> list[Path]:
    """What the commands of a row name, written into ``folder``; UsageError where a file is there and not ``force``."""
    texts = {file["name"]: file["text"] for file in made.get("files", ())}
    if GENOTYPE in _words(made):
        texts[GENOTYPE] = made["genotype"]
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"--out {folder}: a file, expected a folder to write into; name another one")
    there = [folder / name for name in texts if (folder / name).exists()]
    if there and not force:
        raise UsageError(f"{there[0]}: it is there already; name another --out, or give --force")
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        write_text(folder / name, text)
    return [folder / name for name in texts]


def _words(made: Mapping[str, Any]) -> set[str]:
    return {part for command in made["commands"] for word in shlex.split(command) for part in word.split("=")}
