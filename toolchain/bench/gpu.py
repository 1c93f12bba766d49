"""``snnas bench gpu``: all that can only be measured on a GPU, in one command of ten minutes at most.

In this order, so that what is cheap and decisive comes first:

    parity       the fused neuron against the CPU's, bit for bit; a training step against the CPU's, without TF32
    waiting      training steps under torch's sync debug mode "error": they wait for nothing
    throughput   images/s of training steps, float32 and bfloat16, one by one and captured in a CUDA graph, against the
                 papers' step-by-step loop (``plain_training``)
    search       a whole LightSNN search at the papers' size
    training     ``snnas train`` with a recipe, for the minutes that are left; it writes checkpoints, and what was ended
                 goes on with the command that is printed

With ``--device cpu --quick`` the same code runs small: a test of the code, not a measurement.
"""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from snnas.toolchain.bench.gpu_speed import QUICK, TIMESTEPS, Sizes, network_of, search, stepper_of, throughput
from snnas.toolchain.bench.train import KINDS
from snnas.toolchain.data.seeds import torch_seed
from snnas.toolchain.output.stderr import SILENT, Narrator
from snnas.toolchain.output.stdout import print_table

if TYPE_CHECKING:
    from torch import Tensor

# The training step against the papers' loop on the same GPU.
GATE, AIM = 3.0, 6.0
# Gradients and losses come from sums in another order; a neuron on its threshold then falls differently.
GRADIENT_TOLERANCE, LOSS_TOLERANCE, SPIKE_TOLERANCE = 1e-5, 1e-3, 1e-4
TAU, THRESHOLD = 4 / 3, 1.0
SECONDS_TO_STOP = 30.0  # that a training is given to write its checkpoint


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuBenchOptions:
    """What is measured, and for how long."""

    device: str = "cuda"
    """cuda, or cuda:N; cpu to try the code."""
    quick: bool = False
    """Everything small, and one epoch of training: seconds, and no measurement."""
    minutes: float = 10.0
    """For all of it; what the rest leaves is the training's."""
    dataset: str = "cifar10"
    """That is trained on: a name (SNNAS_DATA says where), or the path of a .npz."""
    recipe: str = "cifar10_fast"
    """Of the training."""
    epochs: int = 40
    """Of the training."""
    runs_dir: Path | None = None
    """Where the trained run is kept; None: SNNAS_RUNS, else ./runs."""
    seed: int = 0
    """The one seed of weights and inputs."""


def bench_gpu(options: GpuBenchOptions, narrator: Narrator = SILENT) -> dict[str, Any]:
    """Return the figures, as ``--json`` prints them. UsageError for a device that torch cannot use."""
    import torch

    from snnas.toolchain.training.device import resolve_device

    begun = time.perf_counter()
    device = resolve_device(options.device)
    on_gpu, sizes = device.startswith("cuda"), QUICK if options.quick else Sizes()
    figures: dict[str, Any] = {"schema": "snnas.bench.gpu/1", "device": device, "quick": options.quick}
    figures["machine"] = torch.cuda.get_device_name(device) if on_gpu else "CPU"
    figures["torch"] = torch.__version__
    with torch.cuda.device(device) if on_gpu else contextlib.nullcontext():
        for name, work in (
            ("neuron", neuron_parity),
            ("step", step_parity),
            ("waiting", waiting),
            ("throughput", throughput),
            ("search", search),
        ):
            figures[name] = work(device, sizes, options.seed)
            narrator.say(f"  {name}: {figures[name]}")
    left = 60 * options.minutes - (time.perf_counter() - begun)
    figures["training"] = training(options, device, 4 if options.quick else sizes.channels, left, narrator)
    ratio = figures["throughput"]["ratio"]
    figures |= {"gate": GATE, "aim": AIM, "seconds": round(time.perf_counter() - begun, 1)}
    held = (figures["neuron"]["good"], figures["step"]["good"], figures["waiting"]["good"], figures["training"]["good"])
    # A ratio is the GPU's to reach; what is quick measures nothing.
    return figures | {"good": all(held) and (options.quick or not on_gpu or ratio >= GATE)}


def neuron_parity(device: str, sizes: Sizes, seed: int) -> dict[str, Any]:
    """Compare spikes and gradients of the neuron with the CPU's: sequences, constant currents, single timesteps."""
    import torch

    from snnas.search.network.lif import LIF, _kernel

    generator = torch.Generator().manual_seed(torch_seed(seed, "neurons"))
    x = 2 * torch.randn(TIMESTEPS, 2, 8, sizes.neurons // 16, 1, generator=generator)
    weights = torch.randn(x.shape, generator=generator)
    differing, gap = 0, 0.0
    for kind in ("sequence", "constant", "steps"):
        found = []
        for where in ("cpu", device):
            lif = LIF(TAU, THRESHOLD)
            # A leaf of one step is expanded: its gradient is the sum over time.
            leaf = (x[:1] if kind == "constant" else x).to(where, copy=True).requires_grad_()
            current = leaf.expand(x.shape)
            if kind == "steps":
                lif.step_mode = "s"
                spikes = torch.stack([lif(step) for step in current])
            else:
                spikes = lif(current)
            torch.autograd.backward((spikes * weights.to(where)).sum())
            assert leaf.grad is not None
            found.append((spikes.detach().cpu(), leaf.grad.cpu()))
        (mine, slope), (theirs, other) = found
        differing += int((mine != theirs).sum())
        gap = max(gap, float((slope - other).abs().max() / slope.abs().max()))
    kernel = _kernel(torch.zeros(1, 1, device=device))
    return {
        "kernel": "torch" if kernel is None else kernel.__name__.rpartition(".")[2],
        "spikes": 3 * x.numel(),
        "differing_spikes": differing,
        "gradient_difference": gap,
        "good": differing == 0 and gap <= GRADIENT_TOLERANCE,
    }


def step_parity(device: str, sizes: Sizes, seed: int) -> dict[str, Any]:
    """Compare spikes and loss of two training steps with the CPU's, float32 without TF32."""
    import torch

    gap, differing = 0.0, 0.0
    small = Sizes(channels=16, pixels=sizes.pixels, batch=min(sizes.batch, 16))
    with _exact_convolutions():
        for kind in KINDS:
            found = []
            for where in ("cpu", device):
                stepper = stepper_of(kind, where, small, seed)
                spikes: dict[str, Tensor] = {}
                with torch.no_grad():
                    network_of(kind, small, seed).to(where).train()(
                        stepper.x[: small.batch].float().div(255), spikes=spikes
                    )
                for step in range(2):
                    stepper(False, 1, step)
                found.append((stepper.losses[:2].cpu(), {name: train.cpu() for name, train in spikes.items()}))
            (mine, fired), (theirs, other) = found
            gap = max(gap, float(((mine - theirs) / mine).abs().max()))
            differing = max(differing, *(float((fired[name] != other[name]).double().mean()) for name in fired))
    return {
        "loss_difference": gap,
        "differing_spikes": differing,
        "good": gap <= LOSS_TOLERANCE and differing <= SPIKE_TOLERANCE,
    }


def waiting(device: str, sizes: Sizes, seed: int) -> dict[str, Any]:
    """Take steps under torch's sync debug mode: what waits for the device raises."""
    import torch

    found: dict[str, str] = {}
    for kind in KINDS:
        for amp, target in (("none", None), ("none", 0.05), ("bf16", None)):
            if amp == "bf16" and device == "cpu":
                continue
            stepper = stepper_of(kind, device, sizes, seed, amp=amp, target_sar=target)
            stepper(False, 1, 0)  # what is made once
            name = f"{kind}{', target_sar' if target else ''}{', bf16' if amp == 'bf16' else ''}"
            if device.startswith("cuda"):
                torch.cuda.set_sync_debug_mode("error")
            try:
                for step in range(1, 4):
                    stepper(False, 1, step)
                found[name] = "nothing"
            except RuntimeError as error:
                found[name] = str(error).splitlines()[0][:200]
            finally:
                if device.startswith("cuda"):
                    torch.cuda.set_sync_debug_mode("default")
    return {"waits_for": found, "good": set(found.values()) == {"nothing"}}


def training(
    options: GpuBenchOptions, device: str, channels: int, seconds: float, narrator: Narrator
) -> dict[str, Any]:
    """Train for the seconds that are left, by the command that a user would type; it is ended as a user would."""
    from snnas.search.network.genotype import Cell, Genotype
    from snnas.toolchain import runs
    from snnas.toolchain.data.load import load

    folder = runs.directory(options.runs_dir)
    folder.mkdir(parents=True, exist_ok=True)
    dataset, recipe = ("digits", "digits") if options.quick else (options.dataset, options.recipe)
    try:
        load(dataset, seed=options.seed, compact=True)
    except Exception as error:  # without data the rest was measured all the same
        return _trained(left_out=str(error).splitlines()[0][:200])
    cells = 1 if options.quick else 3
    genotype = folder / "bench-gpu.genotype.json"
    genotype.write_text(Genotype("lightsnn", (Cell.of(KINDS["feedforward"]),) * cells).to_json(), encoding="utf-8")
    name = f"bench-gpu-{time.strftime('%Y%m%d-%H%M%S')}"
    epochs = 1 if options.quick else options.epochs  # T is that of the recipe's last stage
    asked = {
        "genotype": genotype, "dataset": dataset, "recipe": recipe, "epochs": epochs, "channels": channels,
        "name": name, "device": device, "seed": options.seed, "runs-dir": folder,
        **({"timesteps": 2} if options.quick else {}),
    }  # fmt: skip
    command = [
        sys.executable,
        "-m",
        "snnas",
        "train",
        *(str(part) for key in asked for part in (f"--{key}", asked[key])),
    ]
    narrator.say(f"  training for {max(seconds, 0):.0f} s: {' '.join(command[1:])}")
    begun = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        code = process.wait(timeout=max(seconds, SECONDS_TO_STOP))
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGINT)
        code = process.wait(timeout=2 * SECONDS_TO_STOP)
    finally:
        if process.poll() is None:
            process.kill()
    accuracy, goes_on = None, f"snnas train {name} --runs-dir {folder} --device {device}"
    if code == 0:
        accuracy = runs.find(folder, name, having="weights").config()["training"]["validation_accuracy"]
    return _trained(
        run=str(folder / name),
        seconds=round(time.perf_counter() - begun, 1),
        code=code,
        validation_accuracy=accuracy,
        goes_on_with=goes_on if code else None,
        good=code in (0, 130, -signal.SIGINT),
    )


def _trained(**figures: Any) -> dict[str, Any]:
    absent = dict.fromkeys(("run", "code", "validation_accuracy", "goes_on_with", "left_out"))
    return {**absent, "seconds": 0.0, "good": True, **figures}


@contextlib.contextmanager
def _exact_convolutions() -> Iterator[None]:
    """Within it a GPU's float32 is float32, and its convolutions add up in one order."""
    import torch

    cudnn: Any = torch.backends.cudnn
    matmul: Any = torch.backends.cuda.matmul
    before = cudnn.allow_tf32, matmul.allow_tf32, cudnn.deterministic
    cudnn.allow_tf32, matmul.allow_tf32, cudnn.deterministic = False, False, True
    try:
        yield
    finally:
        cudnn.allow_tf32, matmul.allow_tf32, cudnn.deterministic = before


def print_result(figures: dict[str, Any]) -> None:
    from rich.table import Table

    table = Table("", "found", "good", title=f"{figures['machine']}, torch {figures['torch']}", title_justify="left")
    for name in ("neuron", "step", "waiting", "throughput", "search", "training"):
        rows = {key: value for key, value in figures[name].items() if key != "good"}
        good = {True: "yes", False: "no", None: ""}[figures[name].get("good")]
        for number, (key, value) in enumerate(rows.items()):
            table.add_row(f"{name}: {key}", f"{value}", "" if number else good)
    table.caption = "quick: the code was tried, nothing was measured" if figures["quick"] else "measured"
    print_table(table)
