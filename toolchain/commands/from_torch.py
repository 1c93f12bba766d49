"""A torch module of spikingjelly, snntorch or norse as a ``Model``, its convention confirmed by running the module."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from snnas.export.formats.npz_file import write_npz
from snnas.hw_sim.errors import GateError, UnsupportedError, UsageError
from snnas.toolchain.commands.model import Model, opened
from snnas.toolchain.commands.scratch import Scratch, nameless
from snnas.toolchain.models.find_convention import whose
from snnas.toolchain.models.reading_options import ReadingOptions
from snnas.toolchain.output.spoken import spoken
from snnas.toolchain.runs.extras import install

if TYPE_CHECKING:
    from torch import nn

    from snnas.toolchain.models.torch_graph import Built


@spoken
def from_torch(model: nn.Module, example: Any, *, timesteps: int | None = None, input_kind: str | None = None) -> Model:
    """Takes a trained module over as a graph, and makes sure that it does what the module does.

    model: of torch's layers and the neurons of spikingjelly 2, snntorch or norse, in one of three shapes: one timestep,
    its neurons' state hidden (or (x, state) to (y, state), as norse has it); all timesteps at once (step mode 'm'); or
    a loop over a fixed number of them. example: samples (B, ...), each shown for ``timesteps``; or, where ``timesteps``
    is None, (B, T, ...), a frame for each. The first eight are run through the module, every spike is recorded, and the
    graph must give them all. input_kind: analogue, spikes or counts; None: spikes where frames are 0 and 1 alone.

    UnsupportedError (4) names the layer that has no counterpart; GateError (1) where no convention gives the module's
    spikes, or it does not fire on the example; UsageError (2) where it runs other timesteps than are asked for.
    """
    try:
        import torch
    except ImportError:
        raise UnsupportedError(f"from_torch() needs torch, which is not installed; {install('search')}") from None
    from snnas.toolchain.models.torch_graph import SAMPLES, build, watch
    from snnas.toolchain.models.torch_trace import trace_module

    if not isinstance(model, torch.nn.Module):
        raise UsageError(f"from_torch: model is a {type(model).__name__}; expected a torch.nn.Module")
    framed = timesteps is None
    x = torch.as_tensor(example)[:SAMPLES].detach().float()
    if x.ndim < 2 + framed or not len(x) or (timesteps is not None and timesteps < 1):
        wanted = "(B, T, ...), or give timesteps" if framed else "(B, ...) and timesteps >= 1"
        raise UsageError(f"example of shape {tuple(x.shape)}, timesteps {timesteps}: expected samples {wanted}")
    first = next(model.parameters(), None)
    steps = int(x.shape[1]) if timesteps is None else timesteps
    traced = trace_module(model)
    seen = watch(model, traced, x if first is None else x.to(first.device), steps, framed=framed)
    built = build(traced, seen, tuple(x.shape[1 + framed :]))
    binary = framed and bool(((x == 0) | (x == 1)).all())
    folder = Scratch()
    path, recorded = folder.path / f"{type(model).__name__}.nir", folder.path / "recorded.npz"
    _write(path, built)
    write_npz(recorded, {"x": x.numpy(), **{f"spikes.{name}": s.astype(np.uint8) for name, s in seen.spikes.items()}})
    reading = ReadingOptions(
        convention=_named(built),
        reset="subtract" if built.soft else None,
        timesteps=steps,
        input_kind=input_kind or ("spikes" if binary else "analogue"),
        expect=recorded,
    )
    with nameless(folder.path):
        try:
            return opened(Model(path, reading, folder))
        except GateError as error:
            verdict = whose(path, recorded)
            raise GateError(
                f"{type(model).__name__}: the graph does not give the module's spikes as {reading.said}: "
                f"{str(error).split('; find the convention with')[0]}; whose: {verdict.headline}"
            ) from None


def _write(path: Path, built: Built) -> None:
    import nir

    nir.write(path, built.graph)


def _named(built: Built) -> str:
    """The convention that most neurons have, and the nodes with another."""
    (common, _), *_ = Counter(built.conventions.values()).most_common(1)
    others = [f"{node}={name}" for node, name in built.conventions.items() if name != common]
    return ",".join([common, *others])
