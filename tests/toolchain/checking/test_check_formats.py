"""What a check prints: every format, and that no text of a stranger's file steers a terminal, a page or a pipeline."""

from __future__ import annotations

import json
import re
import threading
from pathlib import Path
from xml.etree import ElementTree

import pytest

from snnas.toolchain.checking.findings import Book, Figure, Policy, amount_of, exit_code, shown
from snnas.toolchain.checking.formats.formats import NAMES, Sink, parse_formats, tell
from snnas.toolchain.checking.formats.junit import junit
from snnas.toolchain.checking.formats.markup import escaped
from snnas.toolchain.checking.formats.sarif import sarif
from snnas.toolchain.checking.formats.text import summary
from snnas.toolchain.checking.rules.rules import RULES
from snnas.toolchain.output import stderr
from snnas.toolchain.output.stderr import Narrator
from snnas.toolchain.results import schemas
from tests.toolchain.checking.check_subjects import ROOT

xmlschema = pytest.importorskip("xmlschema")
LENIENT = Policy()
EVERY_WARNING = Policy(strict=True, portable=True)
HOSTILE = (
    "a\x1b[31m\x00b\x9b\u202e\u2028\ud800\ufffe|`<script>x</script>](http://x) %0A::error::,y:z\r\n::warning::*_~ &"
)


def book(name: str = "graph.nir", policy: Policy = LENIENT) -> Book:
    found = Book(subject=Path(name), kind="graph", policy=policy)
    found.add("SN105", "graph", "passed", "8 nodes")
    found.add("SN107", "hostile", "invalid", HOSTILE)
    found.add("SN206", "portable", "warned", "r is not 1")
    found.add("SN302", f"spikes {HOSTILE}", "failed", "1 spike differs")
    found.add("SN118", "model", "unsupported", "no onnx")
    found.add("SN309", "reach", "skipped", "nothing to run")
    found.figures = {"sar": Figure(metric="sar", unit="", value=0.5, baseline=None, limit=0.25)}
    found.note(HOSTILE)
    return found


def told(tmp_path: Path, name: str, *books: Book) -> str:
    path = tmp_path / f"out.{name}"
    tell(books or (book(),), [Sink(name, path)])
    return path.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", NAMES)
def test_no_format_carries_control_characters(name: str, tmp_path: Path) -> None:
    text = told(tmp_path, name)
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028-\u202e\ud800-\udfff\ufffe\uffff]", text)
    assert told(tmp_path, name) == text  # and the same check gives the same bytes


def test_what_is_shown_is_one_line_of_bounded_length() -> None:
    assert shown("a\r\nb\tc") == "a b c"
    assert shown("x" * 5000) == "x" * 997 + "..."


def test_json_has_its_schema_and_every_field(tmp_path: Path) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    one = json.loads(told(tmp_path, "json"))
    assert one["schema"] == "snnas.check/2"
    assert one["exit_code"] == 3
    assert [f["code"] for f in one["findings"]] == ["SN105", "SN107", "SN206", "SN302", "SN118", "SN309"]
    assert {"code", "group", "name", "status", "detail", "place"} == set(one["findings"][0])
    two = json.loads(told(tmp_path, "json", book(), book("b.nir")))
    assert [c["subject"] for c in two["checks"]] == ["graph.nir", "b.nir"]
    for document, name in ((one, "check"), (two, "checks")):
        jsonschema.validate(document, schemas.schema(name))


def test_junit_validates_and_counts(tmp_path: Path) -> None:
    schema = xmlschema.XMLSchema(str(ROOT / "tests/data/check/junit.xsd"))
    for policy in (LENIENT, EVERY_WARNING, Policy(ignored=frozenset(RULES))):
        several = book(policy=policy), book("other/graph.nir", policy)
        for books in (several[:1], several, (Book(subject=Path("x"), kind="graph"),)):
            schema.validate(junit(books))
    root = ElementTree.fromstring(junit([book()]))
    assert root.attrib == {"name": "snnas check", "tests": "6", "failures": "1", "errors": "2", "skipped": "1"}
    suites = {suite.get("name"): suite for suite in root}
    assert list(suites) == [
        "graph.nir: file and schema",
        "graph.nir: topology and portability",
        "graph.nir: equivalence with the recording",
    ]
    assert suites["graph.nir: file and schema"].find("properties/property").attrib == {"name": "sar", "value": "0.5"}
    failure = root.find(".//failure")
    assert failure is not None
    assert (failure.get("type"), failure.get("message")) == ("SN302", "1 spike differs")
    assert ElementTree.fromstring(junit([book(policy=EVERY_WARNING)])).get("failures") == "2"
    with pytest.raises(xmlschema.XMLSchemaException):  # the schema can refuse
        schema.validate(junit([book()]).replace("<testcase", "<case", 1).replace("</testcase>", "</case>", 1))


def test_markdown_holds_no_markup_of_a_stranger(tmp_path: Path) -> None:
    text = told(tmp_path, "markdown")
    assert "<script>" not in text
    assert "](http" not in text
    rows = [line for line in text.splitlines() if line.startswith("| invalid") or line.startswith("| failed")]
    assert [len(re.findall(r"(?<!\\)\|", row)) for row in rows] == [5, 5]
    assert "| sar | 0.5 |  |  |  |  | 0.25 |" in text
    assert escaped("a|b_c") == r"a\|b\_c"


def test_a_long_summary_is_cut_and_says_so(tmp_path: Path) -> None:
    many = Book(subject=Path("graph.nir"), kind="graph")
    for number in range(2000):
        many.add("SN302", f"check {number}", "failed", "x" * 900)
    text = told(tmp_path, "markdown", many)
    assert len(text.encode()) < 1 << 20
    assert "are left out" in text.splitlines()[-1]


def test_github_annotations_are_escaped_and_the_worst_come_first(tmp_path: Path) -> None:
    lines = told(tmp_path, "github").splitlines()
    assert [line.split(" ")[0] for line in lines[:-1]] == ["::error", "::error", "::error", "::warning"]
    for line in lines[:-1]:
        match = re.fullmatch(r"::(error|warning) file=([^,:]*),title=([^,:]*)::(.*)", line)
        assert match is not None, line
        assert "%0A::error" not in match[4].replace("%250A", "")
    assert "title=SN107 every parameter is finite" in lines[0]
    many = Book(subject=Path("a,b:c.nir"), kind="graph")
    for number in range(14):
        many.add("SN302", f"check {number}", "failed", "differs")
    lines = told(tmp_path, "github", many).splitlines()
    assert sum(line.startswith("::error ") for line in lines) == 10
    assert lines[10] == "::notice::4 more of level error are not shown here"
    assert "file=a%2Cb%3Ac.nir," in lines[0]


@pytest.mark.parametrize(
    ("findings", "policy", "code"),
    [
        (["SN302 passed", "SN302 skipped"], EVERY_WARNING, 0),
        (["SN302 passed", "SN309 warned"], LENIENT, 0),
        (["SN302 passed", "SN309 warned"], Policy(strict=True), 1),
        (["SN302 passed", "SN309 warned"], Policy(portable=True), 0),
        (["SN201 warned", "SN206 warned", "SN114 warned"], Policy(strict=True), 0),
        (["SN201 warned"], Policy(portable=True), 1),
        (["SN302 failed", "SN309 warned"], LENIENT, 1),
        (["SN302 failed", "SN309 warned"], Policy(strict=True, ignored=frozenset({"SN302", "SN309"})), 0),
        (["SN101 invalid", "SN106 unsupported"], Policy(ignored=frozenset({"SN101", "SN106"})), 3),
        (["SN106 unsupported"], Policy(ignored=frozenset({"SN106"})), 4),
        (["SN302 failed", "SN106 unsupported"], LENIENT, 4),
        (["SN106 unsupported", "SN101 invalid", "SN302 failed"], LENIENT, 3),
    ],
)
def test_exit_codes(findings: list[str], policy: Policy, code: int) -> None:
    found = Book(subject=Path("x"), kind="graph", policy=policy)
    for finding in findings:
        rule, status = finding.split()
        found.add(rule, finding, status, "")  # type: ignore[arg-type]
    assert exit_code(found.findings) == found.exit_code == code


def test_a_line_sums_the_check_up() -> None:
    assert summary(book()) == [
        "FAILED: 3 of 6 checks (SN107, SN302, SN118); 1 warning (SN206); snnas explain SN107",
    ]
    meant = book()
    meant.meant = "snnas check graph.nir --record auto --force"
    assert summary(meant)[1] == f"meant? record again with: {meant.meant}"
    fine = Book(subject=Path("x.nir"), kind="graph", policy=Policy(ignored=frozenset({"SN302"})), meant=meant.meant)
    fine.add("SN302", "spikes", "failed", "1 spike differs")
    assert summary(fine) == ["passed: 1 check; 1 ignored (SN302)"]
    assert [amount_of(n, "core") for n in (0, 1, 2)] == ["0 cores", "1 core", "2 cores"]


def test_quiet_prints_what_fails_alone(capsys: pytest.CaptureFixture[str]) -> None:
    tell([book()], [Sink("text", None)], quiet=True)
    captured = capsys.readouterr()
    assert "SN302" in captured.out
    assert "SN206 " not in captured.out.replace("(SN206)", "")
    assert "SN105" not in captured.out
    assert not captured.err
    fine = Book(subject=Path("x.nir"), kind="graph")
    fine.add("SN206", "portable", "warned", "r is not 1")
    tell([fine], [Sink("text", None)], quiet=True)
    assert capsys.readouterr().out == ""
    tell([fine], [Sink("text", None)])
    assert "passed: 1 check; 1 warning (SN206)" in capsys.readouterr().out


def test_sarif_has_what_the_standard_requires() -> None:
    """The required properties of SARIF 2.1.0, section 3, and those that GitHub code scanning asks for beside them."""
    policy = Policy(strict=True, ignored=frozenset({"SN302"}))
    found = json.loads(sarif([book(policy=policy), book("b c.nir", policy)]))
    assert found["version"] == "2.1.0"
    assert found["$schema"].endswith("sarif-2.1.0.json")
    assert len({run["automationDetails"]["id"] for run in found["runs"]}) == len(found["runs"]) == 2
    for run in found["runs"]:
        rules = run["tool"]["driver"]["rules"]
        assert run["tool"]["driver"]["name"] == "snnas check"
        assert [rule["id"] for rule in rules] == ["SN107", "SN118", "SN206", "SN302"]
        assert all(rule["shortDescription"]["text"] and rule["help"]["text"] for rule in rules)
        for result in run["results"]:
            assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
            assert result["level"] in ("none", "note", "warning", "error")
            assert result["message"]["text"]
            (location,) = result["locations"]
            assert location["physicalLocation"]["region"] == {"startLine": 1}
            assert re.fullmatch(r"[A-Za-z0-9._/%-]+", location["physicalLocation"]["artifactLocation"]["uri"])
            assert len(result["partialFingerprints"]) == 1
        levels = {result["ruleId"]: (result["level"], "suppressions" in result) for result in run["results"]}
        assert levels == {
            "SN107": ("error", False),
            "SN206": ("warning", False),
            "SN302": ("warning", True),
            "SN118": ("error", False),
        }
    assert json.loads(sarif([Book(subject=Path("x"), kind="graph")]))["runs"][0]["results"] == []


def test_formats_are_parsed() -> None:
    from snnas.hw_sim.errors import UsageError

    assert parse_formats([], False) == [Sink("text", None)]
    assert parse_formats([], True) == [Sink("json", None)]
    assert parse_formats(["junit=a=b.xml"], False) == [Sink("text", None), Sink("junit", Path("a=b.xml"))]
    assert parse_formats(["text", "github"], False) == [Sink("text", None), Sink("github", None)]
    for bad, word in ((["juint"], "junit"), (["junit="], "file"), (["json", "github"], "one stdout")):
        with pytest.raises(UsageError, match=word):
            parse_formats(bad, False)


def test_what_takes_long_is_said_while_it_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    heard, said = threading.Event(), list[str]()

    def say(self: Narrator, text: str) -> None:
        said.append(text)
        heard.set()

    monkeypatch.setattr(Narrator, "say", say)
    monkeypatch.setattr(stderr, "SOON", 0.01)
    book = Book(subject=Path("g.nir"), kind="graph", narrator=Narrator())
    assert book.attempt("SN105", "slow", lambda: heard.wait(60))
    assert said == ["g.nir: slow ..."]
    monkeypatch.setattr(stderr, "SOON", 3600.0)
    assert book.attempt("SN105", "fast", lambda: True)
    assert len(said) == 1
