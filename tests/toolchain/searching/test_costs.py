from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from snnas.hw_sim.errors import UnsupportedError
from snnas.hw_sim.map.system import load_system
from snnas.hw_sim.simulate.expected import expected_counts
from snnas.search.methods.memory import Widths
from snnas.search.network import space
from snnas.search.network.config import NetworkConfig
from snnas.search.network.genotype import Cell, Genotype
from snnas.toolchain.data.load import Dataset, load
from snnas.toolchain.data.statistics import balanced_accuracy
from snnas.toolchain.exporting import on_target
from snnas.toolchain.searching.budgets import METRICS, parse_budgets
from snnas.toolchain.searching.cost import Chip, Cost, Meter, Predictor, figure, live, measure, merit
from snnas.toolchain.searching.within_budget import over_budget
from snnas.toolchain.training import build

CONFIG = NetworkConfig(input_shape=(1, 8, 8), classes=10, channels=3, hidden=12, votes=2, timesteps=3)
DEEP = Cell.of({(0, 1): "conv3x3", (1, 2): "conv3x3", (2, 3): "conv3x3", (0, 3): "conv3x3"})
FLAT = Cell.of({(0, 3): "conv3x3"})
SILENT_END = Cell.of({(0, 3): "conv3x3", (0, 1): "conv3x3"})


def genotype(first: Cell, second: Cell | None = None) -> Genotype:
    return Genotype("lightsnn", (first, second or first))


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return load("digits", seed=0)


@pytest.fixture(scope="module")
def predictor(digits: Dataset) -> Predictor:
    return Predictor(CONFIG, Chip.load(), Widths(), digits.x_train[:16], digits.range, 0)


def test_a_prediction_is_of_the_deployed_network(predictor: Predictor) -> None:
    (found,) = predictor([genotype(DEEP)])
    assert isinstance(found, Cost)
    assert found.figures.keys() == METRICS.keys()
    assert found.provenance == "predicted"
    assert found.accuracy is None
    assert found.energy_uJ is not None
    assert found.latency_us is not None
    assert found.energy_uJ.low < found.energy_uJ.nominal < found.energy_uJ.high == found.figures["energy_total"]
    assert found.figures["latency"] == found.latency_us.high
    assert 0 < (found.figures["sar"] or 0) < 1
    assert (found.figures["spikes"], found.figures["synops"]) == (found.spikes, found.synops)
    assert 0 < found.spikes < found.synops
    (again,) = predictor([genotype(DEEP)])
    assert again == found


def test_a_cost_of_before_spikes_and_synops_were_figures_is_read(predictor: Predictor) -> None:
    (found,) = predictor([genotype(DEEP)])
    assert isinstance(found, Cost)
    plain = found.to_json()
    older = {**plain, "figures": {k: v for k, v in plain["figures"].items() if k not in ("spikes", "synops")}}
    assert Cost.of(older) == found
    for name in ("spikes", "synops", "sar"):
        assert figure(older, name) == figure(plain, name) == found.figures[name]


def test_it_is_close_to_the_counts_of_its_own_rates(predictor: Predictor) -> None:
    """Counted spike by spike, or expected from rates: the same synapses on the same cores."""
    from snnas.export.compiler.compile import compile_graph
    from snnas.export.compiler.fold import fold
    from snnas.toolchain.searching.cost import _with_statistics_of

    network = _with_statistics_of(build(genotype(DEEP), CONFIG, seed=0), predictor.x)
    program = compile_graph(fold(network.layers()), timesteps=3)
    none = np.zeros(len(predictor.x), dtype=np.int64)
    found = on_target.run_program(program, predictor.x, none, predictor.chip.profile, predictor.chip.system)
    expected = expected_counts(program, found.mapping, found.counts.sar_of)
    assert found.counts.synops / found.counts.samples == pytest.approx(expected.synops / expected.samples, rel=0.1)
    (predicted,) = predictor([genotype(DEEP)])
    assert isinstance(predicted, Cost)
    assert predicted.synops == found.counts.synops / found.counts.samples


def test_a_trained_network_is_measured_on_validation_samples(digits: Dataset) -> None:
    network = build(genotype(FLAT), CONFIG, seed=0).eval()
    found = measure(network, digits, Chip.load(), Widths())
    assert (found.provenance, found.samples) == ("measured", len(digits.x_val))
    exported = on_target.measure(network, digits, digits.x_val, digits.y_val, Chip.load().profile)
    assert exported.bill is not None
    assert exported.bill.total is not None
    assert found.figures["energy_total"] == exported.bill.total.high
    assert found.accuracy == exported.accuracy
    assert found.balanced is None
    assert merit(found.to_json()) == found.accuracy


def test_where_classes_are_weighed_the_balanced_accuracy_is_compared(digits: Dataset) -> None:
    network = build(genotype(FLAT), CONFIG, seed=0).eval()
    kept = np.flatnonzero((digits.y_val < 5) | (np.arange(len(digits.y_val)) % 5 == 0))
    data = replace(digits, x_val=digits.x_val[kept], y_val=digits.y_val[kept], class_weights=(1.0,) * 10)
    found = measure(network, data, Chip.load(), Widths())
    predictions = on_target.measure(network, data, data.x_val, data.y_val, None).predictions
    assert found.balanced == balanced_accuracy(predictions, data.y_val)
    assert found.balanced != found.accuracy
    assert merit(found.to_json()) == found.balanced
    assert Cost.of(found.to_json()) == found
    older = {name: value for name, value in found.to_json().items() if name != "balanced"}
    assert Cost.of(older).balanced is None


def test_what_nothing_public_prices(digits: Dataset) -> None:
    with pytest.raises(UnsupportedError):
        Chip.load(profile="loihi2")
    chip = Chip.load(system="loihi2")
    (found,) = Predictor(CONFIG, chip, Widths(), digits.x_train[:4], digits.range, 0)([genotype(FLAT)])
    assert isinstance(found, Cost)
    assert found.energy_uJ is None
    assert found.figures["cores"] is not None
    meter = Meter(CONFIG, Widths(), {"energy_total": 1e9}, lambda genotypes: [found])
    assert "no figure for energy_total" in str(meter.refuse([genotype(FLAT)])[0])


class Counting:
    """Predicts ``figures`` of each genotype's number of convolutions."""

    def __init__(self) -> None:
        self.asked: list[Genotype] = []

    def __call__(self, genotypes):
        self.asked += genotypes
        return [self.cost(g) for g in genotypes]

    def cost(self, g: Genotype) -> Cost | str:
        convs = sum(op == "conv3x3" for op in g.cells[0].live().values())
        if convs == 1:
            return "it has no program"
        figures = {name: 10.0 * convs for name in METRICS}
        return Cost(
            provenance="predicted", figures=figures, energy_uJ=None, latency_us=None, spikes=0, synops=0, synapses=0,
            samples=1,
        )  # fmt: skip


def test_the_meter_asks_once_and_keeps_the_nearest_miss() -> None:
    predict = Counting()
    meter = Meter(CONFIG, Widths(), {"energy_total": 25.0, "cores": 25.0}, predict)
    two = Cell.of({(0, 3): "conv3x3", (0, 1): "conv3x3", (1, 3): "skip"})
    dead_end = Cell.of({(0, 3): "conv3x3", (0, 1): "conv3x3", (1, 3): "skip", (0, 2): "conv3x3"})
    reasons = meter.refuse([genotype(two), genotype(FLAT), genotype(DEEP), genotype(dead_end)])
    assert reasons[0] is reasons[3] is None
    assert reasons[1] == "it has no program"
    assert (
        reasons[2]
        == "energy_total 40 uJ is over 25 uJ by 60.0%, cores 40 is over 25 by 60.0% (predicted, upper end of the band)"
    )
    assert len(predict.asked) == 3, "equal live edges are one network"
    assert meter.nearest is not None
    assert meter.nearest[1].startswith(f"{genotype(DEEP).architecture_id}: energy_total 40 uJ")
    assert meter.refuse([genotype(dead_end)]) == [None]
    assert len(predict.asked) == 3
    assert live(genotype(two)) == live(genotype(dead_end))


@pytest.mark.parametrize("limits", [{"memory": 100.0}, {"neurons": 10.0}, {"parameters": 10.0}])
def test_what_is_known_early_is_refused_before_anything_is_built(limits: dict) -> None:
    predict = Counting()
    meter = Meter(CONFIG, Widths(), limits, predict)
    (reason,) = meter.refuse([genotype(DEEP)])
    assert reason is not None
    assert "before it is built" in reason
    assert predict.asked == []


def test_memory_alone_builds_nothing() -> None:
    predict = Counting()
    assert Meter(CONFIG, Widths(), {"memory": 1e9}, predict).refuse([genotype(DEEP)]) == [None]
    assert predict.asked == []
    assert Meter(CONFIG, Widths(), {"memory": 1e9, "cores": 1e9}, predict).refuse([genotype(DEEP)]) == [None]
    assert len(predict.asked) == 1


def test_recurrent_networks_are_predicted_too(predictor: Predictor) -> None:
    rng = np.random.default_rng(0)
    found = predictor([space.get("lightsnn").random_genotype(rng, backward=True) for _ in range(3)])
    assert all(isinstance(one, Cost) for one in found)


def test_a_microcontroller_is_judged_by_the_c_that_the_network_becomes(digits: Dataset) -> None:
    """Flash, memory and instructions of the search are those of the C; a budget refuses by their names."""
    chip = Chip.load(system="cortex-m4")
    predictor = Predictor(CONFIG, chip, Widths(), digits.x_train[:8], digits.range, 0)
    small, large = predictor([genotype(FLAT), genotype(DEEP)])
    for found in (small, large):
        assert isinstance(found, Cost)
        assert found.energy_uJ is not None
        assert 5e3 < (found.figures["flash"] or 0) < 64e3
        assert 1e3 < (found.figures["ram"] or 0) < 64e3
    assert small.figures["instructions"] < large.figures["instructions"]
    limits = parse_budgets(["flash=64kB", "ram=64kB", f"instructions={small.figures['instructions'] * 1.2:.0f}"])
    assert not over_budget(limits, small)
    assert [excess.metric for excess in over_budget(limits, large)] == ["instructions"]
    on_a_chip = Predictor(CONFIG, Chip.load(), Widths(), digits.x_train[:8], digits.range, 0)
    assert on_a_chip([genotype(FLAT)])[0].figures["flash"] is None


def test_a_microcontroller_judges_a_design_with_the_steps_of_its_channels(tmp_path: Path) -> None:
    """Its C will see a channel in another unit on a grid of its own, and so does the measurement of a search."""
    y = np.arange(40) % 2
    x = np.random.default_rng(0).uniform(0, 1, (40, 6, 2)) * (700, 1)
    np.savez(tmp_path / "units.npz", x=x.astype(np.float32), y=y)
    data = load(tmp_path / "units.npz", seed=0, axis="time")
    sizes = NetworkConfig(
        input_shape=data.input_shape, classes=2, input_kind="analogue", channels=4, hidden=4, timesteps=6, cells=1,
        gain=data.gain,
    )  # fmt: skip
    network = build(Genotype("lightsnn_1d", (Cell.of({(0, 3): "conv3x3"}),)), sizes, seed=0).eval()
    found = on_target.measure(network, data, data.x_val, data.y_val, None, load_system("cortex-m4"))
    assert found.program.host_integers is not None
    assert found.program.host_integers.finer == (0, 8)
