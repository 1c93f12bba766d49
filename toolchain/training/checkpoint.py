"""Everything that the next step of a training depends on, in one file: ``checkpoint/state.safetensors``.

Tensors: weights, the best epoch's weights, the optimiser's moments, torch's generator. Metadata, as JSON: place,
generators of NumPy, the log so far, and a fingerprint of what is being trained. It appears whole or not at all.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from snnas.hw_sim.errors import InvalidFileError
from snnas.hw_sim.files import require_regular, whole

FORMAT = "snnas.checkpoint/2"
KEY = "snnas"


@dataclass(slots=True)
class State:
    """Where a training is. epoch: from 1. step: batches done in it. best: (meets the target, accuracy, -loss).

    shuffle, augment: NumPy's generators at the beginning of the epoch. seconds: spent before.
    """

    epoch: int = 1
    step: int = 0
    best_epoch: int = 0
    best: list[float] = field(default_factory=lambda: [0.0, -1.0, 0.0])
    shuffle: dict[str, Any] = field(default_factory=dict)
    augment: dict[str, Any] = field(default_factory=dict)
    log: list[dict[str, Any]] = field(default_factory=list)
    seconds: float = 0.0


class Checkpoint:
    """The file in ``folder``; fingerprint: of all that must be equal to go on, as ``identity`` gives it."""

    def __init__(self, folder: Path, fingerprint: str) -> None:
        self.folder, self.path, self.fingerprint = folder, folder / "state.safetensors", fingerprint

    def write(self, state: State, tensors: dict[str, Tensor]) -> None:
        """Replace the file; ``tensors`` by the names that ``read`` gives back."""
        plain = {"format": FORMAT, "fingerprint": self.fingerprint}
        plain |= {name: getattr(state, name) for name in State.__slots__}
        content = save(
            {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()},
            metadata={KEY: json.dumps(plain, allow_nan=False)},
        )
        self.folder.mkdir(parents=True, exist_ok=True)
        with whole(self.path) as file:
            file.write(content)

    def read(self) -> tuple[State, dict[str, Tensor]] | None:
        """The state and its tensors; None where there is no file, or one of another training."""
        if not self.path.exists():
            return None
        try:
            require_regular(self.path)
            with safe_open(self.path, framework="pt") as file:
                plain = json.loads((file.metadata() or {})[KEY])
                if (found := plain.pop("format")) != FORMAT:
                    raise InvalidFileError(
                        f"{self.path} is of format {str(found)[:40]!r}, expected {FORMAT!r}; remove {self.folder} to "
                        "train from the beginning"
                    )
                if plain.pop("fingerprint") != self.fingerprint:
                    return None
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            return State(**plain), tensors
        except (SafetensorError, OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise self.damaged(str(error)) from None

    def damaged(self, why: str) -> InvalidFileError:
        """What is raised for a file that cannot be gone on from."""
        return InvalidFileError(
            f"{self.path} is damaged ({' '.join(why.split())[:80]}), expected a checkpoint as training writes it; "
            f"remove {self.folder} to train from the beginning"
        )

    def remove(self) -> None:
        """Remove the folder, where it is there."""
        shutil.rmtree(self.folder, ignore_errors=True)


def network_tensors(network: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Return the weights and moments, by name."""
    tensors = {f"network/{name}": tensor for name, tensor in network.state_dict().items()}
    for number, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer/{number}/{key}": value for key, value in state.items() if isinstance(value, Tensor)}
    return tensors


def restore_network(network: nn.Module, optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    """Put back what ``network_tensors`` returned; KeyError, RuntimeError or ValueError where it does not fit."""
    network.load_state_dict(part(tensors, "network"))
    moments: dict[int, dict[str, Tensor]] = {}
    for name, tensor in part(tensors, "optimizer").items():
        number, _, key = name.partition("/")
        moments.setdefault(int(number), {})[key] = tensor
    plain = optimizer.state_dict()
    optimizer.load_state_dict({"state": moments, "param_groups": plain["param_groups"]})


def part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Return the tensors whose names begin with ``prefix``/, without it."""
    return {name.removeprefix(f"{prefix}/"): t for name, t in tensors.items() if name.startswith(f"{prefix}/")}
