"""A run that Python holds: what was searched and trained, and what can be made of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from snnas.export.compiler.observed_currents import Ranges
from snnas.hw_sim.errors import UsageError
from snnas.hw_sim.files import read_json
from snnas.toolchain.commands.export import RunExportOptions, export_run
from snnas.toolchain.commands.exported import Export, read_export
from snnas.toolchain.commands.given import path_of
from snnas.toolchain.commands.report import ReportOptions, write_page
from snnas.toolchain.commands.runs import pack_run
from snnas.toolchain.commands.search import resume_search
from snnas.toolchain.commands.submit import SubmitOptions, Submitted, submit
from snnas.toolchain.commands.train import TrainOptions, run_training
from snnas.toolchain.output.shown import Shown
from snnas.toolchain.output.spoken import spoken_class
from snnas.toolchain.output.telling import Progress, narrator_of
from snnas.toolchain.runs import run as runs
from snnas.toolchain.searching.options import ResumeOptions

if TYPE_CHECKING:
    from rich.table import Table
    from torch.fx import GraphModule
    from torch.nn import Module

    from snnas.search.network.network import Network
    from snnas.toolchain.output.drawing import Panel
    from snnas.toolchain.training.tracking import Listener


@spoken_class
@dataclass(frozen=True, repr=False)
class Run(Shown):
    """A run on disk: its configuration, genotype, weights and exports. Made by ``search_network``, read by ``load``."""

    files: runs.Run
    """Where all of it lies."""

    @property
    def name(self) -> str:
        """Of its folder."""
        return self.files.name

    @property
    def path(self) -> Path:
        """Its folder."""
        return self.files.path

    @property
    def stage(self) -> str:
        """begun, searched, trained, exported or failed."""
        return self.files.stage()

    @property
    def genotype(self) -> dict[str, Any]:
        """What was found, as plain data: genotype.json."""
        found: dict[str, Any] = read_json(self.files.genotype)
        return found

    @property
    def accuracy(self) -> float | None:
        """Validation accuracy of the epoch that was kept, in 0..1; None where it is not trained."""
        found = self.files.section("training").get("validation_accuracy")
        return None if found is None else float(found)

    @property
    def evaluations(self) -> list[dict[str, Any]]:
        """What the search did, event by event: search.jsonl."""
        return self.files.search_log.read()

    @property
    def epochs(self) -> list[dict[str, Any]]:
        """What the training did, epoch by epoch: train.jsonl."""
        return self.files.train_log.read()

    @property
    def front(self) -> dict[str, Any] | None:
        """front.json of a search with several objectives; None of any other."""
        path = self.path / "front.json"
        return read_json(path) if path.exists() else None

    def export(
        self,
        target: str = "lava",
        *,
        bits: int | None = None,
        ranges: Ranges = "auto",
        host: str | None = None,
        samples: int = 32,
        finetune: int | None = None,
        early_exit: str | None = None,
        timesteps: int | None = None,
        pick: int | None = None,
        profile: str = "loihi1",
        require_lava: bool = False,
        force: bool = False,
        progress: Progress = None,
    ) -> Export:
        """Takes the trained network through the whole chain to a target, every joint compared. As ``snnas export``.

        target: lava (an integer program in Loihi's arithmetic), c (the same as C99) or onnx (the float network). bits:
        of a weight, 8, 6 or 4; None: those that the search measured with, else 8. host: arithmetic before the first
        neuron, float or int; None: int of c. samples: that Lava runs and that are recorded. finetune: epochs of
        training on the integers. early_exit: exact, or a share as "0.99": an inference ends once its answer is settled.
        timesteps: T that the network runs at; None: as trained. pick: a point of the front, from 1.
        GateError (1) names the first spike that differs, UnsupportedError (4) what the target cannot do.
        """
        options = RunExportOptions(
            run=str(self.path), target=target, bits=bits, ranges=ranges, host=host, samples=samples, finetune=finetune,
            early_exit=early_exit, timesteps=timesteps, pick=pick, profile=profile, require_lava=require_lava,
            force=force,
        )  # fmt: skip
        return export_run(options, narrator_of(progress))

    def exported(self, target: str = "lava") -> Export:
        """What ``export`` wrote before; UsageError (2) where there is nothing."""
        folder = self.files.export(target)
        if not (folder / "report.json").exists():
            raise UsageError(f"run {self.name} has no export to {target!r} yet; make it with run.export({target!r})")
        return read_export(folder)

    def train(
        self,
        *,
        epochs: int | None = None,
        recipe: str | None = None,
        target_sar: float | None = None,
        force: bool = False,
        device: str | None = None,
        progress: Progress = None,
        on_epoch: Listener | None = None,
    ) -> Run:
        """Trains the network, or goes on with a training that was ended; None are the run's own. As ``snnas train``.

        on_epoch: takes each epoch's record, a hook for wandb, mlflow and others.
        """
        options = TrainOptions(
            run=str(self.path), epochs=epochs, recipe=recipe, target_sar=target_sar, force=force, device=device
        )
        run_training(options, narrator_of(progress), command="snnas.Run.train", on_epoch=on_epoch)
        return Run(self.files)

    def resume(
        self,
        *,
        dataset: str | Path | None = None,
        workers: int = 1,
        train: bool = True,
        progress: Progress = None,
        on_epoch: Listener | None = None,
    ) -> Run:
        """Goes on with a search or a training that was ended; what is finished is not done again.

        dataset: where its data lie now; None: where they lay.
        """
        place = None if dataset is None else str(dataset)
        options = ResumeOptions(run=str(self.path), dataset=place, workers=workers, train=train)
        resume_search(options, narrator_of(progress), on_epoch=on_epoch)
        return Run(self.files)

    def submit(
        self,
        out: str | Path | None = None,
        *,
        name: str | None = None,
        note: str = "",
        blind: bool = True,
        compare: str | Path | None = None,
        force: bool = False,
    ) -> Submitted:
        """The run, trained and exported to Lava, as a row of the leaderboard. As ``snnas submit``.

        out: a .json to write it to. name, note: what the row is called, and what a reader must know. blind: whether no
        choice saw a test sample. compare: a row that this run makes again; ``differences`` says where they part.
        UsageError (2) for what nobody can make again, GateError (1) where ``snnas check`` fails the export.
        """
        options = SubmitOptions(
            run=str(self.path), out=path_of(out), name=name, note=note, blind=blind, compare=path_of(compare),
            force=force,
        )  # fmt: skip
        return submit(options)

    def pack(self, out: str | Path | None = None) -> Path:
        """Writes the run as one .zip (None: NAME.zip here), with its card; whatever takes a run takes it."""
        return pack_run(str(self.path), out=path_of(out)).path

    def write_page(self) -> Path:
        """Writes report.html into the run: one page that needs no network."""
        return write_page(ReportOptions(names=(str(self.path),)))

    def network(self) -> Module:
        """The trained network as a torch module, in eval mode: samples (B, C, H, W) or (B, T, C, H, W) to logits."""
        return self._network()

    def _network(self) -> Network:
        from snnas.toolchain.training.restore import network_of

        return network_of(self.files)

    def to_spikingjelly(self) -> GraphModule:
        """The trained network in spikingjelly's own layers and neurons, one timestep of it, to go on with there.

        ``functional.reset_net(net)`` before each sample; ``functional.set_step_mode(net, "m")`` for (T, B, ...). Its
        spikes are the network's. UnsupportedError (4) without spikingjelly, and for backward edges.
        """
        from snnas.search.network.plain_modules import to_spikingjelly

        return to_spikingjelly(self._network().layers())

    def to_snntorch(self) -> GraphModule:
        """The trained network in torch's layers and snntorch's Leaky, one timestep of it, to go on with there.

        ``snntorch.utils.reset(net)`` before each sample. Its spikes are the network's. UnsupportedError (4) without
        snntorch, and for backward edges.
        """
        from snnas.search.network.plain_modules import to_snntorch

        return to_snntorch(self._network().layers())

    @property
    def headline(self) -> str:
        accuracy = "" if self.accuracy is None else f", validation accuracy {self.accuracy:.2%}"
        return f"{self.name} ({self.stage}{accuracy})"

    def to_dict(self) -> dict[str, Any]:
        from snnas.toolchain.output.run import describe

        return describe(self.files)

    def tables(self) -> Iterator[Table]:
        from snnas.toolchain.output.run import table

        yield table(self.files)

    def pictures(self) -> Iterator[Panel]:
        from snnas.toolchain.html.glance import glance

        return glance(self.files)
