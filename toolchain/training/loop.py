"""The training loop: steps, epochs, the best one, checkpoints, and the same on several processes."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from snnas.hw_sim.errors import GateError
from snnas.search.network.batch_norm import synchronise
from snnas.toolchain.data.load import Dataset
from snnas.toolchain.data.seeds import stream, torch_seed
from snnas.toolchain.training.checkpoint import Checkpoint, State, network_tensors, part, restore_network
from snnas.toolchain.training.config import TrainingConfig
from snnas.toolchain.training.evaluation import Validation, validate
from snnas.toolchain.training.identity import fingerprint
from snnas.toolchain.training.interrupts import Stopped, interruptible
from snnas.toolchain.training.memory import keep_pages, lay_out
from snnas.toolchain.training.optimisation import Teacher, learning_rate, prepare
from snnas.toolchain.training.parallel import World, world
from snnas.toolchain.training.stages import begins_stage, require_stages, set_timesteps
from snnas.toolchain.training.statistics import measure_statistics
from snnas.toolchain.training.step import STEPS_BETWEEN_LOOKS, Stepper

Record = dict[str, Any]
# A long epoch is saved on the way as well.
SECONDS_BETWEEN_CHECKPOINTS = 120.0
# An epoch this close to the target SAR, as a share of it, has met it.
SAR_TOLERANCE = 0.05
# Training samples on which the network is looked at as it is left.
SEEN = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingResult:
    """What training ended with."""

    best_epoch: int
    """From 1: whose weights the network holds."""
    validation_accuracy: float
    """Of the network as it was left, in [0, 1]."""
    epochs: int
    seconds: float
    sar: float = 0.0
    """On validation data."""
    resumed_at: int = 0
    """The step from which a training that was killed went on."""
    statistics: str = "running"
    """Whose the batch norms' statistics are: 'running', as training left them, or 'measured' over training samples."""
    training_accuracy: float = 0.0
    """Of the best epoch, in training mode: batch norm by each batch, augmented samples, dropout."""
    seen_accuracy: float = 0.0
    """Of the network as it was left, on training samples as they are."""


def train(
    network: nn.Module,
    data: Dataset,
    config: TrainingConfig,
    *,
    seed: int,
    device: str = "cpu",
    log: Callable[[Record], None] = lambda record: None,
    on_epoch: Callable[[int, int], None] = lambda done, total: None,
    on_step: Callable[[int, int], None] = lambda done, total: None,
    checkpoint: Path | None = None,
    teacher: Teacher | None = None,
) -> TrainingResult:
    """Train ``network`` in place and leave it in eval mode with the weights of the best validation epoch.

    log: takes one record per epoch ({"epoch", "loss", "train_accuracy", "val_accuracy", "val_loss", "val_sar", "lr",
    "seconds"}); those of a training that is resumed come first. on_epoch, on_step: take (done, in all), for progress.
    checkpoint: a folder that is written at every epoch's end and on SIGINT and SIGTERM, and from which the same
    training goes on; the caller removes it. teacher: whose logits are learnt in place of the labels. All that is drawn
    comes from ``seed``: on one device and number of threads, equal seeds give equal weights, killed and resumed or not.
    Under ``torchrun`` every process calls this with the same arguments. Raises GateError when the loss stops being
    finite, InvalidFileError for a damaged checkpoint.
    """
    require_stages(config, data, getattr(getattr(network, "config", None), "timesteps", None))
    with world(device) as here:
        training = _Training(network, data, config, seed, device, here, teacher)
        saved = Checkpoint(checkpoint, fingerprint(network, data, config, seed)) if checkpoint is not None else None
        devices = [device] if device.startswith("cuda") else []
        with torch.random.fork_rng(devices=devices), training.fastest(), interruptible() as ended_by:
            torch.manual_seed(torch_seed(seed, f"dropout {here.rank}" if here.rank else "dropout"))
            training.resume(saved)
            for record in training.state.log:
                log(record)
            return training.run(saved, ended_by, log, on_epoch, on_step)


class _Training:
    """One training: what it works on, and where it is."""

    def __init__(
        self,
        network: nn.Module,
        data: Dataset,
        config: TrainingConfig,
        seed: int,
        device: str,
        here: World,
        teacher: Teacher | None,
    ) -> None:
        if device == "cpu":
            keep_pages()
        config = prepare(network, config)
        self.network, self.data, self.config, self.device, self.world = network.to(device), data, config, device, here
        if here.size > 1:
            synchronise(network)
        if config.dropout is not None:
            for module in network.modules():
                if isinstance(module, nn.Dropout):
                    module.p = config.dropout
        self.step = Stepper(self.network, data, config, seed, device, here, teacher)
        self.steps, self.shuffle = self.step.steps, stream(seed, "shuffle")
        self.x_val, self.y_val = (torch.from_numpy(array).to(device) for array in (data.x_val, data.y_val))
        self.state, self.best, self.resumed_at = State(), dict[str, Tensor](), 0

    @contextlib.contextmanager
    def fastest(self) -> Iterator[None]:
        """Channels last while training, where that is faster, and on a GPU convolutions chosen by trying them.

        Behind it the network has its layout and its T again.
        """
        chosen = torch.backends.cudnn.benchmark
        torch.backends.cudnn.benchmark = chosen or self.step.on_gpu
        if self.step.wide:
            lay_out(self.network, torch.channels_last)
        try:
            yield
        finally:
            torch.backends.cudnn.benchmark = chosen
            if self.step.wide:
                lay_out(self.network, torch.contiguous_format)
            if self.config.stages:
                set_timesteps(self.network, self.config, self.config.epochs)

    def resume(self, saved: Checkpoint | None) -> None:
        """Go on where the checkpoint stands, or begin."""
        found = saved.read() if saved is not None else None
        if found is None or saved is None:
            self.state.shuffle = dict(self.shuffle.bit_generator.state)
            return
        self.state, tensors = found
        try:
            restore_network(self.network, self.step.optimizer, tensors)
            self.best = {name: tensor.to(self.device) for name, tensor in part(tensors, "best").items()}
            self.shuffle.bit_generator.state = self.state.shuffle
            self.step.draws.bit_generator.state = self.state.augment
            if self.world.rank == 0:
                torch.set_rng_state(tensors["random/cpu"])
                if self.step.on_gpu:
                    torch.cuda.set_rng_state(tensors["random/cuda"], self.device)
            self.step.losses.copy_(tensors["losses"])
            self.step.right.copy_(tensors["right"])
            if self.step.target is not None:
                self.step.target.weight.copy_(tensors["sar_weight"])
        except (KeyError, RuntimeError, ValueError, TypeError) as error:
            raise saved.damaged(str(error)) from None
        self.resumed_at = (self.state.epoch - 1) * self.steps + self.state.step

    def save(self, saved: Checkpoint | None) -> None:
        """Write the checkpoint; process 0 does it for all."""
        if saved is None or self.world.rank:
            return
        tensors = network_tensors(self.network, self.step.optimizer)
        tensors |= {f"best/{name}": tensor for name, tensor in self.best.items()}
        tensors |= {"random/cpu": torch.get_rng_state(), "losses": self.step.losses, "right": self.step.right}
        if self.step.on_gpu:
            tensors["random/cuda"] = torch.cuda.get_rng_state(self.device)
        if self.step.target is not None:
            tensors["sar_weight"] = self.step.target.weight
        saved.write(self.state, tensors)

    def run(
        self,
        saved: Checkpoint | None,
        ended_by: list[int],
        log: Callable[[Record], None],
        on_epoch: Callable[[int, int], None],
        on_step: Callable[[int, int], None],
    ) -> TrainingResult:
        started, before = time.perf_counter(), self.state.seconds
        written = started
        total = self.config.epochs * self.steps
        while self.state.epoch <= self.config.epochs:
            if self.config.stages:
                set_timesteps(self.network, self.config, self.state.epoch)
                if not self.state.step and begins_stage(self.config, self.state.epoch):
                    self.state.best_epoch = 0  # of another T
            self.state.augment = dict(self.step.draws.bit_generator.state)
            self.step.begin(self.shuffle.permutation(len(self.step.x)), self.state.epoch)
            self.network.train()
            while self.state.step < self.steps:
                stop = self.step(bool(ended_by), self.state.epoch, self.state.step)
                self.state.step += 1
                self.look()
                on_step((self.state.epoch - 1) * self.steps + self.state.step, total)
                late = time.perf_counter() - written > SECONDS_BETWEEN_CHECKPOINTS
                if stop or (late and self.state.step < self.steps):
                    self.state.seconds = before + time.perf_counter() - started
                    self.look(now=True)
                    self.save(saved)
                    written = time.perf_counter()
                if stop:
                    raise Stopped
            self.look(now=True)
            record = self.finish_epoch(before - started)
            self.save(saved)
            written = time.perf_counter()
            log(record)
            on_epoch(record["epoch"], self.config.epochs)
        self.network.load_state_dict(self.best)
        best = self.state.log[self.state.best_epoch - 1]
        running = Validation(best["val_accuracy"], best["val_loss"], best["val_sar"])
        if self.config.amp != "none" or self.data.class_weights:
            self.network.eval()
            running = self.validate(self.x_val, self.y_val)  # in float32, as it is shipped; the log holds no balance
        kept, statistics = self.ship(running)
        return TrainingResult(
            best_epoch=self.state.best_epoch,
            validation_accuracy=kept.accuracy,
            epochs=self.config.epochs,
            seconds=before + time.perf_counter() - started,
            sar=kept.sar,
            resumed_at=self.resumed_at,
            statistics=statistics,
            training_accuracy=best["train_accuracy"],
            seen_accuracy=self.validate(self.step.known[:SEEN], self.step.y[:SEEN]).accuracy,
        )

    def ship(self, running: Validation) -> tuple[Validation, str]:
        """Measure the batch norms' statistics over training samples, and keep them where validation is no worse.

        running: how the network does with those that training left. Leaves eval mode.
        """
        if not measure_statistics(self.network, self.step.known, self.step.unit, self.config.batch):
            self.network.eval()
            return running, "running"
        measured = self.validate(self.x_val, self.y_val)
        if self.merit(measured) >= self.merit(running):
            return measured, "measured"
        self.network.load_state_dict(self.best)
        self.network.eval()
        return running, "running"

    def validate(self, x: Tensor, y: Tensor, amp: str = "none") -> Validation:
        """Return how the network does on some samples."""
        batch, unit = self.config.batch, self.step.unit
        classes = self.data.classes if self.data.class_weights else 0
        about: dict[str, Any] = {"batch": batch, "unit": unit, "world": self.world, "amp": amp, "classes": classes}
        return validate(self.network, x, y, device=self.device, **about)

    def merit(self, found: Validation) -> list[float]:
        """Return what is compared: whether the target is met, the accuracy, and of equal ones the lower loss.

        Where the loss weighs classes, the accuracy is the balanced one.
        """
        target = self.config.target_sar
        met = target is None or found.sar <= target * (1 + SAR_TOLERANCE)
        accuracy = found.balanced if self.data.class_weights else found.accuracy
        return [float(met), accuracy, -found.loss]

    def look(self, *, now: bool = False) -> None:
        """Raise GateError when a loss of this epoch was not finite."""
        done = self.state.step
        if not now and self.step.on_gpu and done % STEPS_BETWEEN_LOOKS:
            return
        since = 0 if now or self.step.on_gpu else done - 1
        bad = torch.isfinite(self.step.losses[since:done]).logical_not_()
        if not bool(bad.any()):
            return
        step = since + int(bad.nonzero()[0]) + 1
        rate = learning_rate(self.config, (self.state.epoch - 1) * self.steps + step - 1, self.steps)
        raise diverged(f"the loss is {float(self.step.losses[step - 1])} at", step, self.state.epoch, rate)

    def finish_epoch(self, offset: float) -> Record:
        """Validate, keep the weights where they are the best so far, and go to the next epoch.

        offset: what the clock is behind the training's seconds, those before a kill included.
        """
        config, state = self.config, self.state
        found = self.validate(self.x_val, self.y_val, amp=config.amp)
        if not math.isfinite(found.loss):
            # The losses are those before each step: what the last one broke is seen here alone.
            rate = learning_rate(config, state.epoch * self.steps - 1, self.steps)
            raise diverged(f"the validation loss is {found.loss} after", self.steps, state.epoch, rate)
        # A small validation split often ties; of equal accuracies the lower loss is the better network.
        merit = self.merit(found)
        if not state.best_epoch or merit > state.best:
            state.best_epoch, state.best = state.epoch, merit
            self.best = {name: tensor.clone() for name, tensor in self.network.state_dict().items()}
        state.seconds = offset + time.perf_counter()
        sizes = [batch.stop - batch.start for batch in self.step.batches]
        record = {
            "epoch": state.epoch,
            "loss": float((self.step.losses.double().cpu() * torch.tensor(sizes)).sum()) / len(self.step.x),
            "train_accuracy": float(self.step.right) / len(self.step.x),
            "val_accuracy": found.accuracy,
            "val_loss": found.loss,
            "val_sar": found.sar,
            "lr": learning_rate(config, (state.epoch - 1) * self.steps, self.steps),
            "seconds": round(state.seconds - math.fsum(entry["seconds"] for entry in state.log), 3),
        }
        state.log.append(record)
        state.epoch, state.step, state.shuffle = state.epoch + 1, 0, dict(self.shuffle.bit_generator.state)
        state.augment = dict(self.step.draws.bit_generator.state)
        self.step.right.zero_()
        return record


def diverged(what: str, step: int, epoch: int, rate: float) -> GateError:
    """Return what ends a training whose numbers are no numbers any more."""
    return GateError(
        f"{what} step {step} of epoch {epoch} (learning rate {rate:.2g}), expected a finite number; lower "
        "learning_rate in the recipe"
    )
