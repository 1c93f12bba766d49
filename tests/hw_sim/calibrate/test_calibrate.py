"""Simulated boards with hidden constants: they are found again, and what is wrong with a log is named."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from snnas.hw_sim.calibrate import design, model
from snnas.hw_sim.calibrate.calibration import calibrate
from snnas.hw_sim.calibrate.plan import IDLE, Plan, make
from snnas.hw_sim.calibrate.probes import build, pool, sample
from snnas.hw_sim.calibrate.profile_text import profile_table, profile_text
from snnas.hw_sim.calibrate.readings import Reading, parse, template
from snnas.hw_sim.energy.latency import estimate_latency
from snnas.hw_sim.energy.price import price
from snnas.hw_sim.energy.profile import load_profile, parse_profile
from snnas.hw_sim.errors import InvalidFileError, UnsupportedError, UsageError
from snnas.hw_sim.map.mapping import load_system
from snnas.hw_sim.simulate.counts import Counts
from snnas.hw_sim.simulate.simulator import simulate_input
from tests.studies.calibration import hidden, measure, measured, others, truth

pytest.importorskip("scipy")


@pytest.fixture(scope="module")
def plan() -> Plan:
    """Small probes on one core, and so without hops."""
    return make(load_profile("loihi1"), load_system("generic"), 10, small=True, seed=0, candidates=60)


@pytest.fixture(scope="module")
def log(plan: Plan) -> list[Reading]:
    return measured(plan, hidden(plan, 3), seed=3)


def test_a_probe_does_what_its_recipe_says() -> None:
    recipe = replace(pool(1, 0, small=True, hosted=False)[0], populations=3, link="line", kind="dense", firing=0.5)
    for rate, resting in ((0.0, 0.0), (1.0, 1.0)):
        asked = replace(recipe, rate=rate, resting=resting)
        trace, _ = next(simulate_input(build(asked), sample(asked)))
        for p in build(asked).populations:
            fires = p.bias > 1000
            assert 0 < fires.mean() < 1
            assert np.array_equal(trace.spikes[p.id].all(axis=(0, 1)), fires)
            assert np.array_equal(trace.spikes[p.id].any(axis=(0, 1)), fires)


def test_the_rows_are_the_bill(plan: Plan) -> None:
    profile = load_profile("loihi1")
    counts = plan.probes[0].counts
    latency = estimate_latency(counts, profile)
    assert latency is not None
    bill = price(counts, profile, latency)
    constants = {key: profile.get(key).value if profile.get(key) else 0.0 for key in plan.constants}  # type: ignore[union-attr]
    energy, spent = truth(model.tally(counts), constants)
    assert bill.total is not None
    assert spent == pytest.approx(latency.inference_us.nominal)
    assert energy == pytest.approx(bill.total.nominal)


def test_a_plan_tells_its_constants_apart(plan: Plan) -> None:
    assert plan.untold == ("energy.hop_ew", "energy.hop_ns", "energy.crossing")
    assert plan.condition() < 60
    data = json.loads(json.dumps(plan.to_json()))
    counts = {p.id: p.counts for p in plan.probes}
    assert Plan.from_json(data, counts.__getitem__) == plan


def test_the_choice_beats_random_ones() -> None:
    rows = np.random.default_rng(0).random((40, 5))
    rows[7] = (0, 0, 0, 0, 9.0)

    def volume(chosen: list[int]) -> float:
        return float(np.linalg.slogdet(rows[chosen].T @ rows[chosen])[1])

    chosen = design.choose([rows], 7)
    assert 7 in chosen
    assert len(set(chosen)) == 7
    rng = np.random.default_rng(1)
    assert volume(chosen) > max(volume([*rng.choice(40, 7, replace=False)]) for _ in range(300))


def test_constants_without_noise_are_found_exactly(plan: Plan) -> None:
    constants = hidden(plan, 1)
    found = calibrate(plan, measured(plan, constants, repeats=1, noise=0), place="log")
    for part in (found.energy, found.time):
        for key, value in zip(part.keys, part.values, strict=True):
            assert value == pytest.approx(constants[key], rel=1e-5), key
    assert found.held_out < 1e-6


def test_hidden_boards_are_calibrated(plan: Plan) -> None:
    """The short form of ``python -m tests.studies.calibration``."""
    unseen = others(plan, "generic", 0, small=True, count=12)
    result = measure(plan, unseen, trials=25, repeats=5, noise=0.1)
    assert result["held_out_error"] <= 0.05
    assert result["coverage_mean"] >= 0.9


def test_the_profile_is_one_that_estimate_takes(plan: Plan, log: list[Reading]) -> None:
    found = calibrate(plan, log, place="log")
    table = profile_table("board", found, plan, "0" * 64, 2026)
    profile = parse_profile(table, Path("board.toml"))
    assert {key for key, c in profile.constants.items() if c.basis != "measured"} == {"energy.hop_ew", "energy.hop_ns"}
    counts = plan.probes[3].counts
    bill = price(counts, profile, estimate_latency(counts, profile))
    assert bill.evidence == "measured"
    assert not bill.unpriced
    energy, _ = truth(model.tally(counts), hidden(plan, 3))
    assert bill.total is not None
    assert bill.total.low < energy < bill.total.high
    assert bill.total.nominal == pytest.approx(energy, rel=0.1)


# -- what is wrong with a log ------------------------------------------------------------------------------------------


def changed(rows: list[Reading], lines: set[int] | None = None, *, energy: float = 1, time: float = 1) -> list[Reading]:
    """Every row, or those of some lines, with other figures."""
    return [
        replace(r, energy_uJ=r.energy_uJ * energy, time_us=r.time_us * time) if lines is None or r.line in lines else r
        for r in rows
    ]


def swap_rows(rows: list[Reading], a: int, b: int) -> list[Reading]:
    """Two rows under each other's names."""
    names = {rows[a].line: rows[b].probe, rows[b].line: rows[a].probe}
    return [replace(r, probe=names.get(r.line, r.probe)) for r in rows]


def swap_probes(rows: list[Reading], a: str, b: str) -> list[Reading]:
    names = {a: b, b: a}
    return [replace(r, probe=names.get(r.probe, r.probe)) for r in rows]


def only(rows: list[Reading], *probes: str) -> list[Reading]:
    return [r for r in rows if r.probe in probes]


WAITS = {2, 13, 24, 35, 46}  # lines of idle rows
FAULTS: dict[str, tuple[Callable[[list[Reading]], list[Reading]], str]] = {
    "energies in mJ": (lambda rows: changed(rows, energy=1e3), "power of its rows is .* off by 1000"),
    "times in us": (lambda rows: changed(rows, energy=1e6, time=1e6), "time of its rows is .* off by 1e\\+06"),
    "one row in mJ": (lambda rows: changed(rows, {20}, energy=1e-3), "line 20: its power is .* off by 0.001"),
    "two rows swapped": (lambda rows: swap_rows(rows, 13, 29), "lines 15 and 31 look swapped"),
    "two probes swapped": (lambda rows: swap_probes(rows, "p02", "p07"), "rows of p02 and p07 look swapped"),
    "one row alone": (lambda rows: changed(rows, {20}, energy=4), "line 20: .* measure it again"),
    "one idle row in mJ": (
        lambda rows: changed(rows, {13}, energy=1e3),
        "line 13: its power is .* other idle rows: .* 1000",
    ),
    "idle rows in J": (lambda rows: changed(rows, WAITS, energy=1e-3), "line 2: the board that waits .* off by 0.001"),
    "one of two idle rows": (
        lambda rows: [r for r in changed(rows, {13}, energy=1e3) if r.line not in WAITS - {2, 13}],
        "line 13: the board that waits .* off by 1000",
    ),
    "one idle row alone": (
        lambda rows: changed(rows, {13}, energy=4),
        "line 13: .* other idle rows .* measure it again",
    ),
    "idle alone": (lambda rows: only(rows, IDLE), "idle in all 5 rows"),
    "the meter beside the chip": (
        lambda rows: [replace(r, energy_uJ=r.time_us * rows[0].power_mW * 1e-3) for r in rows],
        "idle only: no probe draws more",
    ),
    "too few probes": (lambda rows: only(rows, IDLE, "p01", "p02"), "3 probes for 8 constants; measure p03, p04"),
    "no reading to spare": (
        lambda rows: [*rows[:8], rows[9], rows[10]],
        "10 readings for 8 constants, which leaves nothing to tell noise by",
    ),
    "no row": (lambda _rows: [], "no row has an energy"),
}


def test_the_less_noise_the_less_a_row_may_differ(plan: Plan) -> None:
    quiet = measured(plan, hidden(plan, 3), noise=0.02, seed=3)
    calibrate(plan, quiet, place="log")
    with pytest.raises(InvalidFileError, match=r"line 20: .* measure it again"):
        calibrate(plan, changed(quiet, {20}, energy=1.5), place="log")


@pytest.mark.parametrize("fault", FAULTS)
def test_what_is_wrong_is_named(fault: str, plan: Plan, log: list[Reading]) -> None:
    calibrate(plan, log, place="log")
    spoil, said = FAULTS[fault]
    with pytest.raises(InvalidFileError, match=said):
        calibrate(plan, spoil(log), place="log.csv")


def test_constants_that_no_probe_tells_apart_are_named(plan: Plan, log: list[Reading]) -> None:
    without = [r for r in log if r.probe != IDLE]
    with pytest.raises(InvalidFileError, match=r"do not tell power.* apart"):
        calibrate(plan, without, place="log.csv")


def test_a_board_a_thousand_times_off_is_taken_at_its_word(plan: Plan, log: list[Reading]) -> None:
    found = calibrate(plan, changed(log, energy=1e3), place="log", trust_units=True)
    plain = calibrate(plan, log, place="log")
    assert found.energy.values == pytest.approx(plain.energy.values * 1e3, rel=1e-6)
    for rest in (set[int](), WAITS - {2, 13}):
        odd = [r for r in changed(log, {13}, energy=1e3) if r.line not in rest]
        with pytest.raises(InvalidFileError, match=r"line.* 13.* off by 1000"):
            calibrate(plan, odd, place="log", trust_units=True)


def test_a_time_that_no_row_tells_is_left_out(plan: Plan) -> None:
    def silent(counts: Counts) -> Counts:
        return replace(counts, cores=tuple(replace(c, messages=(0,) * len(c.messages)) for c in counts.cores))

    plan = replace(plan, probes=tuple(replace(p, counts=silent(p.counts)) for p in plan.probes))
    found = calibrate(plan, measured(plan, hidden(plan, 1)), place="log")
    assert found.untold == ("time.message",)
    table = profile_table("board", found, plan, "0" * 64, 2026)
    assert table["time"]["message"]["note"].startswith("not fitted: as in loihi1")
    assert table["banner"].endswith("as in loihi1, not measured: hop_ew, hop_ns, time.message; no probe tells crossing")
    table = profile_table("board", found, replace(plan, base={}), "0" * 64, 2026)
    assert set(table["time"]) == {"update_active", "update_idle", "synop", "barrier"}
    assert table["banner"].endswith("; no probe tells hop_ew, hop_ns, crossing, time.message")


def test_times_that_no_row_tells_apart_are_named(plan: Plan) -> None:
    def alike(counts: Counts) -> Counts:
        return replace(counts, cores=tuple(replace(c, messages=c.synops) for c in counts.cores))

    plan = replace(plan, probes=tuple(replace(p, counts=alike(p.counts)) for p in plan.probes))
    with pytest.raises(InvalidFileError, match=r"do not tell time\.(synop, time\.message|message, time\.synop) apart"):
        calibrate(plan, measured(plan, hidden(plan, 1)), place="log")


# -- files and options -------------------------------------------------------------------------------------------------

ROWS = "probe,repeat,inferences,energy_mJ,power_W,time_ms\n"


def test_units_stand_in_the_header() -> None:
    text = ROWS + "idle,1,,,0.05,10000\np01,1,100,2,,50\np02,1,100,,,\np02,1,10,1,0.02,50\n"
    idle, first, second = parse(text, "log.csv", ["p01", "p02"])
    assert (idle.energy_uJ, idle.time_us, idle.power_mW) == pytest.approx((5e5, 1e7, 50))
    assert (first.energy_uJ, first.time_us) == pytest.approx((20, 500))
    assert (second.energy_uJ, second.line) == (pytest.approx(100), 5)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("probe,inferences,energy,time_s\n", "column 'energy' is unknown; .*did you mean 'energy_"),
        ("probe,inferences,energy_J,energy_mJ,time_s\n", "one time and one energy or power"),
        ("probe,inferences,energy_J\n", "one time and one energy or power"),
        (ROWS + "p9,1,10,1,,5\n", "line 2: probe 'p9' is not of this plan; expected idle or p01"),
        (ROWS + "p01,1,,1,,5\n", "line 2: inferences ''; expected a whole number"),
        (ROWS + "p01,1,10,1,,\n", "line 2: no time"),
        (ROWS + 'p01,1,10,"1,5",,5\n', "line 2: energy_mJ is '1,5'; expected a number above 0, with a point"),
        (ROWS + "p01,1,10,-1,,5\n", "expected a number above 0"),
        (ROWS + "p01,1,10,1,1,5\n", "1 W for 0.005 s is 0.005 J, and the row says 0.001 J"),
        (
            ROWS + "p01,1,10,1,,5,3\n",
            "line 2: 'p01,1,10,1,,5,3' has 7 cells, the header 6 columns; write decimals with a",
        ),
        ("probe,inferences,time_s,energy_J,note\np01,9,50,1,5,\n", "line 2: .* has 6 cells, the header 5 columns"),
        ("probe,inferences,energy_J,energy_J,time_s\n", "column 'energy_J' stands twice"),
        (ROWS + "p01,1,10,1,," + "5" * 140_000, "line 2: field larger than field limit .* plain CSV"),
        ("", "0 rows"),
        (ROWS.replace(",", ";"), "parted by semicolons, expected commas"),
        (ROWS.replace(",", "\t"), "parted by tabs, expected commas"),
    ],
)
def test_a_bad_log_is_refused(text: str, said: str) -> None:
    with pytest.raises(InvalidFileError, match=said):
        parse(text, "log.csv", ["p01", "p02"])


def test_lines_end_as_on_any_system() -> None:
    text = ROWS + "p01,1,100,2,,50\np02,1,10,1,0.02,50\n"
    for end in ("\r", "\r\n"):
        assert parse(text.replace("\n", end), "log.csv", ["p01", "p02"]) == parse(text, "log.csv", ["p01", "p02"])


def test_a_template_is_a_log_with_nothing_in_it() -> None:
    text = template([("p01", 100), ("p02", 7)], 2, 10)
    assert text.splitlines()[1:4] == ["idle,1,,,,10", "p01,1,100,,,", "p02,1,7,,,"]
    assert parse(text, "log.csv", ["p01", "p02"]) == []


def test_synops_of_a_format_without_a_price_are_fitted_together(plan: Plan) -> None:
    profile = load_profile("loihi1")
    conv = {**profile.constants, "energy.synop_conv": profile.constants["energy.synop"]}
    for constants in (conv, {key: c for key, c in conv.items() if key != "energy.synop"}):
        keys = model.energies(model.starting(replace(profile, constants=constants)))
        assert keys[:2] == ["energy.synop_conv", "energy.synop"]
        for probe in plan.probes:
            tally = model.tally(probe.counts)
            due = [tally.priced[key] for key in model.SYNOPS]
            assert model.energy_row(tally, keys, 1.0)[:2] == pytest.approx([due[0] * 1e-6, sum(due[1:]) * 1e-6])


def test_a_crossing_between_chips_is_fitted_where_probes_make_one() -> None:
    chips = replace(load_system("loihi1"), compartments=300, cores=2, tile_cores=1)
    plan = make(load_profile("loihi1"), chips, 11, small=True, seed=0, candidates=60)
    assert any(s.crossings for p in plan.probes for s in p.counts.sources)
    assert "energy.crossing" in plan.constants
    assert plan.condition() < 1e3
    found = calibrate(plan, measured(plan, hidden(plan, 3), seed=3, noise=1e-6), place="log.csv")
    value = dict(zip(found.energy.keys, found.energy.values, strict=True))["energy.crossing"]
    assert value == pytest.approx(hidden(plan, 3)["energy.crossing"], rel=0.05)


def test_what_is_not_fitted_stays_as_in_the_profile_of_the_plan(plan: Plan, log: list[Reading], tmp_path: Path) -> None:
    """loihi1 prices hops, which the generic system has not; nobody prices a crossing."""
    table = profile_table("board", calibrate(plan, log, place="log.csv"), plan, "0" * 64, 2026)
    (tmp_path / "board.toml").write_text(profile_text(table))
    found, base = load_profile(str(tmp_path / "board.toml")), load_profile("loihi1")
    for key in ("energy.hop_ew", "energy.hop_ns"):
        kept, there = found.constants[key], base.constants[key]
        assert kept.note.startswith("not fitted: as in loihi1")
        assert replace(kept, note=there.note) == there
    assert "energy.crossing" not in found.constants
    assert "as in loihi1, not measured: hop_ew, hop_ns" in found.banner
    assert found.banner.endswith("; no probe tells crossing")
    again = Plan.from_json(plan.to_json(), {p.id: p.counts for p in plan.probes}.__getitem__)
    assert again.base == plan.base
    older = {key: value for key, value in plan.to_json().items() if key != "base"}
    assert Plan.from_json(older, {p.id: p.counts for p in plan.probes}.__getitem__).base == {}


def test_plans_that_cannot_be_made(monkeypatch: pytest.MonkeyPatch) -> None:
    profile, system = load_profile("loihi1"), load_system("generic")
    with pytest.raises(UsageError, match="--probes 7: 9 or more are needed to tell synop, "):
        make(profile, load_system("loihi1"), 7, small=False, seed=1, candidates=12)
    seen: list[int] = []
    with pytest.raises(UsageError, match=r"--probes 8: 9 or more .* apart on loihi1"):
        make(profile, load_system("loihi1"), 8, small=False, seed=1, advance=lambda done, _: seen.append(done))
    assert len(seen) < 12  # what shows it ends it
    # What no system settles is refused before the first candidate is simulated.
    monkeypatch.setattr("snnas.hw_sim.calibrate.plan.simulated", lambda recipe, system: pytest.fail("simulated"))
    with pytest.raises(UsageError, match=r"--probes 6: 7 or more .* up to 10"):
        make(profile, system, 6, small=True, seed=0, candidates=12)
    with pytest.raises(UsageError, match="--probes 13: there are 12 candidates"):
        make(profile, system, 13, small=True, seed=0, candidates=12)
    with pytest.raises(UnsupportedError, match="prices cycles of a microcontroller"):
        make(load_profile("stm32l412"), system, 10, small=True, seed=0, candidates=2)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        ({"format": "snnas.calibration_plan/9"}, "format .*plan again"),
        ({"constants": {"energy.synop": 0}}, "expected numbers above 0"),
        ({"constants": {"energy.nothing": 1.0}}, "expected numbers above 0"),
        ({"probes": [{"id": "../p01"}]}, "expected a name for each"),
        ({"probes": [{"id": "p01", "recipe": {"shape": 3}}]}, "recipe is damaged"),
        ({"probes": []}, "expected a name for each"),
        ({"base": {"energy.nothing": {}}}, "base .*expected constants of a profile"),
        ({"base": {"energy.synop": {"value": 1.0}}}, "plan.json: energy.synop: entries"),
    ],
)
def test_a_damaged_plan_is_refused(spoil: dict[str, object], said: str, plan: Plan) -> None:
    counts: dict[str, Counts] = {p.id: p.counts for p in plan.probes}
    with pytest.raises(InvalidFileError, match=said):
        Plan.from_json({**plan.to_json(), **spoil}, counts.__getitem__)
