"""Whole commands over a run of which one file is hostile: what they say, write and end with."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import tomllib
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

from tests.faults.judge import STEERS, Target


def make_commands(made: Path) -> None:
    """A run with everything that commands read, trained and exported without Lava."""
    from tests.toolchain.html.test_html_page import make_run

    os.environ["SNNAS_LAVA_ENV"] = str(made / "absent")
    make_run(made / "runs", "run")


def commands(made: Path, work: Path) -> list[Target]:
    from snnas.export.formats.npz_file import read_npz
    from tests.faults.hostile_npz import hostile_npz, hostile_program
    from tests.faults.hostile_trees import json_lines, json_text, toml_text

    run = made / "runs/run"
    exported = run / "export/lava"
    canary = str(work / "canary")

    def read(name: str) -> Any:
        text = (run / name).read_text()
        if name.endswith(".toml"):
            return tomllib.loads(text)
        return [json.loads(row) for row in text.splitlines()] if name.endswith(".jsonl") else json.loads(text)

    makers: dict[str, Callable[[Random], bytes]] = {
        "run.toml": partial(toml_text, tree=read("run.toml")),
        "genotype.json": partial(json_text, tree=read("genotype.json")),
        "report.json": partial(json_text, tree=read("report.json")),
        "search.jsonl": partial(json_lines, records=read("search.jsonl")),
        "train.jsonl": partial(json_lines, records=read("train.jsonl")),
        "export/lava/manifest.json": partial(json_text, tree=read("export/lava/manifest.json")),
        "export/lava/counts.json": partial(json_text, tree=read("export/lava/counts.json")),
        "export/lava/golden.npz": partial(hostile_npz, arrays=read_npz(exported / "golden.npz"), canary=canary),
        "export/lava/program.npz": partial(hostile_program, arrays=read_npz(exported / "program.npz"), canary=canary),
    }
    if (run / "front.json").is_file():
        makers["front.json"] = partial(json_text, tree=read("front.json"))
    return [
        Target(name=f"{name} through the commands", file=f"runs/run/{name}", make=make, codes=(1, 2, 3, 4), seconds=60,
               read=partial(_command, healthy=run, name=name), mib=2048)
        for name, make in makers.items()
    ]  # fmt: skip


class Said(Exception):
    """What a command said wrongly."""


def _command(path: Path, healthy: Path, name: str) -> int:
    """The other files of the run are healthy; a command that the content chooses ends with a documented code."""
    from snnas.toolchain.cli.app import run_command

    runs = path.parents[len(Path(name).parts)]
    run = runs / "run"
    hostile = path.read_bytes()
    shutil.copytree(healthy, run, dirs_exist_ok=True)
    path.write_bytes(hostile)
    at = ["--runs-dir", str(runs)]
    lava = str(run / "export/lava")
    every = (
        ["runs", *at],
        ["runs", "--json", *at],
        ["report", "run", *at],
        ["report", "run", "--json", *at],
        ["report", "run", "--html", *at],
        ["check", lava],
        ["estimate", lava],
        ["simulate", lava, "--limit", "1"],
    )
    command = every[zlib.crc32(hostile) % len(every)]
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = run_command(command)
    last = [row for row in err.getvalue().split("\n") if row.startswith("snnas: ")]
    if code not in (0, 1, 2, 3, 4):
        raise Said(f"{command[0]} {' '.join(command[1:3])}: exit {code}: {err.getvalue()[-300:]!r}")
    if len(last) > 1 or (code in (2, 3, 4) and not last and command[0] != "check"):
        raise Said(f"{command[0]}: not one line: {err.getvalue()[-300:]!r}")
    _harmless(command, out.getvalue() + err.getvalue())
    page = run / "report.html"
    if page.is_file():
        text = page.read_text(encoding="utf-8")
        if "<script>alert" in text or "<img src=x" in text or "onload='alert" in text.replace("&#x27;", ""):
            raise Said("report --html: what a file holds became part of the page")
    return code


def _harmless(command: list[str], text: str) -> None:
    found = STEERS.search(text.replace("\n", ""))
    if found and "--json" not in command:
        raise Said(f"{command[0]}: steers the terminal with {found[0]!r}")
