"""What a network costs on a chip: the deployable graph, folded, compiled, placed, run on samples and priced.

The same road as an export takes, without its checks and files. Before training the weights are the initial ones and BN
has the statistics of the samples: *predicted*. After training it is what an export measures, on other samples than
those of the test split: *measured*.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from snnas.export.compiler.compile import compile_graph
from snnas.export.compiler.fold import fold
from snnas.export.compiler.quantise import check_bits
from snnas.export.graph.graph import Graph, parameters_of
from snnas.hw_sim.energy.profile import Band, Profile
from snnas.hw_sim.errors import SnnasError
from snnas.hw_sim.limits import WEIGHT_BITS
from snnas.hw_sim.map.mapping import load_system
from snnas.hw_sim.map.system import System
from snnas.toolchain.data.statistics import balanced_accuracy
from snnas.toolchain.exporting import on_target
from snnas.toolchain.exporting.on_target import Figures, bits_of
from snnas.toolchain.models.estimate import profile_of
from snnas.toolchain.models.microcontroller import of_device
from snnas.toolchain.models.pricing import Pricing
from snnas.toolchain.searching.budgets import METRICS, OF_DEVICE, Excess, excesses

if TYPE_CHECKING:
    from snnas.search.kinds import Architecture, Sizes
    from snnas.search.methods.memory import Widths
    from snnas.search.network.genotype import Genotype
    from snnas.search.network.network import Network
    from snnas.toolchain.data.load import Dataset


@dataclass(frozen=True, slots=True, kw_only=True)
class Chip:
    """What a network is to run on, and how. profile: None where no price of that chip is public. bits: of a weight."""

    profile: Profile | None
    system: System
    bits: int = WEIGHT_BITS

    @classmethod
    def load(cls, *, profile: str | None = None, system: str = "loihi1", bits: int = WEIGHT_BITS) -> Chip:
        """By names or files; raises as ``estimate`` does, also where profile and system do not agree."""
        check_bits(bits)
        return cls(profile=profile_of(Pricing(profile=profile, system=system)), system=load_system(system), bits=bits)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """One network on a chip, per inference. figures: by the names of ``budgets.METRICS``; None: there is none.

    Energy and latency stand in ``figures`` with their upper ends. accuracy: of the program on the samples, in 0..1;
    None where they have no labels, and where the network is not trained.
    """

    provenance: str
    figures: Mapping[str, float | None]
    energy_uJ: Band | None
    latency_us: Band | None
    spikes: float
    synops: float
    synapses: int
    samples: int
    accuracy: float | None = None
    balanced: float | None = None
    """Mean of the classes' accuracies, where the data set weighs its classes: what is chosen by then."""
    misfits: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Plain data for ``json.dumps``."""
        return {**asdict(self), "misfits": list(self.misfits)}

    @classmethod
    def of(cls, plain: Mapping[str, Any]) -> Cost:
        """Read what ``to_json`` returned, whatever else stands beside it; KeyError, TypeError or ValueError."""
        plain = {"balanced": None, **plain}  # of before there was one
        known = {f.name: plain[f.name] for f in fields(cls)}
        bands = {name: known[name] and Band(**known[name]) for name in ("energy_uJ", "latency_us")}
        figures = {name: None if value is None else float(value) for name, value in _figures(known).items()}
        return cls(**{**known, **bands, "figures": figures, "misfits": tuple(known["misfits"])})


def figure(cost: Mapping[str, Any], name: str) -> float:
    """A figure of a cost's JSON; energy and latency nominal, as a front compares; infinite where there is none."""
    band = cost["energy_uJ"] if name == "energy_total" else cost["latency_us"] if name == "latency" else None
    value = band["nominal"] if band else _figures(cost)[name]
    return float("inf") if value is None else float(value)


def _figures(cost: Mapping[str, Any]) -> dict[str, Any]:
    """The figures of a cost's JSON; an older version has spikes and synops beside them alone."""
    return {name: cost[name] for name in ("spikes", "synops") if name in cost} | cost["figures"]


def merit(cost: Mapping[str, Any]) -> float:
    """The accuracy of a measured cost's JSON that networks are compared by: the balanced one where there is one."""
    balanced = cost.get("balanced")
    return float(cost["accuracy"] if balanced is None else balanced)


def cost(network: Network, graph: Graph, found: Figures, *, widths: Widths, measured: bool) -> Cost:
    """The cost of ``network``, whose folded graph did ``found`` on a chip."""
    from snnas.search.methods.memory import memory

    counts, mapping, bill = found.counts, found.mapping, found.bill
    time = found.latency.inference_us if found.latency else None
    return Cost(
        provenance="measured" if measured else "predicted",
        figures={
            "energy_total": _high(bill.total if bill else None),
            "energy_dynamic": _high(bill.dynamic if bill else None),
            "latency": _high(time),
            "sar": counts.sar,
            "cores": float(mapping.cores),
            "chips": float(mapping.chips) if mapping.fits else None,
            "neurons": float(sum(p.size for p in found.program.populations if p.role == "neuron")),
            "parameters": float(parameters_of(graph)),
            "memory": float(memory(network.genotype, network.config).bytes(widths_of(network.genotype, widths))),
            **{**dict.fromkeys(OF_DEVICE), **of_device(found.device)},
            "spikes": counts.spikes / counts.samples,
            "synops": counts.synops / counts.samples,
        },
        energy_uJ=bill.total if bill else None,
        latency_us=time,
        spikes=counts.spikes / counts.samples,
        synops=counts.synops / counts.samples,
        synapses=sum(s.connections for s in counts.synapses),
        samples=counts.samples,
        accuracy=found.accuracy if measured else None,
        misfits=tuple(map(str, mapping.misfits)),
    )


def _high(band: Band | None) -> float | None:
    return band.high if band else None


def measure(network: Network, data: Dataset, chip: Chip, widths: Widths) -> Cost:
    """The cost of a trained network, with its accuracy on target, on the validation split: no test sample is seen."""
    bits = bits_of(network.genotype, chip.bits)
    found = on_target.measure(network, data, data.x_val, data.y_val, chip.profile, chip.system, bits=bits)
    made = cost(network, fold(network.layers()), found, widths=widths, measured=True)
    return replace(made, balanced=balanced_accuracy(found.predictions, data.y_val)) if data.class_weights else made


@dataclass(frozen=True, slots=True)
class Predictor:
    """Predicts costs: of the network as training would begin with it, run on the samples ``x``."""

    config: Sizes
    chip: Chip
    widths: Widths
    x: np.ndarray
    input_range: tuple[float, float]
    seed: int

    def __call__(self, genotypes: Sequence[Genotype]) -> list[Cost | str]:
        """The cost of each, or why it has none."""
        return [self._one(genotype) for genotype in genotypes]

    def _one(self, genotype: Genotype) -> Cost | str:
        from snnas.toolchain.training import build

        network = _with_statistics_of(build(genotype, self.config, seed=self.seed), self.x)
        graph = fold(network.layers())
        try:
            # No spikes to round by: that takes longer than all the rest, and moves no count by much.
            program = compile_graph(
                graph,
                timesteps=network.config.timesteps,
                input_kind=on_target.program_kind(network.config.input_kind),
                input_range=self.input_range,
                bits=bits_of(genotype, self.chip.bits),
            )
            none = np.zeros(len(self.x), dtype=np.int64)
            found = on_target.run_program(program, self.x, none, self.chip.profile, self.chip.system)
        except SnnasError as error:
            return f"it has no program before training ({' '.join(str(error).split())})"
        return cost(network, graph, found, widths=self.widths, measured=False)


def _with_statistics_of(network: Network, x: np.ndarray) -> Network:
    """The network in eval mode, its BN with the statistics of ``x``; nothing is drawn."""
    import torch

    from snnas.toolchain.training.statistics import measure_statistics

    measure_statistics(network, torch.from_numpy(x), unit=1, batch=len(x))
    return network.eval()


class Meter:
    """Holds predicted costs against limits; equal live edges are one network, costed once.

    predict: the costs of several, as ``Predictor``. What is known before anything is built (memory, neurons, the
    fewest parameters) is looked at first. ``nearest``: of what was refused, how the closest one misses.
    """

    def __init__(
        self,
        config: Sizes,
        widths: Widths,
        limits: Mapping[str, float],
        predict: Callable[[Sequence[Genotype]], Sequence[Cost | str]],
    ) -> None:
        self.config, self.widths, self.limits, self.predict = config, widths, dict(limits), predict
        self.known: dict[Any, Cost | str] = {}
        self.nearest: tuple[float, str] | None = None

    def refuse(self, genotypes: Sequence[Genotype]) -> list[str | None]:
        """Why each may not be taken, or None."""
        reasons: dict[int, str] = {}
        for at, genotype in enumerate(genotypes):
            early = excesses(self.limits, known_early(genotype, self.config, self.widths))
            if early:
                reasons[at] = self._reason(genotype, early, "before it is built")
        left = [at for at in range(len(genotypes)) if at not in reasons]
        # The memory is exact without a network: where nothing else is limited, none is built.
        left = left if self.limits.keys() - EXACT else []
        for at, found in zip(left, self.costs([genotypes[at] for at in left]), strict=True):
            over = excesses(self.limits, {} if isinstance(found, str) else found.figures)
            if isinstance(found, str):
                reasons[at] = found
            elif over:
                reasons[at] = self._reason(genotypes[at], over, "predicted")
        return [reasons.get(at) for at in range(len(genotypes))]

    def costs(self, genotypes: Sequence[Genotype]) -> list[Cost | str]:
        """The predicted costs, or why there is none."""
        missing = {live(g): g for g in genotypes if live(g) not in self.known}
        self.known.update(zip(missing, self.predict(list(missing.values())) if missing else (), strict=True))
        return [self.known[live(g)] for g in genotypes]

    def _reason(self, genotype: Genotype, over: Sequence[Excess], when: str) -> str:
        band = ", upper end of the band" if METRICS[over[0].metric].banded else ""
        text = ", ".join(map(str, over)) + f" ({when}{band})"
        # Of candidates that are over by the same, the first stays.
        if self.nearest is None or over[0].ratio < self.nearest[0]:
            self.nearest = over[0].ratio, f"{genotype.architecture_id}: {text}"
        return text


def widths_of(architecture: Architecture, widths: Widths) -> Widths:
    """What memory is counted with, its weights as wide as a design says."""
    return replace(widths, weight=bits_of(architecture, widths.weight))


# Of what is known early, what needs no second look.
EXACT = frozenset({"memory"})


def known_early(genotype: Architecture, sizes: Sizes, widths: Widths) -> dict[str, float | None]:
    """Figures that need no network: memory and neurons exactly, of parameters the fewest that there can be."""
    from snnas.search.kinds import network_config
    from snnas.search.methods.memory import memory, parameters

    config = network_config(genotype, sizes)
    stored = memory(genotype, config)
    return {
        "memory": float(stored.bytes(widths_of(genotype, widths))),
        "neurons": float(stored.neurons),
        "parameters": float(parameters(genotype, config)),
    }


def live(genotype: Architecture) -> tuple[Any, ...]:
    """What tells two networks apart."""
    return genotype.identity
