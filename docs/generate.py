"""What in the documents comes from the program itself: ``python docs/generate.py`` writes it, a test compares.

* README.md between ``<!-- figures -->`` marks: the figures that matter of docs/data/demo.json, which ``make figures``
  measures; docs/quickstart.md between ``<!-- demo -->`` marks: its whole report.
* docs/cli.md: the help of every command. docs/schemas.md: what ``--json`` prints. docs/data/profiles.md: the table of
  docs/data/profiles.json, measured likewise.
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
