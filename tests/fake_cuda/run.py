"""Run as a process: steps and scorings on the fake device; prints {case: {"faults", "operations", "error"}}."""

# ruff: noqa: E402
from __future__ import annotations

from tests.fake_cuda import build

build.load()

import contextlib
import json
import sys
import traceback
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn
from torch._subclasses.fake_tensor import DataDependentOutputException

from snnas.search.mse_nas import rdm
from snnas.search.mse_nas.config import MseConfig
from snnas.search.mse_nas.encoding import GenomeSpace
from snnas.search.mse_nas.network import MseNetwork
from snnas.search.network.batch_norm import synchronise
from snnas.search.network.config import NetworkConfig
from snnas.search.network.genotype import Cell, Genotype
from snnas.search.network.lif_learnt import LEARNABLE
from snnas.search.network.network import Network
from snnas.search.network.space import get
from snnas.search.scoring import guards, proxies, tiles
from snnas.search.scoring.batched import BatchedScorer
from snnas.search.scoring.supernet import Supernet
from snnas.toolchain.data.load import Dataset
from snnas.toolchain.training import TrainingConfig
from snnas.toolchain.training.evaluation import validate
from snnas.toolchain.training.parallel import World
from snnas.toolchain.training.step import Stepper
from tests.fake_cuda.watch import Faults, Operations, watched

DEVICE = "cuda:0"
FORWARD = {(0, 1): "conv3x3", (1, 3): "conv3x3", (0, 3): "skip", (1, 2): "avgpool3x3", (2, 3): "conv1x1"}
RECURRENT = {(0, 1): "conv3x3", (1, 3): "conv3x3", (0, 3): "skip", (3, 0): "conv3x3"}
CONFIG = NetworkConfig(input_shape=(3, 8, 8), classes=10, channels=16, hidden=16, timesteps=2)
SAMPLES = 32
AUGMENT = ("shift:2", "flip", "cutout:2", "rotate:10", "zoom:10")

Work = Callable[[Operations], None]


def data(class_weights: tuple[float, ...] = ()) -> Dataset:
    x, y = np.zeros((SAMPLES, 3, 8, 8), np.uint8), np.zeros(SAMPLES, np.int64)
    parts = {"x_train": x, "y_train": y, "x_val": x, "y_val": y, "x_test": x, "y_test": y}
    return Dataset(name="none", **parts, classes=10, unit=255, class_weights=class_weights)


def cells(cell: dict[Any, str], learn: tuple[str, ...] = (), **sizes: Any) -> Callable[[], Network]:
    """A network of two such cells, with constants that are learnt or not."""

    def make() -> Network:
        network = Network(Genotype("lightsnn", (Cell.of(cell),) * 2), replace(CONFIG, **sizes))
        network.learn(learn)
        return network

    return make


def motifs(*, links: bool) -> MseNetwork:
    """A network of a genome, with the furthest links backward in time that there are, or without any."""
    sizes = MseConfig(input_shape=(3, 8, 8), classes=10, channels=4, timesteps=2)
    genome = GenomeSpace(len(sizes.motif_cells)).random(np.random.default_rng(0))
    return MseNetwork(replace(genome, links=sizes.links if links else ()), sizes)


def step(
    make: Callable[[], nn.Module],
    plant: Callable[[Stepper], None] = lambda work: None,
    of: Callable[[], Dataset] = data,
    **recipe: Any,
) -> Work:
    """The first step of a training: forward, backward, optimiser."""

    def work(operations: Operations) -> None:
        with torch.device(DEVICE):
            network = make().train()
        config = TrainingConfig(epochs=2, batch=16, augment=AUGMENT, **recipe)
        stepper = Stepper(network, of(), config, 0, DEVICE, World(), None)
        stepper.begin(np.arange(SAMPLES))
        plant(stepper)
        operations.faults.clear()
        operations.seen = 0
        stepper(False, 1, 0)
        assert {p.device.type for p in network.parameters()} == {"cuda"}
        assert all(p.grad is not None for p in network.parameters() if p.requires_grad)

    return work


def on_stem(hook: Callable[[nn.Module, Any, torch.Tensor], Any]) -> Callable[[Stepper], None]:
    """A fault in the middle of the forward pass."""
    return lambda work: void(work.network.get_submodule("stem_conv").register_forward_hook(hook))


def void(_: object) -> None:
    return None


def on_host(work: Stepper) -> None:
    work.order = work.order.cpu()


def by_numpy(work: Stepper) -> None:
    """The order as a NumPy array, as it once was."""
    work.order = np.arange(SAMPLES)  # type: ignore[assignment]


TRAINING: dict[str, Work] = {
    "feed-forward": step(cells(FORWARD)),
    "recurrent": step(cells(RECURRENT)),
    "target_sar": step(cells(FORWARD), target_sar=0.05),
    "bf16": step(cells(FORWARD), amp="bf16"),
    "recurrent bf16": step(cells(RECURRENT), amp="bf16"),
    "sgd": step(cells(FORWARD), optimizer="sgd", loss="mse"),
    "accumulate": step(cells(FORWARD), accumulate=2),
    "whitening": step(cells(FORWARD), whitening=True),
    "dropout": step(cells(FORWARD, dropout=0.2)),
    "class weights": step(cells(FORWARD), of=partial(data, (0.5,) * 10)),
    "learn": step(cells(FORWARD, LEARNABLE)),
    "learn tau, recurrent": step(cells(RECURRENT, ("tau",))),
    "learn threshold": step(cells(FORWARD, ("threshold",)), amp="bf16"),
    "mse_nas": step(partial(motifs, links=False)),
    "mse_nas with links": step(partial(motifs, links=True)),
}
PLANTED: dict[str, Work] = {
    "item": step(cells(FORWARD), on_stem(lambda module, given, out: void(out.sum().item()))),
    "bool": step(cells(FORWARD), on_stem(lambda module, given, out: void(bool((out > 0).any())))),
    "host tensor": step(cells(FORWARD), on_stem(lambda module, given, out: out + torch.zeros(out.shape))),
    "host index": step(cells(FORWARD), on_host),
    "numpy index": step(cells(FORWARD), by_numpy),
    "made on the host": step(
        cells(FORWARD), on_stem(lambda module, given, out: out * torch.tensor(2.0, device=out.device))
    ),
    "copied": step(cells(FORWARD), on_stem(lambda module, given, out: out.cpu().to(DEVICE))),
}


def together(work: Callable[[World, nn.Module], None]) -> Work:
    """What process 0 of two does; as nccl does, all_reduce takes nothing but tensors of the device."""

    def checked(operations: Operations) -> None:
        with torch.device(DEVICE):
            network = Network(Genotype("lightsnn", (Cell.of(RECURRENT),) * 2), CONFIG).train()
        synchronise(network)
        added: list[torch.Tensor] = []

        def all_reduce(tensor: torch.Tensor) -> None:
            assert tensor.is_cuda, f"all_reduce of a tensor on {tensor.device}"
            added.append(tensor)

        torch.distributed.all_reduce = all_reduce  # type: ignore[assignment]
        work(World(0, 2), network)
        assert added

    return checked


def step_of_two(world: World, network: nn.Module) -> None:
    stepper = Stepper(network, data(), TrainingConfig(epochs=2, batch=16, target_sar=0.05), 0, DEVICE, world, None)
    stepper.begin(np.arange(SAMPLES))
    stepper(False, 1, 0)


def validation_of_two(world: World, network: nn.Module) -> None:
    of = data()
    # All that is left to do is to look at the sums, and there is nothing to see.
    with contextlib.suppress(DataDependentOutputException):
        validate(network, of.x_val, of.y_val, device=DEVICE, batch=8, unit=255, world=world)


COLLECTIVES: dict[str, Work] = {
    "step": together(step_of_two),
    "validation": together(validation_of_two),
    "planted": together(lambda world, network: world.add(torch.zeros(1))),
}


class Arrived(Exception):
    """What was scored is on its way to the host: all that a scorer does on the device is done."""


def scoring(make: Callable[[], Callable[[], object]]) -> Work:
    """Scoring up to the one place where it may wait; ``make`` returns the scoring of candidates."""

    def arrive(values: list[torch.Tensor]) -> list[torch.Tensor]:
        assert all(value.is_cuda for value in values)
        raise Arrived

    def work(operations: Operations) -> None:
        modules: list[Any] = [proxies, guards, tiles, rdm]
        for module in modules:  # no BN of a fresh supernet shifts
            module.home = lambda values: [np.zeros(value.shape) for value in values]
        score = make()
        for module in modules:
            module.home = arrive
        operations.faults.clear()
        operations.seen = 0
        try:
            score()
        except Arrived:
            return
        raise AssertionError("a score came home another way")

    return work


def supernet(backward: bool) -> tuple[Supernet, torch.Tensor, list[Any]]:
    space = get("lightsnn")
    with torch.device(DEVICE):
        net, x = Supernet(space, CONFIG, backward=backward, seed=0), torch.zeros(4, *CONFIG.input_shape)
    wide = {at: ("conv3x3", "skip") if at[0] < at[1] else ("skip",) for at in space.edges(backward=backward)}
    return net, x, [wide, {at: ops[:1] for at, ops in wide.items()}]


def score_batched(backward: bool) -> Callable[[], object]:
    net, x, candidates = supernet(backward)
    return partial(BatchedScorer(net, x), candidates)


def score_one(name: str, backward: bool) -> Callable[[], object]:
    net, x, candidates = supernet(backward)
    return partial(getattr(net, name), x, candidates[0])


def score_motifs() -> Callable[[], object]:
    sizes = MseConfig(input_shape=(3, 8, 8), classes=10, channels=4, timesteps=2)
    found = GenomeSpace(len(sizes.motif_cells)).random(np.random.default_rng(0))
    # In life a genome's weights are drawn on the host, and brought over once each.
    with torch.device(DEVICE):
        network, batches = MseNetwork(found, sizes), [torch.zeros(4, *sizes.input_shape)]
    rdm.MseNetwork = lambda *_: network  # type: ignore[assignment, misc]
    return partial(rdm.RdmScorer(sizes, batches, seed=0), [found])


SCORING: dict[str, Work] = {}
for back in (False, True):
    kind = "recurrent" if back else "feed-forward"
    SCORING |= {
        f"sahd, {kind}": scoring(partial(score_batched, back)),
        f"sahd of one, {kind}": scoring(partial(score_one, "score", back)),
        f"guards, {kind}": scoring(partial(score_one, "inspect", back)),
    }
SCORING["rdm"] = scoring(score_motifs)
CASES = {f"step {name}": work for name, work in TRAINING.items()}
CASES |= {f"collectives {name}": work for name, work in COLLECTIVES.items()}
CASES |= {f"score {name}": work for name, work in SCORING.items()}
CASES |= {f"planted {name}": work for name, work in PLANTED.items()}


def run(work: Work) -> dict[str, Any]:
    faults, error = Faults(), ""
    try:
        with watched(faults) as operations:
            work(operations)
    except Exception as raised:  # what a fake tensor cannot do is what is looked for
        at = [f for f in traceback.extract_tb(raised.__traceback__) if "site-packages" not in f.filename][-1]
        error = f"{type(raised).__name__}: {str(raised).strip().splitlines()[0]} at {at.filename}:{at.lineno}"
    return {"faults": dict(faults), "operations": operations.seen, "error": error}


if __name__ == "__main__":
    torch.set_num_threads(1)
    # What FakeTensors have not, and what torch asks of a GPU before it casts.
    torch.Tensor.pin_memory = lambda self: self  # type: ignore[method-assign, assignment]
    torch.cuda.amp.common.amp_definitely_not_available = lambda: False
    nn.Module.to = lambda self, *args: self  # type: ignore[method-assign, assignment, return-value]  # made there
    torch.cuda.is_bf16_supported = lambda *_, **__: True  # type: ignore[assignment, misc]
    wanted = sys.argv[1:] or list(CASES)
    json.dump({name: run(CASES[name]) for name in wanted}, sys.stdout)
