"""report.html without a browser: well-formed, complete, harmless, the same bytes, and honest about what is missing."""

from __future__ import annotations

import base64
import hashlib
import json
import math
import re
import shutil
from collections.abc import Callable
from dataclasses import asdict, replace
from html.parser import HTMLParser
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from snnas.export.compiler.ranges import prove
from snnas.export.formats.npz_file import write_npz
from snnas.export.formats.program_file import write_program
from snnas.hw_sim.energy.latency import estimate_latency
from snnas.hw_sim.energy.price import price
from snnas.hw_sim.energy.profile import load_profile
from snnas.hw_sim.errors import InvalidFileError
from snnas.hw_sim.files import sha256, write_json
from snnas.hw_sim.map.mapping import load_system, map_program
from snnas.hw_sim.simulate.counter import Counter
from snnas.hw_sim.simulate.silence import Silence
from snnas.toolchain.html import material, tables, write_html
from snnas.toolchain.html.figures_search import _extremes
from snnas.toolchain.html.material import Material
from snnas.toolchain.html.page import SECTIONS, document, guarded
from snnas.toolchain.output.svg import png, thinned, ticks
from snnas.toolchain.runs.run import Run
from tests.documents import IN_C, REPORT, RUN, SEARCHED, TRAINED
from tests.programs import random_program, recorded

OPS = ("zeroize", "skip", "conv3x3")
FIGURES = {
    "Cells 1, 2 (the same)",
    "Score history",
    "Pruning history",
    "Loss",
    "Accuracy in training",
    "Front before training",
    "Front after training",
    "Spiking activity rate per population",
    "Synaptic operations per population",
    "Spike raster",
    "Input",
    "Output of each class",
    "Differing spikes per population",
    "Registers",
    "Where program and graph part",
    "Inherited, or made here",
    "Spike counts: program against float graph",
    "Spikes per timestep",
    "Placement",
    "Core utilisation",
    "Energy by part",
    "Energy by item",
}
DRAWN = [id_ for id_, _, _ in SECTIONS if id_ != "microcontroller"]  # of an export to Lava
ERROR = {
    "weight": 0.01, "threshold": -3e-4, "leak": 0.0, "current_decay": 0.0, "bias": 2e-4, "differing": 12, "spikes": 400,
}  # fmt: skip
# name, ending: what somebody may have put into a file
HOSTILE = (
    '"><script>alert(1)</script>',
    "'onload=alert(1) x='",
    "a\u202eb\u2066c",
    "\x1b[31m\x07\x00",
    "</style></svg>&amp;",
)


def make_run(folder: Path, name: str = "digits-lightsnn-001", *, evaluations: int = 30, epochs: int = 4) -> Run:
    """A run with every file that the page reads, of a small random program; no training, no torch."""
    run = Run(folder / name)
    export = run.export("lava")
    export.mkdir(parents=True)
    program = random_program(5)
    program = replace(program, meta={"node_of": {p.id: p.id for p in program.populations if p.role == "neuron"}})
    golden, trace = recorded(program, 4)
    mapping = map_program(program, load_system())
    counter = Counter(program, mapping)
    counter.add(
        trace, currents={k.removeprefix("currents."): v for k, v in golden.items() if k.startswith("currents.")}
    )
    counts = counter.result()
    write_program(export / "program.npz", program)
    write_npz(export / "golden.npz", golden)
    write_npz(export / "stimulus.npz", {"x": np.linspace(0, 1, 4 * 48).reshape(4, *program.input_shape)})
    write_json(export / "counts.json", counts.to_json())
    profile = load_profile("loihi1")
    bill = price(counts, profile, estimate_latency(counts, profile))
    ranges = prove(program)
    report = REPORT | {
        "run": name,
        "accuracy": REPORT["accuracy"] | {"flips_to_wrong": 1, "flips_to_right": 2},
        "sar": REPORT["sar"] | {"on_target": counts.sar, "per_population": rates(counts)},
        "energy_uJ": REPORT["energy_uJ"]
        | {
            part: asdict(band) if (band := getattr(bill, part)) else dict.fromkeys(("low", "nominal", "high"))
            for part in ("encode", "dynamic", "floor", "total")
        },
        "checks": REPORT["checks"]
        | {"nir_smallest_margin": 1e-6, "ranges_proved": len(ranges), "ranges_populations": len(ranges)},
        "quantisation": {name: ERROR for name in program.meta["node_of"]},
        "ranges": {name: found.to_json() for name, found in ranges.items()},
        "provenance": {
            "sar.training": "measured",
            "sar.on_target": "simulated",
            "synops_per_inference": "simulated",
            "energy_uJ": "estimated",
            "resources": "estimated",
        },
    }
    write_json(run.report, report)
    graph = {
        p.id: [int(n) + k for k, n in enumerate(trace.spikes[p.id].sum(axis=(0, 2, 3, 4)))]
        for p in program.populations
        if p.role == "neuron"
    }
    manifest = {"inputs": {"samples": 4}, "versions": {"numpy": "2"}, "graph_spikes": graph}
    manifest["files"] = {p.name: sha256(p) for p in sorted(export.iterdir())}
    write_json(export / "manifest.json", manifest)
    run.diagnosis.parent.mkdir()
    write_json(run.diagnosis, diagnosis(list(program.meta["node_of"]), sha256(export / "program.npz")))
    write_searched(run, evaluations, epochs)
    return run


def diagnosis(names: list[str], program: str) -> dict[str, Any]:
    """A diagnosis with a fault, a first difference and a smallest input, over three timesteps."""
    share = {"accuracy": 0.5, "agreement": 0.75, "differing_spikes": 30, "differing_fraction": 0.02}
    worth = share | {"points": 2.5, "mended": 2, "broken": 1, "spikes": 20}
    shares = [{"fraction": [0.0, 0.01 * k, 0.3], "own_fraction": [0.0, 0.005, 0.01]} for k in range(len(names))]
    return {
        "schema": "snnas.diagnose/1",
        "program_sha256": program,
        "samples": 8,
        "labels": True,
        "note": "causes interact",
        "graph": share,
        "program": share,
        "export": {"samples": 90, "training": 0.9, "on_target": 0.8, "agreement": None, "taken": 8, "data": ""},
        "mends": [{"text": "--bits 8", "cause": "weights", "accuracy": 0.75, "agreement": 0.5, "points": 25.0}],
        "faults": [
            {"population": names[0], "kind": "threshold off", "where": "", "text": "vth is 5", "mended": worth},
            {"population": names[-1], "kind": "delay off", "where": "a", "text": "not run", "mended": {}},
        ],
        "causes": [
            {"cause": "weights", "meaning": "weights rounded", "off_alone": worth, "on_alone": worth},
            {"cause": "leak", "meaning": "leak in steps", "off_alone": {}, "on_alone": {}},
        ],
        "first": {
            "population": names[0], "timestep": 1, "neuron": [0, 1, 2], "sample": 3, "float_fires": True,
            "float_margin": 1e-5, "integer_v": 320, "integer_threshold": 384, "removed_by": ["bias"],
        },
        "divergence": {
            "timesteps": 3, "populations": [{"population": n} | s for n, s in zip(names, shares, strict=True)],
        },
        "smallest": {
            "sample": 3, "differs_in": "prediction", "graph_predicts": 1, "program_predicts": 2, "nonzero": 4,
            "nonzero_before": 40,
        },
    }  # fmt: skip


def rates(counts: Any) -> dict[str, Any]:
    return {
        p.id: {"training": 0.2, "on_target": counts.sar_of[p.id], "neurons": p.neurons}
        for p in counts.populations
        if p.role == "neuron"
    }


def write_searched(run: Run, evaluations: int, epochs: int) -> None:
    """What a search and a training leave behind."""
    config = RUN | {"name": run.name, "network": RUN["network"] | {"timesteps": 3}}
    run.write_config(config | {"search": SEARCHED | {"evaluations": evaluations}, "training": TRAINED})
    edges = ["0->1", "0->2", "0->3", "1->2", "1->3", "2->3"]
    forward = dict(zip(edges, ["conv3x3", "zeroize", "skip", "conv3x3", "zeroize", "conv3x3"], strict=True))
    cells = [{"forward": forward, "backward": {"2->1": "skip"}}] * 2
    write_json(run.genotype, {"format": "snnas-genotype", "version": 1, "space": "lightsnn", "cells": cells})
    log = [
        {
            "event": "evaluation",
            "round": 1 + k // 18,
            "edge": edges[k // 3 % 6],
            "op": OPS[k % 3],
            "score": None if k == 7 else 500 + 30 * math.sin(k),
        }
        for k in range(evaluations)
    ]
    log += [{"event": "removal", "round": 1, "edge": edge, "op": "skip", "score": 520.5} for edge in edges]
    log.append({"event": "guard", "round": 2, "edge": None, "op": None, "guard": "alive", "text": "head is silent"})
    run.search_log.path.write_text("".join(json.dumps(record) + "\n" for record in log))
    losses = [
        {
            "epoch": k,
            "loss": 2 / k,
            "train_accuracy": 1 - 0.5 / k,
            "val_accuracy": 1 - 0.6 / k,
            "val_loss": 2.2 / k,
            "lr": 0.01,
            "seconds": 1.0,
        }
        for k in range(1, epochs + 1)
    ]
    run.train_log.path.write_text("".join(json.dumps(record) + "\n" for record in losses))
    write_json(run.path / "front.json", front())


def front() -> dict[str, Any]:
    def cost(energy: float, accuracy: float | None) -> dict[str, Any]:
        band = {"low": energy / 2, "nominal": energy, "high": 2 * energy}
        return {"figures": {"cores": 3.0}, "energy_uJ": band, "latency_us": None, "samples": 144, "accuracy": accuracy}

    points = [
        {
            "n": k,
            "architecture": f"{k:012x}",
            "score": 500.0 + 10 * k,
            "predicted": cost(10.0 * k, None),
            "validation_accuracy": 0.7 + 0.05 * k,
            "measured": cost(11.0 * k, 0.7 + 0.04 * k),
            "beaten": k == 2,
        }
        for k in (1, 2, 3)
    ]
    return {
        "schema": "snnas.front/1",
        "objectives": ["score", "energy_total"],
        "priced": 40,
        "points": points,
        "candidates": [[480.0 + k, 12.0 + k % 7] for k in range(40)],
        "rank_correlation": {"energy_total": 1.0},
    }


class Reader(HTMLParser):
    """Checks nesting, and collects ids, links, texts and the names of pictures."""

    VOID = frozenset({"meta", "br", "col", "hr", "img"})

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.ids: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.figures: list[str] = []
        self.text: list[str] = []
        self.tables = 0
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in self.VOID:
            self.open.append(tag)
        found = {k: v or "" for k, v in attrs}
        assert len(found) == len(attrs), f"{tag} has an attribute twice"
        self.attributes += [(tag, k, v) for k, v in found.items()]
        if "id" in found:
            self.ids.append(found["id"])
        if tag == "svg" and found.get("role") == "img":
            self.figures.append(found["aria-label"].split(":")[0])

    def handle_endtag(self, tag: str) -> None:
        assert self.open
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("style", "script"):
            self.text.append(data)

    @property
    def said(self) -> str:
        return " ".join(self.text)


def page_of(run: Run) -> str:
    return write_html(run).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return make_run(tmp_path_factory.mktemp("html"))


@pytest.fixture
def run(original: Run, tmp_path: Path) -> Run:
    """A copy that a test may spoil."""
    return Run(Path(shutil.copytree(original.path, tmp_path / original.name)))


def test_the_page_is_whole(run: Run) -> None:
    page = page_of(run)
    reader = Reader(page)
    assert page.startswith('<!doctype html>\n<html lang="en">')
    assert set(DRAWN) <= set(reader.ids)
    assert len(reader.ids) == len(set(reader.ids))
    links = {v for tag, k, v in reader.attributes if tag == "a" and k == "href"}
    assert links == {f"#{id_}" for id_ in DRAWN} | {"#content"}
    drawn = [name for name in reader.figures]
    assert {name if name in FIGURES else name.split(": ")[0] for name in drawn} == {f.split(":")[0] for f in FIGURES}
    assert 'class="missing' not in page
    assert page.count("<figure>") == page.count("<summary>Numbers") == page.count("</desc>")
    assert len(page) < 200_000
    assert "…" not in page
    for words in ("measured | simulated", "estimated, profile loihi1", "head is silent"):
        assert words in reader.said


def test_nothing_is_asked_of_the_network_and_nothing_foreign_runs(run: Run) -> None:
    page = page_of(run)
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]+)"', page)
    assert policy
    rules = dict(rule.strip().split(" ", 1) for rule in policy[1].replace("&#x27;", "'").split(";"))
    assert rules["default-src"] == "'none'"
    assert rules["img-src"] == "data:"
    for tag in ("style", "script"):
        (inside,) = re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(inside.encode()).digest()).decode()
        assert rules[f"{tag}-src"] == f"'sha256-{digest}'"
    reader = Reader(page)
    for tag, key, value in reader.attributes:
        assert not key.startswith("on"), (tag, key)
        assert key not in ("src", "style", "srcdoc", "action"), (tag, key)
        if key == "href":
            assert value.startswith(("#", "data:image/png;base64,")), value
    assert "url(" not in page
    assert "@import" not in page


def test_equal_folders_give_equal_bytes(run: Run, original: Run) -> None:
    assert write_html(run).read_bytes() == write_html(original, run.path / "again.html").read_bytes()
    assert not list(run.path.glob(".*.part"))


def _texts(value: Any, hostile: str) -> Any:
    """Every text of a JSON value followed by ``hostile``, as far as the value stays one of its kind."""
    if isinstance(value, dict):
        return {k: _texts(v, hostile) for k, v in value.items()}
    if isinstance(value, list):
        return [_texts(v, hostile) for v in value]
    return value + hostile if isinstance(value, str) else value


@pytest.mark.parametrize("hostile", HOSTILE)
def test_names_of_others_stay_text(run: Run, hostile: str) -> None:
    before = {tag for tag, _, _ in Reader(page_of(run)).attributes}
    config = run.config()
    config["data"]["name"] = config["method"]["name"] = config["versions"]["numpy"] = hostile.replace("\x00", "")
    run.write_config(config)
    report = json.loads(run.report.read_text())
    for key in ("dataset", "method", "run"):
        report[key] = hostile
    report["checks"]["lava"] = report["energy_uJ"]["evidence"] = hostile
    report["energy_uJ"]["unpriced"] = [hostile]
    report["sar"]["per_population"] = {
        name + hostile: values for name, values in report["sar"]["per_population"].items()
    }
    write_json(run.report, report)
    log = [_texts(r, hostile) | {"event": r["event"]} for r in run.search_log.read()]
    run.search_log.path.write_text("".join(json.dumps(r) + "\n" for r in log))
    points = json.loads((run.path / "front.json").read_text())
    for point in points["points"]:
        point["architecture"] = hostile
    write_json(run.path / "front.json", points)
    found = json.loads(run.diagnosis.read_text())
    kept = {"schema", "program_sha256"}
    write_json(run.diagnosis, {k: v if k in kept else _texts(v, hostile) for k, v in found.items()})
    for part in ("quantisation", "ranges"):
        report[part] = {name + hostile: values for name, values in report[part].items()}
    write_json(run.report, report)
    manifest = json.loads((run.export("lava") / "manifest.json").read_text())
    manifest["versions"][hostile] = hostile
    manifest["files"][hostile] = hostile
    write_json(run.export("lava") / "manifest.json", manifest)
    page = page_of(run)
    reader = Reader(page)
    assert {tag for tag, _, _ in reader.attributes} <= before
    assert page.count("<script>") == 1
    assert page.count("<style>") == 1
    assert not any(key.startswith("on") for _, key, _ in reader.attributes)
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]", page)


@pytest.mark.parametrize(
    ("name", "section", "words"),
    [
        ("report.json", "figures", "Not exported yet: snnas export digits-lightsnn-001 --target lava"),
        ("genotype.json", "cell", "The search has not ended: snnas search --resume digits-lightsnn-001"),
        ("search.jsonl", "search", "search.jsonl is not there"),
        ("train.jsonl", "training", "Not trained yet: snnas train digits-lightsnn-001"),
        ("front.json", "front", "snnas search --objective score,energy"),
        ("export/lava/counts.json", "chip", "counts.json is not there: snnas export digits-lightsnn-001"),
        ("export/lava/program.npz", "raster", "program.npz is not there"),
        ("diagnosis/diagnosis.json", "diagnosis", "Not diagnosed: snnas diagnose digits-lightsnn-001"),
        ("export/lava/golden.npz", "divergence", "golden.npz is not there"),
        ("export/lava/manifest.json", "divergence", "manifest.json is not there"),
    ],
)
def test_a_missing_file_costs_its_section(run: Run, name: str, section: str, words: str) -> None:
    """It goes, with its entry of the contents; a line at the end of the page says why."""
    (run.path / name).unlink()
    page = page_of(run)
    left = re.search(r'<footer id="left">.*?</footer>', page, re.DOTALL)
    assert left
    assert words in left[0]
    assert f'id="{section}"' not in page
    assert f'href="#{section}"' not in page
    shown = {id_ for id_, _, _ in SECTIONS} & set(Reader(page).ids)
    assert all(f'href="#{id_}"' in page for id_ in shown)
    assert not re.search(r'<section[^>]*><h2[^>]*>[^<]*</h2><p class="(missing|note missing)', page), "empty"


def test_a_part_of_a_section_that_is_missing_is_said_there(run: Run) -> None:
    (run.path / "export/lava/stimulus.npz").unlink()
    assert "stimulus.npz is not there" in _section(page_of(run), "raster")


def test_what_never_fired_is_named_and_no_accuracy_of_ties_is_shown(run: Run) -> None:
    report = json.loads(run.report.read_text())
    mute = Silence(silent=("p1", "p2"), populations=4, ties=4, samples=4, constant=False, cause="a threshold")
    report["silence"] = {"training": mute.to_json(), "on_target": mute.to_json()}
    run.report.write_text(json.dumps(report))
    page = page_of(run)
    head = page[: page.index('<section id="figures"')]
    assert "no measurement" in head
    assert "all 4 predictions are ties" in head
    assert "80.00%" not in head
    for words in ("never fire", "2 of 4", "p1, p2", "a threshold"):
        assert words in _section(page, "figures")


def test_why_the_loss_in_training_lies_above(run: Run) -> None:
    config = run.config()
    for smoothing in (0.1, 0.0):
        run.write_config({**config, "train": {**config.get("train", {}), "label_smoothing": smoothing}})
        assert ("labels smoothed by 0.1" in _section(page_of(run), "training")) == bool(smoothing)


def _section(page: str, id_: str) -> str:
    found = re.search(rf'<section id="{id_}".*?</section>', page, re.DOTALL)
    assert found
    return found[0]


@pytest.mark.parametrize(
    "name",
    [
        "report.json",
        "genotype.json",
        "search.jsonl",
        "train.jsonl",
        "front.json",
        "diagnosis/diagnosis.json",
        "export/lava/counts.json",
        "export/lava/program.npz",
        "export/lava/golden.npz",
        "export/lava/manifest.json",
        "export/lava/stimulus.npz",
    ],
)
@pytest.mark.parametrize("content", [b"", b"\xff\x00PK", b"[]\n", b"{}\n", b'{"cells": 3}\n', b"null\n"])
def test_a_damaged_file_costs_its_section(run: Run, name: str, content: bytes) -> None:
    (run.path / name).write_bytes(content)
    page = page_of(run)
    gone = page.partition('<footer id="left">')[2].count("<li")
    assert len({id_ for id_, _, _ in SECTIONS} & set(Reader(page).ids)) + gone == len(DRAWN)
    assert page.count('class="missing') >= 1 or "fail" in _section(page, "checks")


@pytest.mark.parametrize(
    "name", ["report.json", "export/lava/manifest.json", "front.json", "genotype.json", "diagnosis/diagnosis.json"]
)
def test_any_value_of_another_type_costs_no_more(run: Run, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # The program is the same in all pages: what takes the time is done once.
    for heavy in ("read_program", "map_program"):
        monkeypatch.setattr(material, heavy, _once(getattr(material, heavy)))
    whole, seen = json.loads((run.path / name).read_text()), set[tuple[str, str, str]]()
    for change in _changes(whole):
        (run.path / name).write_text(json.dumps(change(json.loads(json.dumps(whole)))))
        spoilt = Material(run)
        made = [(id_, title, guarded(builder, spoilt)) for id_, title, builder in SECTIONS]
        new = [section for section in made if section not in seen]
        seen.update(new)
        Reader(document("spoilt", "", guarded(tables.headline, spoilt), new))


def _once(function: Callable[..., Any]) -> Callable[..., Any]:
    known: dict[str, Any] = {}

    def call(*arguments: Any) -> Any:
        key = repr([str(argument)[:200] for argument in arguments])
        if key not in known:
            known[key] = function(*arguments)
        return known[key]

    return call


def _changes(whole: dict[str, Any]) -> list[Callable[[dict[str, Any]], Any]]:
    def put(path: tuple[str, ...], value: Any) -> Callable[[dict[str, Any]], Any]:
        def change(data: dict[str, Any]) -> dict[str, Any]:
            inner = data
            for key in path[:-1]:
                inner = inner[key]
            inner[path[-1]] = value
            return data

        return change

    places = [(k,) for k in whole] + [(k, inner) for k, v in whole.items() if isinstance(v, dict) for inner in v]
    return [put(place, value) for place, value in zip(places, cycle((None, [3], "x")), strict=False)]


def test_without_a_sound_run_there_is_no_page(run: Run) -> None:
    (run.path / "run.toml").write_text("seed = 1")
    with pytest.raises(InvalidFileError, match=r"run\.toml"):
        write_html(run)
    assert not (run.path / "report.html").exists()


def test_changed_files_and_older_weights_are_said(run: Run) -> None:
    (run.export("lava") / "stimulus.npz").write_bytes(b"changed")
    report = json.loads(run.report.read_text())
    write_json(run.report, report | {"hashes": {"genotype": "0" * 64, "data": None}})
    page = page_of(run)
    assert "stimulus.npz changed since" in page
    assert "These figures are of older weights; export again." in page


def test_a_profile_that_changed_is_not_itemised(run: Run) -> None:
    report = json.loads(run.report.read_text())
    report["energy_uJ"]["total"]["nominal"] *= 1.01
    write_json(run.report, report)
    section = _section(page_of(run), "energy")
    assert "has other constants than the report was made with" in section
    assert "The bill, line by line" not in section


def test_long_logs_are_thinned_and_it_is_said(tmp_path: Path) -> None:
    run = make_run(tmp_path, evaluations=20_000, epochs=2_000)
    page = page_of(run)
    assert len(page) < 1_000_000
    assert "of 20,000 evaluations drawn" in page
    assert "300 of 2000 epochs are drawn" in page
    best = max(r["score"] for r in run.search_log.read() if r["event"] == "evaluation" and r["score"] is not None)
    assert f"{best:.6g}" in _section(page, "search")


def test_figures_are_those_of_the_report(run: Run) -> None:
    report = json.loads(run.report.read_text())
    said = Reader(page_of(run)).said
    for value in (report["sar"]["on_target"], *(v["on_target"] for v in report["sar"]["per_population"].values())):
        assert f"{value:.4f}" in said
    assert "80.00%" in said
    assert re.search(r"floor\s+[\d. ]+\s+estimated", said)
    assert "estimated; greedy, layer order" in said
    assert "70.0% .. 90.0%" in said


def test_thinning_keeps_the_extremes() -> None:
    values = np.random.default_rng(0).normal(size=1_000).tolist()
    kept = _extremes(values, 60)
    assert len(kept) == 60
    assert {values.index(min(values)), values.index(max(values))} <= set(kept)
    assert _extremes([math.nan] * 100, 10) == []


def test_the_raster_has_every_spike_of_the_neurons_that_it_draws(run: Run) -> None:
    material = Material(run)
    spikes = [material.spikes(p.id)[0] for p in material.program.populations]
    expected = sum(int(fired[:, thinned(fired.shape[1], 40)].sum()) for fired in spikes)
    found = re.search(r'<path d="([^"]*)" class="spikes">', page_of(run))
    assert found
    assert found[1].count("M") == expected > 0


def test_motifs_are_listed_where_there_is_no_cell_of_four_nodes(run: Run) -> None:
    cells = [{"motif": "feedback", "kernels": {"in0->a": 3, "a->b": 5}}]
    write_json(
        run.genotype, {"format": "snnas-genotype", "version": 1, "space": "mse_nas", "fan_in": 1, "cells": cells}
    )
    section = _section(page_of(run), "cell")
    assert "Space mse_nas: no cell of four nodes to draw." in section
    assert "in0-&gt;a 3, a-&gt;b 5" in section


def test_a_front_that_is_not_trained(run: Run) -> None:
    data = front()
    for point in data["points"]:
        point["measured"] = point["validation_accuracy"] = point["beaten"] = None
    write_json(run.path / "front.json", data)
    section = _section(page_of(run), "front")
    assert "None of its points is trained yet." in section
    assert section.count("<svg") - section.count('aria-hidden="true"') == 1


def test_a_program_that_fits_nowhere_has_no_bill(run: Run) -> None:
    report = json.loads(run.report.read_text())
    for part in ("encode", "dynamic", "floor", "total"):
        report["energy_uJ"][part] = dict.fromkeys(("low", "nominal", "high"))
    report["resources"] |= {"fits": False, "misfits": ["p1 needs 5000 compartments, 3976 more than the 1024 there are"]}
    write_json(run.report, report)
    page = page_of(run)
    assert "No energy: the program fits no system" in page.partition('<footer id="left">')[2]
    assert "✗ fail" in _section(page, "checks")
    assert "p1 needs 5000 compartments" in page


def test_dead_and_backward_edges_are_told_apart(run: Run) -> None:
    section = _section(page_of(run), "cell")
    assert section.count('class="edge c6 dashed"') == 1
    assert "2-&gt;1" in section
    plain = json.loads(run.genotype.read_text())
    for cell in plain["cells"]:
        cell["forward"] |= {"0->2": "zeroize", "1->2": "zeroize", "2->3": "conv1x1"}
        cell["forward"]["1->3"], cell["backward"] = "conv3x3", {}
    write_json(run.genotype, plain)
    section = _section(page_of(run), "cell")
    assert section.count('class="edge dead"') == 1
    assert "does nothing" in section


def test_colours_can_be_read_in_both_themes() -> None:
    style = (Path(__file__).parents[3] / "toolchain/html/style.css").read_text()
    found = dict((n, (a, b)) for n, a, b in re.findall(r"--([\w-]+): light-dark\((#\w+), (#\w+)\)", style))
    for theme in (0, 1):
        for name in ("ink", "soft", "link", "good", "bad", "c1", "c2", "c3", "c4", "c5", "c6"):
            for ground in ("paper", "panel"):
                assert _contrast(found[name][theme], found[ground][theme]) >= 4.5, (name, ground, theme)
        for ground in ("s0", "s1", "s2", "s3", "p2", "p3", "p4", "m2", "m3", "m4"):
            assert _contrast(found["ink"][theme], found[ground][theme]) >= 4.5, (ground, theme)
        for ground in ("s4", "s5", "s6"):
            assert _contrast(found["on-dark"][theme], found[ground][theme]) >= 4.5, (ground, theme)


def _contrast(a: str, b: str) -> float:
    """The contrast ratio of WCAG 2.1."""

    def luminance(colour: str) -> float:
        parts = [int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)]
        linear = [p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    high, low = sorted((luminance(a), luminance(b)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_ticks_are_round_and_inside() -> None:
    assert ticks(0, 1, 4) == [0, 0.25, 0.5, 0.75, 1]
    assert ticks(3, 3) == [3]
    assert ticks(0, math.inf) == [0]
    for low, high in ((-7.3, 12.9), (1e-9, 3e-9), (1e6, 1.2e6)):
        assert all(low <= t <= high for t in ticks(low, high))
        assert len(ticks(low, high)) > 1


def test_a_picture_of_pixels_is_a_png() -> None:
    image = pytest.importorskip("PIL.Image", reason="pillow is not installed")
    import io

    pixels = np.arange(15, dtype=np.uint8).reshape(3, 5) * 17
    with image.open(io.BytesIO(png(pixels))) as found:
        assert np.array_equal(np.asarray(found), pixels)


def test_a_diagnosis_says_what_helped_and_what_the_export_found_on_all_its_samples(run: Run) -> None:
    shown = _section(page_of(run), "diagnosis")
    assert "all its 90 samples: 90.00% in float, 80.00% on target; as many are taken with --limit 90" in shown
    assert "<h3>Mends</h3>" in shown
    assert "--bits 8" in shown
    assert "+25.00" in shown
    found = json.loads(run.diagnosis.read_text())
    write_json(run.diagnosis, {k: v for k, v in found.items() if k not in ("mends", "export")})  # an earlier release's
    before = _section(page_of(run), "diagnosis")
    assert "Mends" not in before
    assert "as many are taken with" not in before
    assert "<h3>Causes</h3>" in before


def test_a_diagnosis_of_another_program_is_not_shown(run: Run) -> None:
    write_json(run.diagnosis, diagnosis(["cell"], "0" * 64))
    page = page_of(run)
    assert "of another program than the one exported: snnas diagnose" in page.partition('<footer id="left">')[2]
    assert 'id="diagnosis"' not in page


def test_a_report_of_before_has_no_quantisation(run: Run) -> None:
    report = json.loads(run.report.read_text())
    del report["quantisation"], report["ranges"]
    write_json(run.report, report)
    said = "quantisation is missing, expected an object; export again with --force"
    assert said in _section(page_of(run), "quantisation")


def test_exact_populations_are_counted(run: Run) -> None:
    report = json.loads(run.report.read_text())
    assert "on every input" not in _section(page_of(run), "quantisation")
    name = next(iter(report["quantisation"]))
    report["quantisation"][name]["inexact"] = ""
    write_json(run.report, report)
    said = f"1 of {len(report['quantisation'])} fire the graph&#x27;s spikes on every input"
    assert said in _section(page_of(run), "quantisation").replace("&#39;", "&#x27;").replace("'", "&#x27;")


def test_of_uneven_classes_the_balanced_accuracy_stands_on_the_page(run: Run) -> None:
    assert "balanced" not in Reader(page_of(run)).said
    report = json.loads(run.report.read_text())
    report["accuracy"] |= {"balanced_training": 0.75, "balanced_on_target": 0.6125}
    write_json(run.report, report)
    assert "balanced 61.2" in Reader(page_of(run)).said


def test_fine_tuning_and_what_is_not_proved_are_said(run: Run) -> None:
    report = json.loads(run.report.read_text())
    report["finetune"] = {
        "test": {"before": 0.9, "after": 0.95}, "validation": {"before": 0.91, "after": 0.94}, "best_epoch": 2,
        "epochs": 3, "weights_changed": 7, "weights": 70, "bits": 8, "seconds": 1.5,
    }  # fmt: skip
    name = next(iter(report["ranges"]))
    report["ranges"][name]["status"] = "observed"
    report["checks"]["ranges_proved"] -= 1
    write_json(run.report, report)
    page = page_of(run)
    assert "test 90.00% to 95.00%" in _section(page, "quantisation")
    assert "the range is that of the samples" in _section(page, "quantisation")
    assert "the rest fit on the samples alone" in _section(page, "checks")


def test_an_export_to_c_has_its_section(run: Run) -> None:
    """Of the last export: the headline is a core's, no chip is drawn. Of one beside Lava's: the section alone."""
    assert "Microcontroller" not in write_html(run).read_text()
    export = run.export("c")
    shutil.copytree(run.export("lava"), export)
    report = json.loads(run.report.read_text()) | {"c": IN_C}
    write_json(export / "report.json", report)
    beside = write_html(run).read_text()
    assert "Against Lava" in beside
    assert all(word in beside for word in ("Latency on a board", "Energy on a board", "446,200", "15,710", "14,122"))
    write_json(run.report, report)
    page = write_html(run).read_text()
    for word in ("Against C", "5.58 .. 7.81 .. 11.2 ms", "RV32IMC: flash (bytes)", "snnas check export/c"):
        assert word in page
    assert "Against Lava" not in page
    assert "Chip: The last export is C" in page
    assert "damaged" not in page
    old = json.loads(run.report.read_text())
    old["c"]["cores"][0]["differing_spikes"] = 3
    write_json(run.report, old)
    assert "3 differ" in write_html(run).read_text()
