"""SARIF 2.1.0 (OASIS, March 2020): what GitHub code scanning and editors show as findings of a file.

A run per check, its rules with their long text, a result per finding that did not pass. What is ignored is a result
with a suppression; what passed is none.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from snnas.toolchain.checking.findings import Book, Finding, shown
from snnas.toolchain.checking.rules.rules import RULES

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
VERSION = "2.1.0"


def sarif(books: Sequence[Book]) -> str:
    """The whole document. No times and no host: the same check gives the same bytes."""
    runs = [_run(book) for book in books]
    return json.dumps({"$schema": SCHEMA, "version": VERSION, "runs": runs}, indent=2, allow_nan=False)


def _run(book: Book) -> dict[str, Any]:
    told = [f for f in book.findings if f.status not in ("passed", "skipped")]
    codes = sorted({f.code for f in told})
    return {
        "tool": {"driver": {"name": "snnas check", "rules": [_rule(code) for code in codes]}},
        # Without it GitHub takes the second graph of a pipeline for a new version of the first.
        "automationDetails": {"id": f"snnas/{shown(str(book.subject))}/"},
        "invocations": [{"executionSuccessful": True, "exitCode": book.exit_code}],
        "results": [_result(f, codes.index(f.code)) for f in told],
    }


def _rule(code: str) -> dict[str, Any]:
    rule = RULES[code]
    return {
        "id": code,
        "shortDescription": {"text": rule.title},
        "fullDescription": {"text": rule.why},
        "help": {"text": f"{rule.why}\n\nMend: {rule.mend}"},
    }


def _result(finding: Finding, index: int) -> dict[str, Any]:
    found: dict[str, Any] = {
        "ruleId": finding.code,
        "ruleIndex": index,
        "level": "error" if finding.fails else "warning",
        "message": {"text": f"{finding.name}: {finding.detail}"},
        # GitHub drops results without a line; these files have none, so that the first stands for the whole.
        "locations": [
            {
                "physicalLocation": {
                    "artifactLocation": {"uri": quote(finding.place)},
                    "region": {"startLine": 1},
                }
            }
        ],
        "partialFingerprints": {"snnasFinding/v1": f"{finding.code}:{finding.name}"},
    }
    if finding.status == "ignored":
        found["suppressions"] = [{"kind": "external", "justification": f"--ignore {finding.code}"}]
    return found
