"""The methods that search cells of four nodes on a supernet: lightsnn, snasnet and spikenas."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from snnas.hw_sim.errors import InvalidFileError, UsageError, did_you_mean
from snnas.hw_sim.system_calls import physical_memory
from snnas.toolchain.data.seeds import stream
from snnas.toolchain.output.stderr import counted
from snnas.toolchain.searching.least import FEW, Floor
from snnas.toolchain.searching.options import SearchOptions
from snnas.toolchain.searching.runner import MAX_STUDY, Bank, Runner, Scorer, Spec, Task

if TYPE_CHECKING:
    from snnas.search.kinds import Sizes
    from snnas.search.methods import SearchResult
    from snnas.search.network.config import NetworkConfig
    from snnas.search.network.genotype import Genotype
    from snnas.search.network.space import Space
    from snnas.search.scoring.guards import Finding
    from snnas.search.scoring.proxies import Score
    from snnas.toolchain.data.load import Dataset


CELLS = 2  # as the papers have
TIMED = 4  # candidates, to guess how long a search takes
SAHD = ("per-node", "per-op")


class CellMethod(Runner):
    """A method that searches cells. whole: candidates are whole networks: each is priced, and may stand on a front."""

    shared = ("proxy", "sahd", "backward", "hidden", "head")
    proxies = ("sahd",)
    whole: ClassVar[bool] = False

    def refuse(self, options: SearchOptions) -> None:
        if "," in options.objective and not self.whole:
            fronted = ", ".join(name for name, method in CELL_METHODS.items() if method.whole)
            raise UsageError(
                f"--objective {options.objective!r}: {options.method} scores supernets and ends with one network; a "
                f"front takes --method trained, {fronted} or mse_nas"
            )
        if options.sahd not in SAHD:
            hint = did_you_mean(options.sahd, SAHD)
            raise UsageError(f"--sahd {options.sahd!r}: expected {' or '.join(SAHD)}{hint}")
        super().refuse(options)

    def floors(self, spec: Spec) -> Sequence[Floor]:
        return (skips(_space(spec).name, spec.network),)

    def smallest(self, spec: Spec) -> Iterable[Any]:
        """The valid cells with the smallest kernels, one for each function."""
        from snnas.search.methods.lightsnn import completions
        from snnas.search.network.functional import form
        from snnas.search.network.genotype import Cell, Genotype

        space = _space(spec)
        different: dict[Hashable, Cell] = {}
        for cell in completions(dict.fromkeys(space.edges(), space.ops)):
            if space.valid(cell):
                different.setdefault(form(cell), Cell.of(cell.live()))
            if len(different) == FEW:
                break
        return (Genotype(space.name, (cell,) * spec.network.cells) for cell in different.values())

    def settings(self, options: SearchOptions, data: Dataset) -> dict[str, Any]:
        return {**super().settings(options, data), "sahd": options.sahd}

    def network(self, options: SearchOptions, given: Mapping[str, Any], device: str) -> Sizes:
        from snnas.search.network.config import DEFAULT_HEAD, DEFAULT_HIDDEN, NetworkConfig
        from snnas.search.network.space import get

        space = get(self.space_for(given["input_shape"]))
        network = NetworkConfig(
            **given,
            hidden=options.hidden or DEFAULT_HIDDEN,
            reduction=space.reduction,
            cells=options.cells or CELLS,
            head=options.head or DEFAULT_HEAD,
        )
        _fits_memory(network, space, options, device)
        return network

    def spaces(self) -> tuple[str, ...]:
        return self.space, f"{self.space}_1d"

    def space_for(self, shape: tuple[int, int, int]) -> str:
        _, height, width = shape
        return self.space if height > 1 or width == 1 else f"{self.space}_1d"

    def scorer(self, spec: Spec, bank: Bank) -> Scorer:
        return _SupernetScorer(spec, bank)

    def some(self, task: Task) -> Sequence[Any]:
        from snnas.search.methods import single

        rng, backward = stream(task.seed, "outlook"), bool(task.spec.settings["backward"])
        cells, space = task.spec.network.cells, _space(task.spec)
        return [single(space.random_genotype(rng, cells=cells, backward=backward)) for _ in range(TIMED)]

    def key(self, candidate: Any, network: Any) -> Hashable:
        from snnas.search.scoring.supernet import cells_of

        return tuple(tuple(ops.items()) for ops in cells_of(candidate, network.cells))

    def plan(self, task: Task) -> tuple[int, str]:
        total = self.total(task)
        return total, f"searching {_space(task.spec).name}: {counted(total, 'evaluation')}"

    def total(self, task: Task) -> int:
        """How many evaluations the search makes at most."""
        raise NotImplementedError


class Lightsnn(CellMethod):
    """Pruning by importance on a supernet."""

    space = "lightsnn"

    def some(self, task: Task) -> Sequence[Any]:
        """The whole supernet and its first removals: what is left gets less from round to round."""
        space = _space(task.spec)
        edges = space.edges(backward=task.spec.settings["backward"])
        whole = dict.fromkeys(edges, space.ops)
        return [whole, *({**whole, edge: space.ops[1:]} for edge in edges[: TIMED - 1])]

    def total(self, task: Task) -> int:
        space = _space(task.spec)
        edges, ops = len(space.edges(backward=task.spec.settings["backward"])), len(space.ops)
        return edges * (ops * (ops + 1) // 2 - 1) + 1

    def run(self, task: Task) -> SearchResult:
        from snnas.search.methods import lightsnn

        return lightsnn.run(_space(task.spec), task.score, refuse=task.refuse, **_shared(task))


class Snasnet(CellMethod):
    """Random candidates."""

    space = "snasnet"
    own = ("candidates",)
    whole = True

    def total(self, task: Task) -> int:
        from snnas.search.methods import snasnet

        # The draws are made twice: here to know how many differ, and by the search.
        return len(snasnet.distinct(_space(task.spec), **_drawn(task, "snasnet")))

    def run(self, task: Task) -> SearchResult:
        from snnas.search.methods import no_refusal, snasnet

        drawn = {**_drawn(task, "snasnet"), **_shared(task)}
        return snasnet.run(_space(task.spec), task.score, refuse=task.refuse or no_refusal, **drawn)


class Spikenas(CellMethod):
    """Cell by cell, aware of memory, behind a study of the operations where one is asked for."""

    space = "spikenas"
    own = ("candidates", "study")
    whole = True
    studies = MAX_STUDY

    def total(self, task: Task) -> int:
        from snnas.search.methods import spikenas

        space = _space(task.spec)
        cells = spikenas.valid_cells(space, **_drawn(task, "spikenas"))
        return len(cells) * task.spec.network.cells + len(task.study) * spikenas.STUDY_DRAWS * len(space.ops)

    def run(self, task: Task) -> SearchResult:
        from snnas.search.methods import no_refusal, spikenas
        from snnas.search.methods.memory import Widths, memory

        widths = Widths(**task.spec.settings.get("widths", {}))

        def size(genotype: Genotype) -> int:
            return memory(genotype, task.spec.network).bytes(widths)

        return spikenas.run(
            _space(task.spec),
            task.score,
            memory=size,
            refuse=task.refuse or no_refusal,
            study=task.study,
            **{**_drawn(task, "spikenas"), **_shared(task)},
        )


def skips(space: str, network: NetworkConfig) -> Floor:
    """Cells that hand their input on, and the sizes around them: a network of those sizes that holds less than any."""
    from snnas.search.network.genotype import FORWARD_EDGES, ZEROIZE, Cell, Genotype

    cell = Cell.of({edge: "skip" if edge == (0, 3) else ZEROIZE for edge in FORWARD_EDGES})
    return Genotype(space, (cell,) * network.cells), network


CELL_METHODS: dict[str, CellMethod] = {"lightsnn": Lightsnn(), "snasnet": Snasnet(), "spikenas": Spikenas()}


def _space(spec: Spec) -> Space:
    from snnas.search.network.space import get

    return get(spec.settings["space"])


def _drawn(task: Task, name: str) -> dict[str, Any]:
    """What random candidates come of; ``name``: of the stream."""
    backward = task.spec.settings["backward"]
    return {"candidates": task.setting("candidates"), "rng": stream(task.seed, name), "backward": backward}


def _shared(task: Task) -> dict[str, Any]:
    """What every method takes."""
    return {
        "log": task.log,
        "resume": task.resume,
        "backward": task.spec.settings["backward"],
        "cells": task.spec.network.cells,
        "inspect": task.inspect,
    }


class _SupernetScorer:
    """The proxy of a run on a supernet with the weights of ``bank``."""

    def __init__(self, spec: Spec, bank: Bank) -> None:
        import torch

        from snnas.search.scoring.batched import BatchedScorer
        from snnas.search.scoring.supernet import Supernet

        if spec.settings.get("proxy") == "snnas":
            raise InvalidFileError(
                "run.toml: [method] proxy is 'snnas', a score that is gone: it ranked no better than counting; begin "
                "the search anew, without --proxy"
            )
        self.supernet = Supernet(_space(spec), spec.network, backward=spec.settings["backward"], seed=bank.seed)
        self.supernet.to(spec.device)
        self.batch = torch.from_numpy(bank.batch).to(spec.device)
        per_operation = spec.settings.get("sahd") == "per-op"
        self.score = BatchedScorer(self.supernet, self.batch, per_operation=per_operation)

    def __call__(self, candidates: Sequence[Any]) -> Sequence[Score]:
        return self.score(candidates)

    def inspect(self, candidate: Any) -> Sequence[Finding]:
        return self.supernet.inspect(self.batch, candidate)


def _fits_memory(network: NetworkConfig, space: Space, options: SearchOptions, device: str) -> None:
    """UsageError where the weights alone are larger than the memory: the system ends such a process without a word."""
    import torch

    from snnas.search.network.genotype import CONV_KERNELS

    outputs = network.classes * network.votes
    taps = {kernel: math.prod(network.window(kernel)) for kernel in {3, *CONV_KERNELS.values()}}
    fixed = taps[3] * network.input_shape[0] * network.channels + network.features * (network.head_neurons or outputs)
    fixed += network.head_neurons * outputs
    widths = [network.width(cell) for cell in range(1, network.cells + 1)]
    fixed += sum(2 * taps[3] * width**2 for width in widths[:-1])
    kernels = [taps[CONV_KERNELS[op]] for op in space.ops if op in CONV_KERNELS]
    searched = sum(kernels) * len(space.edges(backward=options.backward)) * sum(width**2 for width in widths)
    # Float32: the supernet holds them once; training holds weight, gradient and two moments, of one conv at the least.
    parameters = fixed + searched
    needed = max(4 * parameters, 16 * fixed)
    if device.startswith("cuda"):
        there: int | None = int(torch.cuda.get_device_properties(device).total_memory)
    else:
        there = physical_memory()
    if there is not None and needed > there:
        raise UsageError(
            f"--channels {options.channels} --hidden {options.hidden}: {parameters:,} parameters to search, which take "
            f"{needed / 1e9:,.1f} GB of {there / 1e9:,.1f} GB on {device}; take fewer --channels or a smaller --hidden"
        )
