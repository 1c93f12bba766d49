"""``snnas explain``: what the rules of ``snnas check`` mean. Registered in ``app``."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from snnas.toolchain.cli.options import AsJson
from snnas.toolchain.output.stdout import print_json, print_text


def explain(
    codes: Annotated[
        list[str] | None, typer.Argument(metavar="[CODE]...", help="Rules' codes, as SN302; all where left out.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Say what a rule of snnas check means, why it is there, and how to mend a breach."""
    from snnas.toolchain.checking.rules.rules import GROUPS
    from snnas.toolchain.commands.check import explain_rules

    rules = explain_rules(codes or ())
    if as_json:
        rows = [{**asdict(rule), "group": rule.group} for rule in rules]
        print_json({"schema": "snnas.rules/1", "rules": rows})
    elif codes:
        print_text("\n\n".join(map(str, rules)))
    else:
        for prefix, group in GROUPS.items():
            print_text(f"{prefix}xx  {group}")
            for rule in rules:
                if rule.code.startswith(prefix):
                    print_text(f"  {rule.code}  {rule.title} ({rule.severity})")
