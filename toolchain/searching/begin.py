"""The beginning of a run: what a search is asked for is checked, and the resolved configuration written."""

from __future__ import annotations

import json
import tempfile
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from snnas.hw_sim.errors import UsageError, did_you_mean
from snnas.hw_sim.limits import WEIGHT_BITS
from snnas.toolchain.data.load import DEFAULT_TIMESTEPS, data_section, timesteps_of
from snnas.toolchain.output.stderr import SILENT, Narrator
from snnas.toolchain.runs.create import create, require_free
from snnas.toolchain.runs.run import Run, as_toml, now
from snnas.toolchain.runs.versions import fingerprint
from snnas.toolchain.searching.methods import RUNNERS, refuse_foreign
from snnas.toolchain.searching.options import SearchOptions
from snnas.toolchain.searching.runner import Runner

if TYPE_CHECKING:
    from snnas.toolchain.data.load import Dataset
    from snnas.toolchain.training import TrainingConfig


def begin_search(
    folder: Path,
    name: str | None,
    options: SearchOptions,
    command: str,
    narrator: Narrator = SILENT,
    *,
    target: str | None = None,
) -> Run:
    """Checks everything that can be wrong, then makes the run's folder and writes its configuration.

    target: that the run is exported to afterwards, where that is known. Nothing is left on disk of what is refused:
    UsageError for what does not go together, GateError for a budget that no network can keep.
    """
    from snnas.search.network.config import DEFAULT_CHANNELS
    from snnas.toolchain.data.load import load, require_known, takes_frames
    from snnas.toolchain.data.options import parse_options
    from snnas.toolchain.data.redraw import require_augment, require_signals
    from snnas.toolchain.data.scoring_batch import require_distinct

    if options.method not in RUNNERS:
        hint = did_you_mean(options.method, tuple(RUNNERS))
        raise UsageError(f"unknown method {options.method!r}; expected {', '.join(RUNNERS)}{hint}")
    if name is not None:
        require_free(folder, name)
    require_known(options.dataset)  # a typo is said before what is not installed
    for what in ("timesteps", "channels", "hidden", "batch", "candidates", "population", "generations", "cells"):
        value, least = getattr(options, what), 2 if what in ("batch", "population") else 1
        if value is not None and value < least:
            raise UsageError(f"--{what} {value}: expected a whole number >= {least}")
    refuse_foreign(options.method, [f.name for f in fields(options) if getattr(options, f.name) != f.default])
    runner = RUNNERS[options.method]
    if options.proxy is not None and options.proxy not in runner.proxies:
        gone = "it ranked no better than counting, and is gone; " if options.proxy == "snnas" else ""
        hint = " or ".join(runner.proxies) + did_you_mean(options.proxy, runner.proxies)
        if options.proxy == "asc":
            gone = (
                "it wants thresholds to choose from, which --method trained has with a --space file that names them; "
            )
        raise UsageError(f"--proxy {options.proxy!r} with --method {options.method}: {gone}expected {hint}")
    # What is trained is scored by its accuracy, and by a proxy only where one is asked for.
    proxy = options.proxy or (None if runner.trains else next(iter(runner.proxies), None))
    tables = _hardware(options, runner)
    from snnas.toolchain.training.device import resolve_device
    from snnas.toolchain.training.stages import require_stages, timesteps_asked

    device, asked = resolve_device(options.device), options
    training = _recipe(options).on(device)
    options = replace(options, timesteps=timesteps_asked(training, options.timesteps))
    frames = parse_options(options.data)
    if takes_frames(options.dataset):
        frames.setdefault("frames", options.timesteps or DEFAULT_TIMESTEPS)
    with narrator.progress(f"reading {options.dataset}") as advance:
        data = load(options.dataset, seed=options.seed, advance=advance, **frames)
    require_stages(training, data, options.timesteps)
    require_signals(data, training.augment)
    require_augment(data)
    options = replace(options, timesteps=timesteps_of(options.dataset, data, options.timesteps))
    sizes = {"input_shape": data.input_shape, "input_kind": data.input_kind, "classes": data.classes}
    if data.gain:
        sizes["gain"] = data.gain
    sizes |= {"channels": options.channels or DEFAULT_CHANNELS, "timesteps": options.timesteps}
    network = runner.network(options, sizes, device)
    require_distinct(data, 2 * runner.batches)
    if data.beyond_spikes:
        if target not in (None, "onnx"):
            raise UsageError(f"counts up to {data.range[1]:g}: no chip takes them; take --target onnx, or counts=false")
        narrator.note(f"counts up to {data.range[1]:g}: no chip takes them, such a network goes to --target onnx alone")
    # T of the recipe's stages is settled; of what else is open, designs choose.
    settings = runner.settings(replace(asked, timesteps=timesteps_asked(training, asked.timesteps)), data)
    # Where designs choose, the fewest: what bounds them all is counted with these.
    fewest = min(settings.get("axes", {}).get("bits", (WEIGHT_BITS,)))
    bits = fewest if options.bits is None else options.bits
    config = {
        "created_at": now(),
        "command": command,
        "seed": options.seed,
        "data": data_section(options.dataset, data),
        "method": {
            "name": options.method,
            "space": runner.space_for(data.input_shape),
            **({"proxy": proxy} if proxy else {}),
            "backward": options.backward,
            "batch": options.batch,
            **settings,
            "widths": {"weight": bits, "state": options.state_bits},
        },
        **tables,
        "chip": {**tables["chip"], "bits": bits},
        "network": json.loads(network.to_json()),
        "train": training.plain(),
        "versions": fingerprint(device),
    }
    if "budget" in config:
        _refuse_hopeless(config, data, narrator)
    return create(
        folder, name, f"{data.name}-{options.method}", lambda name: {"run.toml": as_toml({"name": name, **config})}
    )


def _refuse_hopeless(config: dict[str, Any], data: Dataset, narrator: Narrator) -> None:
    """GateError where no network of the run that is about to be made can keep its budget, or is likely to.

    The run is drafted elsewhere.
    """
    from snnas.toolchain.searching.least import refuse_hopeless, refuse_unlikely
    from snnas.toolchain.searching.session import spec_of
    from snnas.toolchain.searching.smaller import ways_out

    with tempfile.TemporaryDirectory(prefix="snnas-search-") as folder:
        draft = Run(Path(folder))
        draft.write_config({"name": "draft", **config})
        spec = spec_of(draft, data)
    limits, mend = dict(spec.limits), ways_out(spec, data)
    runner = RUNNERS[spec.settings["name"]]
    refuse_hopeless(limits, runner.floors(spec), spec.predictor, mend)
    with narrator.watched("pricing the smallest networks"):
        refuse_unlikely(limits, runner.smallest(spec), spec.predictor, mend)


def _recipe(options: SearchOptions) -> TrainingConfig:
    from snnas.toolchain.data.datasets.signals import declared
    from snnas.toolchain.data.options import parse_options
    from snnas.toolchain.training import recipe_for

    signals = declared(parse_options(options.data)) is not None
    return recipe_for(options.dataset, options.recipe, {"epochs": options.epochs}, signals=signals)


def _hardware(options: SearchOptions, runner: Runner) -> dict[str, Any]:
    """The tables of run.toml on chip, budget and objectives; UsageError for what does not go together."""
    from snnas.hw_sim.map.system import CORES
    from snnas.search.methods.memory import Widths
    from snnas.toolchain.searching.budgets import ALIASES, METRICS, OF_DEVICE, parse_budgets
    from snnas.toolchain.searching.cost import Chip

    limits = parse_budgets(options.budget)
    names = [ALIASES.get(name.strip(), name.strip()) for name in options.objective.split(",")]
    for name in names:
        if (name not in METRICS and name != "score") or names.count(name) > 1:
            raise UsageError(f"--objective {options.objective!r}: expected score and, once each, {', '.join(METRICS)}")
    runner.refuse(options)
    if names[0] != "score":
        raise UsageError(f"--objective {options.objective!r}: expected score first, it is what the search goes by")
    if not 0 <= options.front <= 64:
        raise UsageError(f"--train-front {options.front}: expected 0 to 64 points")
    Widths(state=options.state_bits)
    chip = {"system": options.system, **({"profile": options.profile} if options.profile is not None else {})}
    device = Chip.load(**chip, bits=WEIGHT_BITS if options.bits is None else options.bits).system.core
    odd = [name for name in (*limits, *names) if name in OF_DEVICE]
    if odd and device is None:
        raise UsageError(f"{odd[0]}: of a microcontroller; give --system {' or '.join(CORES)}, or leave it out")
    tables: dict[str, Any] = {"chip": chip}
    if limits:
        tables["budget"] = limits
    if len(names) > 1:
        tables["objectives"] = {"names": names, "train": options.front}
    return tables
