"""The action's comment on a pull request: its script as it stands, on whole events, its curl against a server here."""

from __future__ import annotations

import json
import shutil
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from snnas.toolchain.results.reading import hold
from snnas.toolchain.results.records.check import Check
from tests.toolchain.checking.check_subjects import ROOT
from tests.toolchain.checking.test_check_pipelines import action, bash, repository, run_action  # noqa: F401

EVENTS = ROOT / "tests/data/events"
pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="the action's script calls curl")


@dataclass
class Api:
    """What GitHub would be. status: of its answers. asked: path, header and body of what came."""

    url: str = ""
    status: int = 201
    asked: list[tuple[str, str, str]] = field(default_factory=list)


@pytest.fixture
def api() -> Iterator[Api]:
    made = Api()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            made.asked.append((self.path, self.headers["Authorization"], json.loads(body)["body"]))
            self.send_response(made.status)
            self.end_headers()
            self.wfile.write(b'{"message": "Resource not accessible by integration"}')

        def log_message(self, *given: object) -> None:
            """Nothing."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    made.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield made
    server.shutdown()
    thread.join()
    server.server_close()


def comment(repository: Path, api: Api, event: Path) -> subprocess.CompletedProcess[str]:
    (step,) = [s for s in action()["runs"]["steps"] if s.get("name") == "Comment"]
    of_github = {"GITHUB_API_URL": api.url, "GITHUB_REPOSITORY": "example-lab/gate", "GITHUB_EVENT_PATH": str(event)}
    return bash(step["run"], repository, TOKEN="secret", no_proxy="127.0.0.1", **of_github)


def summarised(repository: Path, text: str = "the table") -> None:
    """As if a check had written its summary."""
    folder = repository.parent / "temp/snnas-check"
    folder.mkdir(parents=True)
    (folder / "summary.md").write_text(text)


def rows_of(text: str) -> list[list[str]]:
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("| ")]
    return rows[[row[0] for row in rows].index("figure") :]


def as_row(figure: dict[str, Any], change: str) -> list[str]:
    """The row of a figure of ``check --json``, without its name."""

    def number(value: float | None) -> str:
        return "" if value is None else f"{value:.6g} {figure['unit']}".rstrip()

    def band(ends: dict[str, float] | None) -> str:
        return "" if ends is None else f"{ends['low']:.4g} .. {ends['nominal']:.4g} .. {ends['high']:.4g}"

    interval = " to ".join(f"{end:.4g}" for end in figure["interval"]) if "interval" in figure else ""
    return [
        number(figure["value"]), interval or band(figure.get("band")), number(figure["baseline"]),
        band(figure.get("baseline_band")), change, number(figure["limit"]),
    ]  # fmt: skip


def test_the_comment_has_every_figure_with_its_spread_and_what_got_worse_first(
    repository: Path, api: Api
) -> None:  # fmt: skip
    baseline = repository / "baseline.json"
    table = json.loads(baseline.read_text())
    known, bands = table["figures"], table["bands"]
    # Each by another share: energy doubles, SAR gains three fifths, a core is as before, accuracy is better.
    high = known["energy_total"] / 2
    known |= {"energy_total": high, "sar": known["sar"] / 1.6, "accuracy": known["accuracy"] * 0.9}
    bands["energy_total"] = {"low": 0.25, "nominal": 1.5, "high": high}
    known["latency"] *= 2  # by hand: its band is another figure's
    baseline.write_text(json.dumps(table))
    done, outputs = run_action(repository, graph="graph.nir", baseline="baseline.json")
    assert done.returncode == 1
    figures = json.loads(Path(outputs["json"]).read_text())
    hold(Check, figures, "check.json", "")
    figures = figures["figures"]
    assert comment(repository, api, EVENTS / "pull_request.json").returncode == 0
    ((path, token, text),) = api.asked
    assert (path, token) == ("/repos/example-lab/gate/issues/17/comments", "Bearer secret")

    rows = rows_of(text)
    assert rows[0] == ["figure", "now", "95 % interval, or band", "baseline", "its band", "change", "limit"]
    said = {row[0].replace("\\", ""): row[1:] for row in rows[1:]}
    assert list(said) == [
        "energy_total", "sar", "energy_dynamic", "cores", "chips", "neurons", "parameters", "memory", "spikes",
        "synops", "accuracy", "latency",
    ]  # fmt: skip
    changes = {
        "energy_total": "+100.00% worse", "sar": "+60.00% worse", "cores": "as before", "accuracy": "+11.11% better"
    }  # fmt: skip
    for name, change in changes.items():
        assert said[name] == as_row(figures[name], change), name

    energy = figures["energy_total"]
    assert energy["band"]["low"] < energy["band"]["nominal"] < energy["band"]["high"] == energy["value"]
    assert energy["band"] == priced(repository)
    assert said["energy_total"][3] == f"0.25 .. 1.5 .. {high:.4g}"
    for name in ("accuracy", "sar"):
        low, up = figures[name]["interval"]
        assert low <= figures[name]["value"] <= up
        assert low < up
    assert said["cores"] == ["1", "", "1", "", "as before", "1"]
    assert said["latency"][3] == "", "a figure that was set by hand has no band"
    assert "its upper end is what is judged" in text


def priced(repository: Path) -> dict[str, float]:
    """The band of the graph's energy, by another command."""
    done = bash("snnas estimate graph.nir --data graph.nir.check.npz --json", repository)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout)["energy_uJ"]["total"])


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (403, "no comment: the token may not write it, or no more for now (HTTP 403); the job needs pull-requests"),
        (404, "no comment: the token may not write it, or no more for now (HTTP 404); the job needs pull-requests"),
        (422, "answered HTTP 422"),
        (500, "answered HTTP 500"),
    ],
)
def test_what_is_refused_is_one_line_and_fails_nothing(
    status: int, said: str, repository: Path, api: Api
) -> None:  # fmt: skip
    """403 is what the token of a fork's request gets."""
    summarised(repository)
    api.status = status
    event = json.loads((EVENTS / "pull_request.json").read_text())["pull_request"]
    assert event["head"]["repo"]["fork"]
    done = comment(repository, api, EVENTS / "pull_request.json")
    assert (done.returncode, done.stderr, len(api.asked)) == (0, "", 1)
    (line,) = done.stdout.splitlines()
    assert line.startswith("::warning::")
    assert said in line


def test_what_lies_in_the_repository_is_not_run_where_the_token_is(repository: Path, api: Api) -> None:
    """Python would take a module of the working directory for its own."""
    summarised(repository)
    for name in ("json.py", "sys.py", "encodings.py", "enum.py"):
        (repository / name).write_text("raise SystemExit('a stranger was run')\n")
    done = comment(repository, api, EVENTS / "pull_request.json")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert len(api.asked) == 1


def test_an_api_that_does_not_answer_is_one_line(repository: Path, api: Api) -> None:
    summarised(repository)
    api.url = "http://127.0.0.1:1"
    done = comment(repository, api, EVENTS / "pull_request.json")
    assert (done.returncode, done.stderr) == (0, "")
    (line,) = done.stdout.splitlines()
    assert "answered HTTP 000" in line


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "::notice::snnas check: the event is of no pull request"),
        ("{}", "::notice::snnas check: the event is of no pull request"),
        ('{"action": "opened", "pull_request": {"num', "::warning::snnas check: no comment: "),
        ('{"action": "opened", "pull_request": {}}', "::warning::snnas check: no comment: "),
        ('{"pull_request": {"number": "17/../../x"}}', "::warning::snnas check: no comment: "),
        ("[]", "::warning::snnas check: no comment: "),
        ("", "::warning::snnas check: no comment: "),
        ("\x00\xff", "::warning::snnas check: no comment: "),
    ],
)
def test_an_event_without_a_request_is_said_and_fails_nothing(
    text: str | None, said: str, repository: Path, api: Api
) -> None:  # fmt: skip
    """A push (None), and files that are no event."""
    summarised(repository)
    event = EVENTS / "push.json"
    if text is not None:
        event = repository.parent / "event.json"
        event.write_text(text, encoding="latin-1")
    done = comment(repository, api, event)
    assert (done.returncode, done.stderr, api.asked) == (0, "", [])
    (line,) = done.stdout.splitlines()
    assert line.startswith(said)


def test_an_event_that_is_not_there_and_a_check_that_wrote_nothing(repository: Path, api: Api) -> None:
    done = comment(repository, api, EVENTS / "pull_request.json")
    assert (done.returncode, done.stdout) == (0, "::notice::snnas check: there is nothing to comment\n")
    summarised(repository)
    done = comment(repository, api, repository / "nowhere.json")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("::warning::snnas check: no comment: ")
    assert api.asked == []


def test_a_long_comment_is_cut(repository: Path, api: Api) -> None:
    """GitHub takes 65,536 characters."""
    summarised(repository, "ü" * 70_000)
    assert comment(repository, api, EVENTS / "pull_request.json").returncode == 0
    assert len(api.asked[0][2]) == 60_000


def test_the_recorded_events_are_whole() -> None:
    """What GitHub documents of a pull_request event, and numbers in it that are none of the request."""
    event = json.loads((EVENTS / "pull_request.json").read_text())
    assert {"action", "number", "pull_request", "repository", "sender", "before", "after"} <= event.keys()
    request = event["pull_request"]
    assert {"head", "base", "user", "milestone", "_links", "author_association", "merge_commit_sha"} <= request.keys()
    assert request["number"] == event["number"] != request["milestone"]["number"]
    assert "pull_request" not in json.loads((EVENTS / "push.json").read_text())
