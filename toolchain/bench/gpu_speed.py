"""What ``snnas bench gpu`` times: training steps, one by one and in a CUDA graph, and a search at the papers' size."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from snnas.toolchain.bench.train import KINDS
from snnas.toolchain.data.seeds import stream, torch_seed

if TYPE_CHECKING:
    from snnas.search.network.network import Network
    from snnas.toolchain.training.step import Stepper

CLASSES, TIMESTEPS = 10, 4
# BN moves its statistics by 1/n until here: from then on a captured step does what the next one would.
SETTLED = 11


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """How large what is measured is.

    neurons: of the neuron's parity. steps: that are timed. width, proxy_batch: of the search (papers: 256, 32).
    """

    neurons: int = 1 << 20
    channels: int = 128
    pixels: int = 32
    batch: int = 128
    steps: int = 60
    width: int = 256
    proxy_batch: int = 32


QUICK = Sizes(neurons=2000, channels=16, pixels=8, batch=4, steps=1, width=4, proxy_batch=4)


def throughput(device: str, sizes: Sizes, seed: int) -> dict[str, Any]:
    """Time training steps: images/s by kind of cell, numbers and way, and of the papers' loop."""
    import torch

    from snnas.toolchain.bench.plain_training import TrainLoop, train_step

    def again(*batch: Any) -> Callable[[int], object]:
        return lambda step: train_step(*batch)

    figures: dict[str, float] = {}
    failed: dict[str, str] = {}
    for kind in KINDS:
        for amp in ("none", "bf16") if device.startswith("cuda") else ("none",):
            stepper = stepper_of(kind, device, sizes, seed, amp=amp)
            number = "float32" if amp == "none" else amp
            figures[f"{kind}_{number}"] = _images_per_s(device, sizes, partial(stepper, False, 1))
            if device.startswith("cuda"):
                try:
                    figures[f"{kind}_{number}_graph"] = _captured(stepper, device, sizes)
                except RuntimeError as error:
                    failed[f"{kind}_{number}"] = str(error).splitlines()[0][:200]
        loop = TrainLoop(network_of(kind, sizes, seed)).to(device).train()
        optimizer = torch.optim.AdamW(loop.parameters(), lr=1e-3)
        fresh = stepper_of(kind, device, sizes, seed)
        x, y = fresh.x[: sizes.batch].float().div(255), fresh.y[: sizes.batch]
        few = Sizes(batch=sizes.batch, steps=max(1, sizes.steps // 4))
        figures[f"{kind}_loop"] = _images_per_s(device, few, again(loop, optimizer, x, y))
    best = max(value for key, value in figures.items() if key.startswith("feedforward_float32"))
    ratio = round(best / figures["feedforward_loop"], 2)
    return {"images_per_s": figures, "not_captured": failed, "ratio": ratio}


def search(device: str, sizes: Sizes, seed: int) -> dict[str, Any]:
    """Run a LightSNN search, every evaluation of every round, at the papers' width and batch."""
    import torch

    from snnas.search.methods import lightsnn
    from snnas.search.network.config import NetworkConfig
    from snnas.search.network.space import get
    from snnas.search.scoring.batched import BatchedScorer
    from snnas.search.scoring.supernet import Supernet

    shape = (3, sizes.pixels, sizes.pixels)
    config = NetworkConfig(input_shape=shape, classes=CLASSES, channels=sizes.width, timesteps=TIMESTEPS)
    x = torch.rand(sizes.proxy_batch, *shape, generator=torch.Generator().manual_seed(seed)).to(device)
    seconds, evaluations = dict[str, float](), dict[str, int]()
    for kind, backward in (("feedforward", False), ("recurrent", True)):
        net = Supernet(get("lightsnn"), config, backward=backward, seed=torch_seed(seed, "supernet")).to(device)
        begun = time.perf_counter()
        score = BatchedScorer(net, x, memory=_memory(device))
        result = lightsnn.run(get("lightsnn"), score, log=lambda record: None, backward=backward)
        seconds[kind], evaluations[kind] = round(time.perf_counter() - begun, 2), result.evaluations
    return {"channels": sizes.width, "batch": sizes.proxy_batch, "seconds": seconds, "evaluations": evaluations}


def network_of(kind: str, sizes: Sizes, seed: int) -> Network:
    from snnas.search.network.config import NetworkConfig
    from snnas.search.network.genotype import Cell, Genotype
    from snnas.toolchain.training import build

    config = NetworkConfig(
        input_shape=(3, sizes.pixels, sizes.pixels), classes=CLASSES, channels=sizes.channels, timesteps=TIMESTEPS
    )
    return build(Genotype("lightsnn", (Cell.of(KINDS[kind]),) * 2), config, seed=seed)


def stepper_of(kind: str, device: str, sizes: Sizes, seed: int, **recipe: Any) -> Stepper:
    """A training on random images, at the beginning of its first epoch."""
    import torch

    from snnas.toolchain.data.load import Dataset
    from snnas.toolchain.training import TrainingConfig
    from snnas.toolchain.training.memory import lay_out
    from snnas.toolchain.training.parallel import World
    from snnas.toolchain.training.step import Stepper

    rng, count = stream(seed, "bench gpu"), (sizes.steps + SETTLED + 4) * sizes.batch
    # A handful of images, over and over: they are not looked at twice by anything that is timed.
    few = rng.integers(0, 256, (sizes.batch * 4, 3, sizes.pixels, sizes.pixels), dtype=np.uint8)
    x = few[np.arange(count) % len(few)]
    y = rng.integers(0, CLASSES, count)
    data = Dataset(
        name="random", x_train=x, y_train=y, x_val=x[:1], y_val=y[:1], x_test=x[:1], y_test=y[:1],
        classes=CLASSES, unit=255,
    )  # fmt: skip
    config = TrainingConfig(epochs=2, batch=sizes.batch, augment=("shift:2", "flip"), learning_rate=1e-3, **recipe)
    torch.manual_seed(seed)
    stepper = Stepper(network_of(kind, sizes, seed).to(device).train(), data, config, seed, device, World(), None)
    if stepper.wide:
        lay_out(stepper.network, torch.channels_last)
    stepper.begin(rng.permutation(count))
    return stepper


def _images_per_s(device: str, sizes: Sizes, take: Callable[[int], object]) -> float:
    """Time ``take(step)``, behind the steps in which algorithms are chosen and BN settles."""
    warm = SETTLED if device.startswith("cuda") else 1
    for step in range(warm):
        take(step)
    _wait(device)
    begun = time.perf_counter()
    for step in range(warm, warm + sizes.steps):
        take(step)
    _wait(device)
    return round(sizes.batch * sizes.steps / (time.perf_counter() - begun), 1)


def _captured(stepper: Stepper, device: str, sizes: Sizes) -> float:
    """Time a settled step of fixed batch as a CUDA graph; RuntimeError where it cannot be captured."""
    import torch

    batch = stepper.batches[0]
    index, drawn = stepper.order[batch].clone(), [values[batch].clone() for values in stepper.drawn]
    asked = torch.zeros((), device=device)
    graph = torch.cuda.CUDAGraph()
    aside = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    aside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(aside):
        for _ in range(3):
            stepper.work(index, drawn, sizes.batch, asked)
    torch.cuda.current_stream().wait_stream(aside)
    with torch.cuda.graph(graph):
        value, _ = stepper.work(index, drawn, sizes.batch, asked)

    def take(step: int) -> None:
        place = stepper.batches[step]
        index.copy_(stepper.order[place])
        for mine, values in zip(drawn, stepper.drawn, strict=True):
            mine.copy_(values[place])
        graph.replay()
        stepper.losses[step] = value

    return _images_per_s(device, sizes, take)


def _wait(device: str) -> None:
    import torch

    if device.startswith("cuda"):
        torch.cuda.synchronize()


def _memory(device: str) -> int:
    """Return the bytes that a round of scoring may take: a third of what is free, as on a CPU elsewhere."""
    import torch

    return torch.cuda.mem_get_info(device)[0] // 3 if device.startswith("cuda") else 1 << 28
