"""The method that trains its candidates: designs of cells and sizes, judged by accuracy and cost on target."""

from __future__ import annotations

import contextlib
import itertools
import statistics
import time
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from snnas.hw_sim.errors import InvalidFileError, SnnasError, UsageError
from snnas.hw_sim.tables import read_table
from snnas.toolchain.data.seeds import stream
from snnas.toolchain.data.split import apart
from snnas.toolchain.output.stderr import counted
from snnas.toolchain.searching.cell_methods import skips
from snnas.toolchain.searching.closest_miss import reserved
from snnas.toolchain.searching.cost import Cost, measure, merit
from snnas.toolchain.searching.least import Floor
from snnas.toolchain.searching.options import SearchOptions
from snnas.toolchain.searching.runner import Bank, Judged, Runner, Scorer, Spec, Task
from snnas.toolchain.training.device import one_thread

if TYPE_CHECKING:
    from snnas.search.kinds import Sizes
    from snnas.search.methods import SearchResult
    from snnas.search.methods.trials import Trained, Trial
    from snnas.search.network.design import Design
    from snnas.search.network.design_space import DesignSpace
    from snnas.search.scoring.guards import Finding
    from snnas.toolchain.data.load import Dataset
    from snnas.toolchain.training import TrainingConfig

DEFAULT_SPACE = Path(__file__).with_name("spaces") / "chip.toml"
# Samples: what a training is judged by, a third of training and validation part at most; what it is fitted to.
JUDGED, SHORT, LONG = 1024, 2048, 8192
JUDGED_SHARE = 1 / 3
LONGER = 3  # times as many steps as a short training has: more epochs where there are no more samples
LEAST = 4  # trainings


class TrainedMethod(Runner):
    """Evolution over designs that are trained shortly, the best of them longer."""

    space = "chip"
    own = ("trainings", "short_epochs", "random")
    shared = ("space", "hidden", "head", "proxy")
    proxies = ("asc",)
    chunk = 1
    trains = True

    def refuse(self, options: SearchOptions) -> None:
        for name, least in (("trainings", LEAST), ("short_epochs", 1)):
            if getattr(options, name) < least:
                option = name.replace("_", "-")
                raise UsageError(f"--{option} {getattr(options, name)}: expected a whole number >= {least}")
        if options.proxy and options.random:
            raise UsageError("--proxy asc with --random: draws are either at random or by a proxy; leave one out")

    def network(self, options: SearchOptions, given: Mapping[str, Any], device: str) -> Sizes:
        from snnas.search.network.design import DesignSizes

        names = ("input_shape", "input_kind", "classes", "gain")
        return DesignSizes(**{name: given[name] for name in names if name in given})

    def settings(self, options: SearchOptions, data: Dataset) -> dict[str, Any]:
        if data.beyond_spikes:
            raise UsageError(
                f"counts up to {data.range[1]:g}: trained judges on target, where a synapse carries one spike per "
                f"timestep; leave counts=true out, take more frames, or another --method, whose network ONNX takes"
            )
        space = space_of(options, data)
        if options.proxy and len(space.thresholds) == 1:
            raise UsageError(
                f"--proxy {options.proxy}: every threshold of this space is {space.thresholds[0]:g}, so that none "
                "ascends; expected a --space file with two at least, like thresholds = [0.6, 1.0, 1.4]"
            )
        return {**super().settings(options, data), "axes": space.plain()}

    def floors(self, spec: Spec) -> Sequence[Floor]:
        """Of each number of cells, head and pooling, the narrowest and shortest design, its cells emptied."""
        from snnas.search.network.config import NetworkConfig

        axes: Mapping[str, Sequence[Any]] = spec.settings["axes"]
        least = {name: min(axes[name]) for name in ("channels", "timesteps", "hidden")}
        found = []
        for cells, head, reduction in itertools.product(axes["cells"], axes["head"], axes["reduction"]):
            sizes = NetworkConfig(**asdict(spec.network), **least, cells=cells, head=head, reduction=reduction)
            found.append(skips("lightsnn", sizes))
        return found

    def smallest(self, spec: Spec) -> Iterable[Any]:
        """Of each number of cells, head and pooling, the narrowest and shortest design with one convolution."""
        from snnas.search.network.design_space import DesignSpace, reduced

        space, rng = DesignSpace.of(spec.settings["axes"]), stream(spec.predictor.seed, "smallest")
        least = {name: min(getattr(space, name)) for name in ("channels", "timesteps", "hidden", "bits")}
        for cells, head, reduction in itertools.product(space.cells, space.head, space.reduction):
            yield reduced(space, cells=cells, head=head, reduction=reduction, **least).draw_plain(rng)

    def scorer(self, spec: Spec, bank: Bank) -> Scorer:
        return Trainer(spec)

    def key(self, candidate: Any, network: Sizes) -> Hashable:
        name: str = candidate.name
        return name

    def compared_by(self, spec: Spec) -> str:
        return _costs(spec)[0]

    def plan(self, task: Task) -> tuple[int, str]:
        from snnas.search.methods.trained import SEEDS

        plan = _plan(task)
        words = f"training {counted(plan.trainings, 'design')}, {plan.longer} longer"
        return plan.all_trainings, f"{words}, {plan.finalists} with {SEEDS} seeds"

    def some(self, task: Task) -> Sequence[Any]:
        from snnas.search.network.design_space import DesignSpace

        rng, designs = stream(task.seed, "outlook"), DesignSpace.of(task.spec.settings["axes"])
        return [designs.draw(rng) for _ in range(2)]

    def seconds(self, task: Task, scorer: Scorer, total: int) -> float:
        """Of a few designs some steps and a measurement are tried, which make up a short training.

        Longer ones have LONGER times as many steps.
        """
        assert isinstance(scorer, Trainer)
        plan, short = _plan(task), statistics.fmean(map(scorer.seconds, self.some(task)))
        return plan.trainings * short + (plan.all_trainings - plan.trainings) * LONGER * short

    def run(self, task: Task) -> SearchResult:
        from snnas.search.methods import no_refusal, trained
        from snnas.search.network.design_space import DesignSpace

        return trained.run(
            DesignSpace.of(task.spec.settings["axes"]),
            task.train,
            _plan(task),
            rng=stream(task.seed, "trained"),
            refuse=task.refuse or no_refusal,
            log=task.log,
            resume=task.resume,
            earlier=task.earlier,
            say=task.say,
        )

    def check(self, settings: Mapping[str, Any]) -> None:
        from snnas.search.network.design_space import DesignSpace

        if type(settings.get("trainings")) is not int or type(settings.get("short_epochs")) is not int:
            raise UsageError("trainings and short_epochs have to be whole numbers")
        axes = settings.get("axes")
        DesignSpace.of(axes if isinstance(axes, dict) else {})

    def judged(self, records: Sequence[Mapping[str, Any]]) -> dict[str, Judged] | None:
        """The designs that were trained longer, as the last choice among them says."""
        from snnas.search.network.design import Design

        choices = [record for record in records if record.get("event") == "choice"]
        if not choices:
            return {}
        try:
            return {
                str(one["op"]): Judged(Design.from_json(one["genotype"]), float(one["score"]), Cost.of(one["cost"]))
                for one in choices[-1]["finalists"]
            }
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise InvalidFileError(
                f"search.jsonl: a choice cannot be used ({type(error).__name__}: {error}); search again"
            ) from None


def space_of(options: SearchOptions, data: Dataset) -> DesignSpace:
    """The space of --space, or the one that is shipped, reduced by what the options and the data set settle.

    UsageError where nothing is left of it, InvalidFileError for a file that holds no space.
    """
    from snnas.search.network.design_space import DesignSpace, reduced
    from snnas.search.network.genotype import CONV_KERNELS

    signal = data.input_shape[1] == 1
    path = options.space or DEFAULT_SPACE.with_name("signal.toml" if signal else "chip.toml")
    table = read_table(path)
    try:
        space = DesignSpace.of(table)
    except UsageError as error:
        raise InvalidFileError(f"{path}: {error}") from None
    frames = data.x_train.shape[1] if data.x_train.ndim == 5 else None
    pinned = {name: getattr(options, name) for name in ("cells", "channels", "hidden", "head", "bits")}
    space = reduced(space, timesteps=frames or options.timesteps, **pinned)
    if data.input_shape[1:] == (1, 1):
        space = replace(space, ops=(*(op for op in space.ops if op not in CONV_KERNELS), "conv1x1"))
    size = min([extent for extent in data.input_shape[1:] if extent > 1], default=1 << max(space.cells))
    cells = tuple(number for number in space.cells if size >> number >= 1)
    if not cells:
        raise UsageError(
            f"cells = {', '.join(map(str, space.cells))}: each halves H and W, and of {size} pixels nothing is left; "
            "expected fewer cells, with --cells or in --space"
        )
    return replace(space, cells=cells)


def _plan(task: Task) -> Any:
    from snnas.search.methods.trained import Plan
    from snnas.search.scoring.ascending import asc

    settings, limits = task.spec.settings, task.spec.limits
    # Runs of before there was a choice may say another proxy, and had none.
    prior = asc if settings.get("proxy") == "asc" else None
    return Plan(
        trainings=int(settings["trainings"]),
        costs=_costs(task.spec),
        limits=reserved(limits),
        final=reserved(task.limits),
        banned=task.banned,
        random=bool(settings.get("random", False)),
        front=task.spec.front if task.spec.objectives else 0,
        prior=prior,
    )


def _costs(spec: Spec) -> tuple[str, ...]:
    """The figures that are made small, the first before all."""
    # Where nothing prices a chip, its cores are what there is.
    plain = "energy_total" if spec.predictor.chip.profile else "cores"
    return tuple(spec.objectives) or tuple(spec.limits)[:1] or (plain,)


class Trainer:
    """Trains designs and measures them on target, on samples that they were not fitted to."""

    def __init__(self, spec: Spec) -> None:
        assert spec.material is not None
        self.spec, self.material, self.predictor = spec, spec.material, spec.predictor
        self.epochs = int(spec.settings["short_epochs"])

    def __call__(self, candidates: Sequence[Any]) -> Sequence[Any]:
        with one_thread():
            return [self._one(trial) for trial in candidates]

    def inspect(self, candidate: Any) -> Sequence[Finding]:
        return ()

    def _one(self, trial: Trial) -> Trained:
        from snnas.search.methods.trials import Trained
        from snnas.toolchain.training import build, train

        begun = time.perf_counter()
        long = trial.seed > 0
        data = self._split(trial.seed, LONG if long else SHORT)
        fitted = len(data.y_train)
        epochs = max(1, round(self.epochs * LONGER * min(fitted, SHORT) / fitted)) if long else self.epochs
        recipe = self._recipe(epochs)
        seed = int(stream(self.predictor.seed, f"trained {trial.seed}").integers(2**31))
        network = build(trial.design, self.spec.network, seed=seed)
        try:
            result = train(network, data, recipe, seed=seed, device=self.spec.device)
            cost = measure(network.cpu().eval(), data, self.predictor.chip, self.predictor.widths)
        except SnnasError as error:
            return Trained(-np.inf, {}, " ".join(str(error).split()))
        plain = cost.to_json()
        about = {"seconds": round(time.perf_counter() - begun, 3), "float_accuracy": result.validation_accuracy}
        return Trained(merit(plain), {**plain, **about})

    def _recipe(self, epochs: int) -> TrainingConfig:
        """The recipe with so many epochs; of its stages the last, where there are more than epochs."""
        recipe = self.material.recipe
        return replace(recipe, epochs=epochs, warmup=min(recipe.warmup, epochs // 4), stages=recipe.stages[-epochs:])

    def seconds(self, design: Design) -> float:
        """Seconds that a short training of the design takes with its measurement, of which the training is guessed."""
        from snnas.toolchain.training import build
        from snnas.toolchain.training.outlook import seconds_ahead

        with one_thread():
            network, data = build(design, self.spec.network, seed=0), self._split(0, SHORT)
            training = seconds_ahead(network, data, self._recipe(self.epochs), seed=0, device=self.spec.device)
            begun = time.perf_counter()
            with contextlib.suppress(SnnasError):  # untrained, some have no program
                measure(network.cpu().eval(), data, self.predictor.chip, self.predictor.widths)
            return training + time.perf_counter() - begun

    def _split(self, seed: int, most: int) -> Dataset:
        """The samples of a training: of training and validation part together, drawn for each seed anew.

        Samples that belong together are fitted to or judged by, not both.
        """
        data, rng = self.material.data, stream(self.predictor.seed, f"trained split {seed}")
        every = len(data.y_train) + len(data.y_val)
        judged = min(JUDGED, max(1, round(every * JUDGED_SHARE)))
        order = rng.permutation(every)
        first, rest = order[:judged], order[judged:]
        if data.groups_train is not None and data.groups_val is not None:
            groups = np.concatenate([data.groups_train, data.groups_val])[order]
            chosen = apart(np.concatenate([data.y_train, data.y_val])[order], groups, judged, rng)
            first, rest = order[chosen][:JUDGED], order[~chosen]
        return replace(data, **_taken(data, first, "val"), **_taken(data, rest[:most], "train"))


def _taken(data: Dataset, places: np.ndarray, part: str) -> dict[str, Any]:
    """Samples by their places in training and validation part, one behind the other, as ``part`` of a data set."""
    first = len(data.y_train)
    near, far = places[places < first], places[places >= first] - first
    names = ("x", "y", "raw", "groups")
    held = {name: (getattr(data, f"{name}_train"), getattr(data, f"{name}_val")) for name in names}
    return {
        f"{name}_{part}": np.concatenate([train[near], val[far]])
        for name, (train, val) in held.items()
        if train is not None and val is not None
    }
