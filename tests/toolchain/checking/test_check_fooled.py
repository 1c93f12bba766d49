"""Exports made to look better than they are, every hash and record of theirs agreeing: the gate is not fooled."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from snnas.export.compiler.quantisation_error import quantisation_errors
from snnas.export.formats.nir_file import read_nir, write_nir
from snnas.export.formats.npz_file import read_npz, write_npz
from snnas.export.formats.program_file import read_program, write_program
from snnas.hw_sim.files import read_json, write_json
from snnas.hw_sim.host_stage import integers_of
from snnas.hw_sim.program import CLOCK, Program, Synapse
from snnas.toolchain.checking import folder_runs, remake
from snnas.toolchain.checking.folder_runs import _unlike
from snnas.toolchain.checking.same_network import TUNED, _numbers, other_number
from snnas.toolchain.checking.samples import Samples
from snnas.toolchain.cli.app import run_command
from snnas.toolchain.data import user_samples
from snnas.toolchain.exporting.on_target import reference
from snnas.toolchain.exporting.stimulus import LIMIT_BYTES, kept
from tests.programs import random_program
from tests.toolchain.checking.check_subjects import change_arrays, checked, example, healthy, here, sign  # noqa: F401

LAVA = Path("lava")
FIGURES = ("accuracy", "sar", "energy_uJ", "latency_us", "resources")


def failing(findings: list[dict[str, Any]]) -> set[str]:
    return {f["code"] for f in findings if f["status"] in ("failed", "invalid", "unsupported")}


def edit_report(**tables: dict[str, Any]) -> None:
    """Merges tables into report.json and the manifest, and signs."""
    for path in (LAVA / "report.json", LAVA / "manifest.json"):
        document = read_json(path)
        target = document.get("figures", document)
        for name, entries in tables.items():
            if name in target:
                target[name] = {**target[name], **entries}
        write_json(path, document)
    sign(LAVA, "report.json")


def shuffled(program: Program) -> Program:
    """Every synapse's weights in another order: those of one neuron are the next one's. It fires as much as before."""

    def other(s: Synapse) -> Synapse:
        return s if s.src == CLOCK else replace(s, map=replace(s.map, weight=np.roll(s.map.weight, 1, axis=0)))

    return replace(program, synapses=tuple(map(other, program.synapses)))


def plant_shuffled() -> None:
    """Another network, its recording made again with it."""
    program = shuffled(read_program(LAVA / "program.npz"))
    write_program(LAVA / "program.npz", program)
    golden = read_npz(LAVA / "golden.npz", what="golden")
    x = read_npz(LAVA / "stimulus.npz", what="stimulus")["x"][: len(golden["logits"])]
    write_npz(LAVA / "golden.npz", {**reference(program, x), "labels": golden["labels"]})
    sign(LAVA, "program.npz")
    sign(LAVA, "golden.npz")


def test_figures_that_were_edited_are_not_those_that_are_judged(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    band = {"low": 0.0001, "nominal": 0.0005, "high": 0.001}
    edit_report(accuracy={"on_target": 1.0}, energy_uJ={"total": band}, latency_us={**band, "high": 1.0})
    code, findings = checked(capsys, "lava", "--max", "energy_total=1uJ,latency=1us", "--min", "accuracy=0.99")
    assert code == 1
    assert {"SN307", "SN405", "SN408"} <= failing(findings)
    assert checked(capsys, "lava", "--max", "energy_total=1uJ", "--trust-report")[0] == 1, "what is made again binds"
    assert checked(capsys, "lava")[0] == 0, "nothing judges them: they are as in report.json"


def plant_weights(change: Callable[[np.ndarray], None]) -> None:
    """A few weights of the first synapse changed, and all that the folder says of itself made again with them."""
    program = read_program(LAVA / "program.npz")
    first = next(s for s in program.synapses if s.src != CLOCK)
    weight = first.map.weight.copy()
    change(weight.reshape(-1))
    other = replace(first, map=replace(first.map, weight=weight))
    program = replace(program, synapses=tuple(other if s is first else s for s in program.synapses))
    write_program(LAVA / "program.npz", program)
    x = read_npz(LAVA / "stimulus.npz", what="stimulus")["x"]
    golden = read_npz(LAVA / "golden.npz", what="golden")
    write_npz(LAVA / "golden.npz", {**reference(program, x[: len(golden["logits"])]), "labels": golden["labels"]})
    record_rounding()
    for name in ("program.npz", "golden.npz"):
        sign(LAVA, name)


def record_rounding(**more: Any) -> None:
    """Report.json with the errors of the program that is there now, and what else is given, signed."""
    errors = quantisation_errors(read_nir(LAVA / "model.nir"), read_program(LAVA / "program.npz"))
    report = read_json(LAVA / "report.json")
    for name, error in errors.items():
        report["quantisation"][name] |= {k: getattr(error, k) for k in ("weight", "threshold", "bias")}
    write_json(LAVA / "report.json", {**report, **more})
    sign(LAVA, "report.json")


def fine_tuned(changed: int) -> dict[str, Any]:
    """``finetune`` of a report.json that says how many weights were learnt."""
    gain = {"before": 0.5, "after": 1.0}
    counts = {"epochs": 5, "best_epoch": 3, "weights_changed": changed, "weights": 1000, "bits": 8}
    return {**counts, "seconds": 1.0, "validation": gain, "test": gain}


def three_steps_off(weights: np.ndarray) -> None:
    weights[weights.argmin()] += 3


def swapped(weights: np.ndarray) -> None:
    """Two that are as close as two unequal weights are."""
    order = weights.argsort(kind="stable")
    gaps = np.diff(weights[order].astype(int))
    k = int(np.where(gaps > 0, gaps, 1 << 20).argmin())
    a, b = order[k], order[k + 1]
    weights[a], weights[b] = weights[b], weights[a]


@pytest.mark.parametrize(("change", "wrong"), [(three_steps_off, "1 of"), (swapped, "2 of")])
def test_a_few_wrong_weights_are_found(
    change: Callable[[np.ndarray], None], wrong: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing else in the folder tells of them: its spikes, its errors and its hashes are those of these weights."""
    plant_weights(change)
    code, findings = checked(capsys, "lava")
    assert code == 1
    said = next(f["detail"] for f in findings if f["code"] == "SN211")
    assert said.startswith("weights of synapse")
    assert f": {wrong}" in said
    assert not {"SN303", "SN304", "SN305", "SN311"} & failing(findings)


def test_no_export_passes_for_an_older_one(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """That keeps no calibration samples, and so would be held to its rounding on the whole alone."""
    manifest = read_json(LAVA / "manifest.json")
    manifest |= {"format": "snnas.export/2", "files": {k: v for k, v in manifest["files"].items() if "cal" not in k}}
    write_json(LAVA / "manifest.json", manifest)
    code, findings = checked(capsys, "lava")
    assert (code, failing(findings)) == (1, {"SN211"})
    assert "--trust-report" in next(f["detail"] for f in findings if f["code"] == "SN211")
    assert checked(capsys, "lava", "--trust-report")[0] == 0
    (LAVA / "calibration.npz").unlink()
    manifest["format"] = "snnas.export/3"
    write_json(LAVA / "manifest.json", manifest)
    code, findings = checked(capsys, "lava")
    assert (code, failing(findings)) == (3, {"SN103"})


def test_calibration_samples_that_do_not_fit_are_refused(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (LAVA / "calibration.npz").read_bytes()
    for spoil in (
        lambda x: x[..., :-1],
        lambda x: x * np.nan,
        lambda x: x[:0],
        lambda x: x[np.arange(257) % len(x)],
        None,
    ):
        (LAVA / "calibration.npz").write_bytes(before)
        change_arrays(LAVA / "calibration.npz", x=spoil, z=np.zeros(1))
        sign(LAVA, "calibration.npz")
        assert checked(capsys, "lava")[0] == 3


def test_every_number_of_a_program_is_compared() -> None:
    """Each array of a program, changed by itself, is found and named."""
    program = random_program(1)
    assert other_number(program, program) is None
    names = []
    for k, (name, value) in enumerate(_numbers(program)):
        if not value.size:
            continue

        def altered(p: Program, k: int = k) -> Iterator[tuple[str, np.ndarray]]:
            for j, (n, v) in enumerate(_numbers(p)):
                yield n, v + (j == k and p is not program)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("snnas.toolchain.checking.same_network._numbers", altered)
            said = other_number(program, replace(program))
        assert said is not None
        assert said.startswith(name)
        names.append(name)
    assert {n.split()[0] for n in names} >= {"scale", "threshold", "leaks", "bias", "exponent", "weights", "the"}


def test_a_population_read_at_two_distances_is_compared_twice() -> None:
    program = random_program(1)
    (first, *_) = program.readout.readings
    twice = replace(program.readout, readings=(first, replace(first, distance=first.distance + 1)))
    changed = replace(twice, readings=(replace(first, weight=first.weight[::-1].copy()), twice.readings[1]))
    said = other_number(replace(program, readout=twice), replace(program, readout=changed))
    assert said is not None
    assert said.startswith(f"the readout's weights of {first.src} at distance {first.distance}")


def test_what_fine_tuning_leaves_is_compared() -> None:
    program = random_program(1)
    (some, *rest) = program.populations
    for change in ({"scale": some.scale * 2}, {"dv": some.dv ^ 1}, {"bias_exponent": some.bias_exponent + 1}):
        other = replace(program, populations=(replace(some, **change), *rest))
        assert other_number(program, other, but=TUNED) is not None, change
    for change in ({"vth": some.vth + 1}, {"bias": some.bias + 1}):
        other = replace(program, populations=(replace(some, **change), *rest))
        assert other_number(program, other) is not None, change
        assert other_number(program, other, but=TUNED) is None, change


def test_an_integer_host_sees_pixels_as_the_range_says() -> None:
    program = random_program(1)
    ours = replace(program, host_integers=integers_of(program.input_range))
    assert _unlike(program, ours) is None
    for change in ({"zero": ours.host_integers.zero + 1}, {"step": ours.host_integers.step * 2}):
        said = _unlike(program, replace(ours, host_integers=replace(ours.host_integers, **change)))
        assert said is not None
        assert said.startswith("the integer host stage")


def test_an_integer_host_cuts_off_no_calibration_sample() -> None:
    """A channel's step is the folder's choice, and may be so fine that nothing of the channel is left."""
    program = random_program(1)
    channels = program.input_shape[0]
    x = np.full((2, *program.input_shape), 0.25, np.float32)

    def said(*finer: int) -> str | None:
        ours = replace(program, host_integers=integers_of(program.input_range, finer))
        return _unlike(program, ours, x)

    assert said(*[2] * channels) is None
    assert said(*[2] * (channels - 1), 3) == (
        f"the integer host stage cuts off calibration samples in channel {channels - 1}; export again"
    )
    assert said() is None
    ours = replace(program, host_integers=integers_of(program.input_range, (3,) * channels))
    assert _unlike(program, ours) is None, "an older export, which keeps none"


def test_a_bias_by_the_clock_goes_where_the_graph_says() -> None:
    program = random_program(1, back=((3, 1),))
    clocks = [s for s in program.synapses if s.src == CLOCK]
    assert len(clocks) > 1
    some, others = clocks[0], tuple(s for s in program.synapses if s is not clocks[0])
    for change in ({"dst": clocks[1].dst}, {"distance": 1 - some.distance}):
        said = _unlike(program, replace(program, synapses=(replace(some, **change), *others)))
        assert said == f"synapse {some.id} is not the same in graph and program; export again"
    assert _unlike(program, replace(program, synapses=others)) is None, "rounded to nothing on one side"
    fewer = tuple(s for s in program.synapses if s is not next(k for k in program.synapses if k.src != CLOCK))
    assert _unlike(program, replace(program, synapses=fewer)) is not None


@pytest.mark.parametrize("name", ["node_of", "parts"])
def test_populations_are_compared_with_their_nodes(name: str, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of populations that are of no node, neither spikes nor rounding would be compared with anything."""
    program = read_program(LAVA / "program.npz")
    write_program(LAVA / "program.npz", replace(program, meta={**program.meta, name: {}}))
    sign(LAVA, "program.npz")
    code, findings = checked(capsys, "lava")
    assert (code, failing(findings)) == (1, {"SN207"})
    assert "which node of the graph" in next(f["detail"] for f in findings if f["code"] == "SN207")


def test_labels_make_equal_answers_a_breach_wherever_they_stand(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = list[bool]()
    monkeypatch.setattr(folder_runs, "check_reach", lambda *a, labels, **k: asked.append(labels))
    labelled = (LAVA / "golden.npz").read_bytes()
    for name, key in (("golden.npz", "labels"), ("stimulus.npz", "y"), ("golden.npz", "labels")):
        change_arrays(LAVA / name, **{"z": np.zeros(1), key: None})
        sign(LAVA, name)
        checked(capsys, "lava")
        if len(asked) == 1:
            (LAVA / name).write_bytes(labelled)
            sign(LAVA, name)
    assert asked == [True, True, False]


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("timesteps",), 7),
        (("resources", "synapses"), 1),
        (("resources", "weight_bits"), 4),
        (("schedule", "period"), 2),
        (("schedule", "relays", "neurons"), 9),
        (("sar", "per_population", "ballot", "on_target"), 0.001),
    ],
)
def test_what_the_report_says_of_the_program_is_made_again(
    path: tuple[str, ...], value: float, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for file in (LAVA / "report.json", LAVA / "manifest.json"):
        document = read_json(file)
        place = document if file.name == "report.json" or path[0] == "schedule" else document["figures"]
        for key in path[:-1]:
            place = place.get(key, {})
        place[path[-1]] = value
        write_json(file, document)
    sign(LAVA, "report.json")
    code, findings = checked(capsys, "lava", "--max", "cores=100")
    assert (code, failing(findings)) == (1, {"SN307"})
    said = next(f["detail"] for f in findings if f["status"] == "failed")
    assert said.startswith(f"{'.'.join(path)} is ")


def test_prices_of_a_profile_that_is_not_ours_are_claimed(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    edit_report(energy_uJ={"profile": "mine", "total": {"low": 0.1, "nominal": 0.1, "high": 0.1}})
    code, findings = checked(capsys, "lava", "--max", "cores=100")
    assert code == 0, findings
    said = next(f["detail"] for f in findings if f["name"] == "report's figures")
    assert said == "accuracy and activity as measured again on 32 samples"
    run_command(["check", "lava", "--max", "cores=100"])
    assert "energy and latency of report.json are claimed: of profile 'mine'" in capsys.readouterr().err


def test_samples_that_nobody_named_pass_no_limit(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for limit in (("--min", "accuracy=1%"), ("--max", "sar=100%"), ("--max", "energy_total=1mJ")):
        code, findings = checked(capsys, "lava", *limit)
        assert (code, failing(findings)) == (1, {"SN312"}), limit
        code, findings = checked(capsys, "lava", *limit, "--trust-report")
        assert code == 0, findings
        assert "--trust-report" in next(f["detail"] for f in findings if f["code"] == "SN312")
    assert checked(capsys, "lava", "--max", "cores=100")[0] == 0, "which no sample decides"


def test_shuffled_weights_are_another_network(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sound = Path(shutil.copytree(LAVA, "sound"))
    plant_shuffled()
    code, findings = checked(capsys, "lava")
    assert code == 1
    assert "SN211" in failing(findings)
    assert not {"SN303", "SN304", "SN305"} & failing(findings), "its own recording agrees with it"
    before, after = (read_program(folder / "program.npz").synapses for folder in (sound, LAVA))
    changed = sum(int((a.map.weight != b.map.weight).sum()) for a, b in zip(before, after, strict=True))
    record_rounding(finetune=fine_tuned(changed - 1))
    assert f"{changed} weights" in next(f["detail"] for f in checked(capsys, "lava")[1] if f["code"] == "SN211")
    record_rounding(finetune=fine_tuned(changed))
    code, findings = checked(capsys, "lava", "--min", "accuracy=90%")
    assert code == 1
    assert "SN211" not in failing(findings), "a fine-tuned program may differ"
    assert {"SN311", "SN401"} <= failing(findings)


def test_recorded_rounding_is_measured_again(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = read_json(LAVA / "report.json")
    name = next(iter(report["quantisation"]))
    report["quantisation"][name]["weight"] += 0.01
    write_json(LAVA / "report.json", report)
    sign(LAVA, "report.json")
    code, findings = checked(capsys, "lava")
    assert (code, failing(findings)) == (1, {"SN211"})
    assert name in next(f["detail"] for f in findings if f["code"] == "SN211")


def test_a_budget_in_the_folder_ignores_nothing(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    change_arrays(LAVA / "golden.npz", logits=lambda v: v[:, ::-1])
    sign(LAVA, "golden.npz")
    (LAVA / "budget.toml").write_text('[budget]\ncores = 100\n[check]\nignore = ["SN305"]\n')
    code, findings = checked(capsys, "lava")
    assert (code, failing(findings)) == (1, {"SN305"})
    run_command(["check", "lava"])
    assert "it may not ignore SN305: name it, --budget lava/budget.toml" in capsys.readouterr().err
    assert checked(capsys, "lava", "--budget", "lava/budget.toml")[0] == 0


def test_a_network_in_which_nothing_fires_does_not_pass(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    graph = example().graph()
    deaf = {n: replace(graph.nodes[n], v_threshold=graph.nodes[n].v_threshold * 1e4) for n in ("edges", "ballot")}
    write_nir(Path("deaf.nir"), replace(graph, nodes=graph.nodes | deaf))
    x = read_npz(Path("bars.npz"), what="bars")["x"]
    np.savez("easy.npz", x=x, y=np.zeros(len(x), np.int64))
    assert run_command(["export", "deaf.nir", "--data", "easy.npz", "--out", "deaf", "--samples", "4", "-q"]) == 0
    code, findings = checked(capsys, "deaf", "--min", "accuracy=85%")
    assert code == 1
    # Each answer is class 0, and so is each label.
    assert failing(findings) == {"SN309", "SN310", "SN312", "SN401"}


def test_labels_that_no_baseline_pins_are_not_believed(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Samples pinned and labels not, as a baseline of before: each label is the answer that the program gives."""
    assert run_command(["check", "lava", "--baseline", "kept.json", "--update-baseline", "-q"]) == 0
    table = read_json(Path("kept.json"))
    write_json(Path("kept.json"), {**table, "labels": ""})
    golden = read_npz(LAVA / "golden.npz", what="golden")
    program, x = read_program(LAVA / "program.npz"), read_npz(LAVA / "stimulus.npz", what="stimulus")["x"]
    answers = reference(program, x)["logits"].argmax(axis=1)
    change_arrays(LAVA / "stimulus.npz", y=answers)
    change_arrays(LAVA / "golden.npz", labels=answers[: len(golden["logits"])])
    for name in ("stimulus.npz", "golden.npz"):
        sign(LAVA, name)
    limits = ("--min", "accuracy=100%")
    for asked in ((), limits):
        code, findings = checked(capsys, "lava", "--baseline", "kept.json", *asked)
        assert code == 1
        assert "SN312" in failing(findings)
        assert "not their labels" in next(f["detail"] for f in findings if f["name"] == "labels judged")
    write_json(Path("kept.json"), table)
    code, findings = checked(capsys, "lava", "--baseline", "kept.json")
    assert "SN312" not in failing(findings)


def test_one_easy_sample_passes_nothing(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("stimulus.npz", "golden.npz"):
        arrays = {key: value[:1] for key, value in read_npz(LAVA / name, what=name).items()}
        write_npz(LAVA / name, arrays)
        sign(LAVA, name)
    code, findings = checked(capsys, "lava", "--min", "accuracy=50%")
    assert code == 1
    assert "SN401" in failing(findings)
    assert "lower end" in next(f["detail"] for f in findings if f["code"] == "SN401")
    edit_report(accuracy={"samples": 1, "on_target": 1.0})
    code, findings = checked(capsys, "lava", "--min", "accuracy=50%")
    assert code == 1
    assert "SN401" in failing(findings), "nor where the report speaks of no more"


def test_other_samples_or_labels_are_found_by_the_baseline(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["check", "lava", "--update-baseline", "--baseline", "pinned.json"]) == 0
    pinned = ["--baseline", "pinned.json", "--min", "accuracy=50%"]
    code, findings = checked(capsys, "lava", *pinned, "--strict")
    assert code == 0, findings
    assert next(f["detail"] for f in findings if f["code"] == "SN312").endswith("those of the baseline")
    before = (LAVA / "stimulus.npz").read_bytes()
    change_arrays(LAVA / "stimulus.npz", y=lambda y: np.concatenate([y[:8], y[8:] * 0]))
    sign(LAVA, "stimulus.npz")
    code, findings = checked(capsys, "lava", *pinned)
    assert code == 1
    assert "labels" in next(f["detail"] for f in findings if f["code"] == "SN503")
    (LAVA / "stimulus.npz").write_bytes(before)
    change_arrays(LAVA / "stimulus.npz", x=lambda x: np.concatenate([x[:8], x[8:] * 0.5]))
    sign(LAVA, "stimulus.npz")
    code, findings = checked(capsys, "lava", *pinned)
    assert code == 1
    assert "not those of" in next(f["detail"] for f in findings if f["code"] == "SN503")


def test_the_caller_brings_the_samples(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, findings = checked(capsys, "lava", "--min", "accuracy=80%", "--data", "bars.npz", "--strict")
    assert code == 0, findings
    assert next(f["detail"] for f in findings if f["code"] == "SN312") == "40 samples, given with --data"
    change_arrays(Path("bars.npz"), y=lambda y: (y + 1) % 4)
    code, findings = checked(capsys, "lava", "--min", "accuracy=80%", "--data", "bars.npz")
    assert (code, failing(findings)) == (1, {"SN401"})
    assert run_command(["check", "lava", "--min", "accuracy=80%", "--data", "absent.npz"]) == 2
    assert run_command(["check", "lava", "--data", "bars.npz"]) == 2
    assert run_command(["check", "onnx", "--min", "accuracy=80%", "--data", "bars.npz"]) == 2


def test_a_run_is_told_from_its_export_and_its_data_from_its_test_split(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    y = np.arange(60) % 2
    np.savez(tmp_path / "own.npz", x=(rng.random((60, 1, 4, 4)) + y[:, None, None, None]).astype(np.float32) / 2, y=y)
    small = ["--method", "lightsnn", "--channels", "4", "--hidden", "16", "-T", "3", "--epochs", "3", "--batch", "8"]
    at = ["--runs-dir", str(tmp_path / "r"), "-q"]
    assert run_command(["search", "--dataset", str(tmp_path / "own.npz"), "--name", "one", *small, *at]) == 0
    run = tmp_path / "r/one"
    assert run_command(["check", str(run)]) == 3
    told = "".join(capsys.readouterr().out.split())  # the table breaks long paths
    assert f"itisarunwithoutanexport:snnasexport{run}" in told
    for target in ("onnx", "lava"):
        assert run_command(["export", "one", "--target", target, "--samples", "2", *at]) == 0
    capsys.readouterr()
    assert run_command(["check", str(run)]) == 3
    assert f"itisarun,nameitsexport:{run}/export/lava" in "".join(capsys.readouterr().out.split())
    assert run_command(["simulate", str(run)]) == 3
    assert f"it is a run, name its export: {run}/export/lava" in capsys.readouterr().err
    judged = ["check", str(run / "export/lava"), "--max", "cores=100", "--data"]
    reads, read = list[str](), user_samples.read_arrays

    def counted(name: str) -> tuple[np.ndarray, np.ndarray | None]:
        reads.append(name)
        return read(name)

    monkeypatch.setattr(user_samples, "read_arrays", counted)
    assert run_command([*judged, str(tmp_path / "own.npz")]) == 0
    assert reads == [str(tmp_path / "own.npz")]  # once, and the file may be large
    assert "own.npz holds what this network was trained on" in capsys.readouterr().err
    np.savez(tmp_path / "other.npz", x=(rng.random((20, 1, 4, 4)) / 2).astype(np.float32), y=y[:20])
    assert run_command([*judged, str(tmp_path / "other.npz")]) == 0
    assert "was trained on" not in capsys.readouterr().err


def test_a_claimed_figure_binds_where_the_report_is_trusted(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    change_arrays(LAVA / "stimulus.npz", y=None)
    sign(LAVA, "stimulus.npz")
    code, findings = checked(capsys, "lava", "--min", "accuracy=50%")
    assert code == 1
    assert "--trust-report" in next(f["detail"] for f in findings if f["code"] == "SN401")
    code, findings = checked(capsys, "lava", "--min", "accuracy=50%", "--trust-report")
    assert code == 0, findings
    assert "claimed" in next(f["detail"] for f in findings if f["code"] == "SN401")


def test_recorded_input_is_the_stimulus() -> None:
    """Of spikes; currents follow from the samples by arithmetic."""
    rng = np.random.default_rng(0)
    x = (rng.random((2, 3, 1, 2, 2)) < 0.5).astype(np.float32)
    y, spiking = np.array([1, 0]), SimpleNamespace(input_kind="spikes")
    golden = {"input.spikes": x.astype(np.uint8), "labels": y}

    def other(**changes: np.ndarray) -> str | None:
        recorded = folder_runs.Recorded({**golden, **changes}, Samples(x=x, y=y))
        return folder_runs._other_input(Path("x"), spiking, recorded, {})  # type: ignore[arg-type]

    assert other() is None
    assert "input spikes" in str(other(**{"input.spikes": 1 - golden["input.spikes"]}))
    assert "labels" in str(other(labels=y[::-1]))


def test_a_stimulus_holds_what_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = np.zeros((6, 1, 2, 2), np.float32), np.arange(6)
    assert len(kept(x, y, 2, whole=False)["y"]) == 6
    monkeypatch.setattr("snnas.toolchain.exporting.stimulus.LIMIT_BYTES", 4 * 16)
    assert [len(v) for v in kept(x, y, 2, whole=False).values()] == [4, 4]
    assert len(kept(x, None, 5, whole=False)["x"]) == 5, "what is recorded is kept whatever it takes"
    assert kept(x, None, 2, whole=True)["x"].dtype == np.uint8
    assert kept(x + 0.5, None, 2, whole=True)["x"].dtype == np.float32
    assert LIMIT_BYTES == 16e6


def test_what_is_measured_again_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    program = random_program(0)
    one = remake.work_of(program)
    assert one > 0
    monkeypatch.setattr(remake, "WORK", 3.5 * one)
    assert [remake.affordable(program, n) for n in (1, 3, 100)] == [1, 3, 3]
    monkeypatch.setattr(remake, "WORK", one / 2)
    assert remake.affordable(program, 100) == 1
