"""JUnit XML: a test suite per group of rules, a test case per check. What GitLab, Jenkins and Azure show as tests."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from xml.etree import ElementTree as Xml

from snnas.toolchain.checking.findings import Book, Finding, shown
from snnas.toolchain.checking.rules.rules import RULES

# What a status is called in JUnit. failure: the subject is worse than it must be; error: it could not be judged.
_ELEMENTS = {
    "failed": "failure",
    "invalid": "error",
    "unsupported": "error",
    "ignored": "skipped",
    "skipped": "skipped",
}

_TOTALS = {"failures": "failure", "errors": "error", "skipped": "skipped"}


def junit(books: Sequence[Book]) -> str:
    """The whole document. No times and no host: the same check gives the same bytes."""
    root = Xml.Element("testsuites", name="snnas check")
    totals = dict.fromkeys(("tests", *_TOTALS), 0)
    for book in books:
        for group, found in groupby(book.findings_by_group, key=lambda f: f.group):
            counted = _suite(root, book, group, list(found))
            totals = {key: totals[key] + counted[key] for key in totals}
    for key, value in totals.items():
        root.set(key, str(value))
    Xml.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + Xml.tostring(root, encoding="unicode") + "\n"


def _suite(root: Xml.Element, book: Book, group: str, findings: list[Finding]) -> dict[str, int]:
    suite = Xml.SubElement(root, "testsuite", name=f"{shown(str(book.subject))}: {group}")
    if group == book.findings_by_group[0].group:
        _properties(suite, book)
    kinds = ["failure" if f.status == "warned" and f.fails else _ELEMENTS.get(f.status) for f in findings]
    for finding, kind in zip(findings, kinds, strict=True):
        case = Xml.SubElement(suite, "testcase", name=f"{finding.code} {finding.name}", classname=f"snnas.{group}")
        if kind is not None:
            inner = Xml.SubElement(case, kind, message=finding.detail)
            if kind != "skipped":
                inner.set("type", finding.code)
            inner.text = f"{RULES[finding.code].title}: {finding.detail} ({finding.place})"
        elif finding.status == "warned":
            Xml.SubElement(case, "system-out").text = f"warning: {finding.detail}"
    counted = {"tests": len(findings)} | {total: kinds.count(kind) for total, kind in _TOTALS.items()}
    for key, value in counted.items():
        suite.set(key, str(value))
    return counted


def _properties(suite: Xml.Element, book: Book) -> None:
    known = {name: figure.value for name, figure in book.figures.items() if figure.value is not None}
    if known:
        properties = Xml.SubElement(suite, "properties")
        for name, value in known.items():
            Xml.SubElement(properties, "property", name=name, value=f"{value:.9g}")
