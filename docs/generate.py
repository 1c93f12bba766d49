"""What in the documents comes from the program itself: ``python docs/generate.py`` writes it, a test compares.

* README.md between ``<!-- figures -->`` marks: the figures that matter of docs/data/demo.json, which ``make figures``
  measures; docs/quickstart.md between ``<!-- demo -->`` marks: its whole report.
* docs/cli.md: the help of every command. docs/schemas.md: what ``--json`` prints. docs/data/profiles.md: the table of
  docs/data/profiles.json, measured likewise. docs/leaderboard.md: the rows in docs/data/leaderboard, which ``snnas
  submit`` writes, and those that others published.
"""

from __future__ import annotations

import io
import json
import os
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT / "docs/data"
WIDTH = 120
DONE = "written by docs/generate.py"


def generated() -> dict[Path, str]:
    """The path and the text of every document that is generated, in part or as a whole."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    quickstart = (ROOT / "docs/quickstart.md").read_text(encoding="utf-8")
    return {
        ROOT / "README.md": between(readme, "figures", figures()),
        ROOT / "docs/quickstart.md": between(quickstart, "demo", f"```text\n{demo()}```\n"),
        ROOT / "docs/cli.md": cli_page(),
        ROOT / "docs/schemas.md": schemas_page(),
        ROOT / "docs/leaderboard.md": leaderboard_page(),
        DATA / "profiles.md": profiles(),
    }


def between(text: str, name: str, inner: str) -> str:
    """``text`` with ``inner`` between the marks called ``name``; as it is where there are none."""
    start, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    if start not in text:
        return text
    head, rest = text.split(start, 1)
    return f"{head}{start}\n{inner}{end}{rest.split(end, 1)[1]}"


def commands() -> list[list[str]]:
    """Every command by its words, groups included, in the order of the help."""
    import typer

    from snnas.toolchain.cli.app import app

    def below(command: Any, words: list[str]) -> list[list[str]]:
        inner = getattr(command, "commands", {}).items()
        return [found for name, part in inner for found in ([*words, name], *below(part, [*words, name]))]

    return below(typer.main.get_command(app), [])


def help_of(words: list[str]) -> str:
    """The help of a command, as wide as click makes it anywhere."""
    from snnas.toolchain.cli.app import run_command

    before, os.environ["COLUMNS"] = os.environ.get("COLUMNS"), str(WIDTH)
    out = io.StringIO()
    try:
        with redirect_stdout(out):
            assert run_command([*words, "--help"]) == 0, words
    finally:
        if before is None:
            del os.environ["COLUMNS"]
        else:
            os.environ["COLUMNS"] = before
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()) + "\n"


def cli_page() -> str:
    parts = [f"# The command line\n\nThe help of every command, {DONE}.\n"]
    parts += [f"## {' '.join(['snnas', *words])}\n\n```text\n{help_of(words)}```\n" for words in [[], *commands()]]
    return "\n".join(parts)


def schemas_page() -> str:
    from snnas.toolchain.results import schemas

    lines = [
        "# JSON schemas\n",
        f"What `--json` prints, as JSON Schema (draft 2020-12); {DONE}. `snnas schema` lists the\nschemas, "
        "`snnas schema NAME` prints one, with those that it refers to in its `$defs`. They come from the records in\n"
        "`toolchain/results/records/`, and `tests/golden/documents.txt` has every field in a line.\n",
        f"{schemas.POLICY}\n",
        "| schema | printed by | is |",
        "|---|---|---|",
    ]
    for row in schemas.overview():
        by = ", ".join(f"`{command}`" for command in row["printed_by"])
        lines.append(f"| `{row['schema']}` | {by} | {row['description']} |")
    return "\n".join(lines) + "\n"


BOARD = f"""# Leaderboard

What networks do *on target*, beside what they do in training: rows that anybody can make again, and figures that
others published. This page is {DONE}.

A row is a file of `snnas submit` in `docs/data/leaderboard`: an export that `snnas check` passes, measured on the
whole test split, with its seed, hashes, commands and the small files that these name: a space, a recipe, a budget, a
genotype. Data are no part of it: it holds the hash of them, as they are stored, so whoever has the same copy can make
it again, and `--compare` refuses another copy. To make a row again, in an empty folder:

    snnas submit --files ROW.json      # writes the files that its commands name, and prints the commands
    ...                                # run them, each in its turn
    snnas submit --compare ROW.json    # holds what they made against the row

It agrees where accuracy on target lies in the row's 95 % interval and activity, synaptic operations, energy, latency
and cores within a factor of 1.25; where the weights are the same, every figure is equal. Another machine may sum in
another order and choose another network. To submit one, write it with `snnas submit RUN --out FILE`, FILE being
docs/data/leaderboard/DATASET-NAME.json, and propose the file; a row whose commands give something else is not taken.

Energies are estimates for Loihi 1, lower .. nominal .. upper end. Published rows are what their sources say: of floats
where nothing stands under *on target*, and of another chip or network than ours in any case. Seconds are of the
clock, search and training together.

"""
HEADS = ("network", "chosen by", "float", "on target", "activity", "synops", "uJ", "cores", "C, Cortex-M4", "seconds")


def leaderboard_page() -> str:
    """A table per data set, the most accurate on target first."""
    rows = [json.loads(path.read_text(encoding="utf-8")) for path in sorted((DATA / "leaderboard").glob("*.json"))]
    published = json.loads((DATA / "published.json").read_text(encoding="utf-8"))["rows"]
    by_set: dict[str, list[dict[str, Any]]] = {}
    for row in [*rows, *published]:
        by_set.setdefault(row["dataset"], []).append(row)
    parts = [BOARD]
    for name, found in sorted(by_set.items()):
        found.sort(key=_board_order)
        parts.append(f"## {name}\n\n{_board_data(found)}| {' | '.join(HEADS)} |\n")
        parts.append("|---|---|--:|--:|--:|--:|--:|--:|---|--:|\n")
        parts += [f"| {' | '.join(_board_cells(row))} |\n" for row in found]
        noted = dict[str, list[str]]()
        for row in found:
            if row["note"]:
                noted.setdefault(row["note"], []).append(row["name"])
        notes = [f"{'; '.join(names)}: {note}" for note, names in noted.items()]
        parts.append("\n" + "".join(f"- {note}\n" for note in notes) + ("\n" if notes else ""))
    return "".join(parts)


def _board_data(rows: list[dict[str, Any]]) -> str:
    """The hash of the data that rows of a set were made with, and which rows where there is more than one."""
    made: dict[str, list[str]] = {}
    for row in rows:
        if row["made"]:
            made.setdefault(row["made"]["data_sha256"], []).append(row["name"])
    which = [f"`{key}`" + (f" ({'; '.join(names)})" if len(made) > 1 else "") for key, names in made.items()]
    return f"Data, sha256: {', '.join(which)}.\n\n" if which else ""


def _board_order(row: dict[str, Any]) -> tuple[bool, float, float]:
    """Ours first, the most accurate first, of equal ones the cheapest."""
    energy = (row["energy_uJ"] or {}).get("nominal", 0.0)
    return row["published"] is not None, -(row["on_target"] or row["accuracy"] or 0.0), energy


def _board_cells(row: dict[str, Any]) -> list[str]:
    from snnas.toolchain.output.report import span

    def shown(value: Any, spec: str) -> str:
        return "" if value is None else format(value, spec)

    low, high = row["interval"] or (None, None)
    band = "" if low is None else f" ({low:.1%} .. {high:.1%})"
    on = [core for core in row["c"] if core["core"] == "cortex-m4"]
    c = "".join(f"{k['flash_bytes'] / 1e3:.1f} + {k['ram_bytes'] / 1e3:.1f} kB, {k['instructions']:,.0f}" for k in on)
    made = row["made"]
    seconds = "" if made is None else f"{((made['seconds_search'] or 0) + made['seconds_training']):,.0f}"
    name = row["name"] if row["published"] is None else f"*[{row['name']}]({row['published']})*"
    blind = "" if made is None or made["blind"] else ", not blind"
    return [
        name,
        row["method"] + blind,
        shown(row["accuracy"], ".2%"),
        shown(row["on_target"], ".2%") + band,
        shown(row["sar"], ".3f"),
        shown(row["synops"], ",.0f"),
        span(row["energy_uJ"]) if row["energy_uJ"] else "",
        shown(row["cores"], ""),
        c,
        seconds,
    ]


def demo() -> str:
    from snnas.toolchain.output.report import table

    return rendered([table(json.loads((DATA / "demo.json").read_text(encoding="utf-8")))])


def figures() -> str:
    """The rows of the demo's report that a reader wants first, as a table of Markdown."""
    from snnas.toolchain.output.report import span

    report = json.loads((DATA / "demo.json").read_text(encoding="utf-8"))
    accuracy, sar, checks = report["accuracy"], report["sar"], report["checks"]
    low, high = accuracy["interval"]
    rows = [
        (
            "accuracy, 360 test samples",
            f"{accuracy['training']:.2%}",
            f"{accuracy['on_target']:.2%} ({low:.1%} .. {high:.1%})",
        ),
        ("spiking activity rate", f"{sar['training']:.4f}", f"{sar['on_target']:.4f}"),
        ("energy / inference, estimated", "", f"{span(report['energy_uJ']['total'])} uJ"),
        ("latency / inference, estimated", "", f"{span(report['latency_us'])} us"),
        ("mapped on", "", f"{report['resources']['cores']} cores of Loihi 1"),
        ("spikes that differ in Lava", "", f"{checks['lava_differing_spikes']} of {checks['lava_spikes_compared']:,}"),
    ]
    lines = ["| | training | on target |", "|---|--:|--:|", *(f"| {' | '.join(row)} |" for row in rows)]
    return "\n".join(lines) + "\n"


def profiles() -> str:
    from snnas.toolchain.output.report import span

    result = json.loads((DATA / "profiles.json").read_text(encoding="utf-8"))
    none = {"nominal": None}
    lines = ["| profile | encode | dynamic | floor | total | evidence | not priced |", "|---|---|---|---|---|---|---|"]
    for row in result["profiles"]:
        bands = [span(row[part] or none) for part in ("encode", "dynamic", "floor", "total")]
        lines.append(f"| {' | '.join([row['profile'], *bands, row['evidence'], ', '.join(row['unpriced'])])} |")
    return "\n".join(lines) + "\n"


def rendered(tables: list[Any]) -> str:
    """The tables as a pipe of WIDTH columns gets them."""
    from rich.console import Console

    out = io.StringIO()
    console = Console(file=out, width=WIDTH, highlight=False, markup=False, no_color=True)
    for table in tables:
        console.print(table)
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()) + "\n"


def main() -> None:
    for path, text in generated().items():
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
            sys.stdout.write(f"{path.relative_to(ROOT)}\n")


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    main()
