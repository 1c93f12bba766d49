"""Fine-tunes an integer program on the training split, and keeps what gains on the validation split.

Of all epochs the best one there is taken, and of it and the program as it was compiled the latter, unless what the
epoch gains is more than the standard error of such a gain.

The loop, its checkpoints and its ends are those of training (``training``): what is trained is the program
itself as a torch module, so that every epoch is judged by the integers that would be exported.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

import numpy as np
import torch

from snnas.export.compiler.circuit import trace
from snnas.export.compiler.ranges import verify_ranges
from snnas.export.compiler.schedule import schedule
from snnas.export.formats.program_file import write_program
from snnas.export.graph.graph import Graph
from snnas.hw_sim.errors import GateError
from snnas.hw_sim.files import sha256
from snnas.hw_sim.program import Program
from snnas.hw_sim.simulate.torch_simulator import TorchSimulator
from snnas.toolchain import training
from snnas.toolchain.data.seeds import torch_seed
from snnas.toolchain.data.statistics import beyond_an_error
from snnas.toolchain.finetuning.module import TrainableProgram
from snnas.toolchain.finetuning.options import Finetuning
from snnas.toolchain.output.stderr import Advance
from snnas.toolchain.training.optimisation import Teacher

if TYPE_CHECKING:
    from snnas.toolchain.data.load import Array, Dataset
    from snnas.toolchain.training import Record, TrainingConfig

TEMPERATURE = 2.0  # of the teacher's logits; docs/quantisation.md has what was measured


@dataclass(frozen=True, slots=True, kw_only=True)
class Tuned:
    """What fine-tuning ended with. best_epoch: 0 where no epoch gained more than a standard error on the validation
    split over the program as it was compiled, which then stays.

    before, after: accuracy on the validation split, of the programs in the integer simulator. gained, lost: of its
    ``samples``, those that only the best epoch, and only the compiled program, is right on, kept or not.
    weights_changed: of the ``weights`` stored in trained synapses, those that are other integers now.
    """

    program: Program
    epochs: int
    best_epoch: int
    seconds: float
    before: float
    after: float
    samples: int
    gained: int
    lost: int
    weights_changed: int
    weights: int

    def to_json(self) -> dict[str, Any]:
        names = ("epochs", "best_epoch", "weights_changed", "weights")
        plain = {name: getattr(self, name) for name in names}
        validation = {name: getattr(self, name) for name in ("before", "after", "samples", "gained", "lost")}
        return {**plain, "bits": self.program.weight_bits, "seconds": round(self.seconds, 3), "validation": validation}


def recipe_for(trained: TrainingConfig, asked: Finetuning) -> TrainingConfig:
    """The recipe of a network's fine-tuning: its own batch, augmentation, target of activity and clipping."""
    kept = {name: getattr(trained, name) for name in ("batch", "augment", "clip", "label_smoothing", "target_sar")}
    return training.TrainingConfig(epochs=asked.epochs, learning_rate=asked.rate, weight_decay=0.0, **kept)


class LoopKeywords(TypedDict, total=False):
    """What of ``training.train`` is passed on to it."""

    device: str
    on_epoch: Advance
    on_step: Advance
    checkpoint: Path | None


def finetune(
    program: Program,
    graph: Graph,
    data: Dataset,
    recipe: TrainingConfig,
    *,
    seed: int,
    teacher: Array | None = None,
    log: Callable[[Record], None] = lambda record: None,
    **how: Unpack[LoopKeywords],
) -> Tuned:
    """Fine-tune ``program``, which was compiled from ``graph``; the test split is not looked at.

    teacher: float32 (N, classes), the float network's logits on ``data.x_train``, which are learnt instead of the
    labels. log, and how: as ``training.train`` takes them; a checkpoint of another program, data set or recipe is not
    gone on from. GateError where the loss stops being finite, and where module and simulator disagree.
    """
    start = _digest(program)
    module = TrainableProgram(program, real_values(graph, program))
    module.config = f"fine-tuning of {start}, teacher {_digest_of(teacher)}"
    before = predictions(program, data.batch(data.x_val)) == data.y_val
    records: list[Record] = []

    def note(record: Record) -> None:
        records.append(record)
        log(record)

    result = training.train(
        module,
        data,
        recipe,
        seed=torch_seed(seed, "finetune"),
        log=note,
        teacher=None if teacher is None else Teacher(torch.from_numpy(teacher), TEMPERATURE),
        **how,
    )
    best = records[result.best_epoch - 1]
    tuned = module.cpu().program()
    tuned = replace(tuned, meta={**tuned.meta, "finetuned": {"epoch": result.best_epoch, "from": start}})
    tuned.verify()
    verify_ranges(tuned)
    after = predictions(tuned, data.batch(data.x_val)) == data.y_val
    if int(after.sum()) != round(best["val_accuracy"] * len(data.y_val)):
        raise GateError(
            f"the fine-tuned program is right on {after.mean():.4%} of the validation split in the integer simulator, "
            f"while it was trained it was on {best['val_accuracy']:.4%}; this is a fault of ours, please report it"
        )
    gained, lost = int((after & ~before).sum()), int((before & ~after).sum())
    better = beyond_an_error(gained, lost)
    if not better:
        tuned, after = program, before
    changed, weights = _changed(program, tuned)
    return Tuned(
        program=tuned,
        epochs=recipe.epochs,
        best_epoch=result.best_epoch if better else 0,
        seconds=result.seconds,
        before=float(before.mean()),
        after=float(after.mean()),
        samples=len(before),
        gained=gained,
        lost=lost,
        weights_changed=changed,
        weights=weights,
    )


def real_values(graph: Graph, program: Program) -> dict[str, np.ndarray]:
    """What the program's integers were rounded from, by id of synapse and population: ``TrainableProgram``'s real."""
    circuit = schedule(trace(graph, program.input_kind)).circuit
    return {k.id: k.map.weight for k in circuit.links} | {g.id: g.bias for g in circuit.groups}


def predictions(program: Program, x: Array) -> Array:
    """What the integer simulator makes of samples: int64 (N,)."""
    parts = [result.predictions for result, _ in TorchSimulator(program).run_input(x, full=False)]
    found: Array = np.concatenate(parts)
    return found


def _changed(before: Program, after: Program) -> tuple[int, int]:
    """(weights that differ, weights) of all synapses."""
    pairs = list(zip(before.synapses, after.synapses, strict=True))
    return sum(int((a.map.weight != b.map.weight).sum()) for a, b in pairs), sum(a.map.weight.size for a, _ in pairs)


def _digest(program: Program) -> str:
    """SHA-256 of the program as it is written, which equal programs share."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "program.npz"
        write_program(path, program)
        return sha256(path)


def _digest_of(values: Array | None) -> str:
    return "none" if values is None else hashlib.sha256(np.ascontiguousarray(values).tobytes()).hexdigest()[:16]
