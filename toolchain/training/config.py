"""What a training does: the recipe, its checks, and the recipes that come with snnas."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from snnas.hw_sim.errors import InvalidFileError, UsageError, brief
from snnas.hw_sim.files import read_text
from snnas.hw_sim.tables import parse_toml
from snnas.toolchain.data.augmentation import Augmentation
from snnas.toolchain.training.device import settled_amp

RECIPE_BYTES = 1 << 20
SHIPPED = Path(__file__).with_name("recipes")
CHOICES = {
    "optimizer": ("adamw", "sgd"),
    "schedule": ("cosine", "constant"),
    "loss": ("ce", "mse"),
    "amp": ("none", "bf16", "auto"),
}
TAUS = 1.0025, 400.0  # just within what a learnt tau can reach
# Where a number has to lie: low, high, and whether each end belongs to it.
RANGES = {
    "learning_rate": (0.0, math.inf, False, False),
    "weight_decay": (0.0, 1.0, True, False),
    "momentum": (0.0, 1.0, True, False),
    "label_smoothing": (0.0, 1.0, True, False),
    "clip": (0.0, math.inf, True, False),
    "dropout": (0.0, 1.0, True, False),
    "target_sar": (0.0, 1.0, False, False),
    "width_power": (0.0, 1.0, True, True),
    "tau_start": (*TAUS, False, False),
}
WHOLE = {"epochs": 1, "batch": 2, "warmup": 0, "accumulate": 1}
FLAGS = ("nesterov", "whitening")
LEARNT = ("tau", "threshold")
OPTIONAL = ("dropout", "target_sar", "tau_start")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingConfig:
    """A recipe. Raises UsageError for a value out of its range."""

    epochs: int = 15
    batch: int = 64
    accumulate: int = 1
    """Parts of a batch, run one after the other so that they fit the memory: their gradients are added; BN takes the
    statistics of each part."""
    optimizer: str = "adamw"
    learning_rate: float = 1.2e-2
    """The peak: after ``warmup`` epochs of a linear rise it falls as a cosine to 0, or stays."""
    width_power: float = 0.0
    """The learning rate is of 16 channels, and multiplied by (16 / channels)^width_power; 0: the same for all."""
    schedule: str = "cosine"
    warmup: int = 0
    """In epochs."""
    stages: tuple[tuple[int, int], ...] = ()
    """(T, epochs) one after the other: cheap timesteps first. Scaled to ``epochs``; the last T is the network's."""
    weight_decay: float = 1e-2
    """Decoupled with adamw, L2 with sgd; not of BN's gains and shifts."""
    momentum: float = 0.9
    """Of SGD."""
    nesterov: bool = False
    """SGD's gradient is taken where the momentum leads (Sutskever et al. 2013)."""
    label_smoothing: float = 0.1
    clip: float = 1.0
    """Of the gradient's norm; 0 for none."""
    augment: tuple[str, ...] = ()
    """See ``augmentation``."""
    loss: str = "ce"
    """Cross entropy, or the mean square of logits against one-hot labels."""
    dropout: float | None = None
    """Before the head; None leaves the network's own."""
    whitening: bool = False
    """The stem has filters that whiten patches of training samples, and keeps them."""
    amp: str = "none"
    """'bf16' computes convolutions and linear layers so, all else and what is shipped in float32; 'auto' does where the
    device has units for it (``device.has_bf16``), and a run records which it was."""
    learn: tuple[str, ...] = ()
    """'tau', 'threshold': learnt too, one number for each population."""
    tau_start: float | None = None
    """Where every tau that is learnt begins, in timesteps: slow neurons for long signals; None: at the network's."""
    target_sar: float | None = None
    """The spiking activity rate that training is held to; None leaves it free."""

    def __post_init__(self) -> None:
        for name, low in WHOLE.items():
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < low:
                raise self._odd(name, f"a whole number >= {low}")
        for name in FLAGS:
            if not isinstance(getattr(self, name), bool):
                raise self._odd(name, "true or false")
        self._check_stages()
        for name, choices in CHOICES.items():
            if getattr(self, name) not in choices:
                raise self._odd(name, " or ".join(choices))
        for name in RANGES:
            self._check_range(name)
        if not isinstance(self.augment, list | tuple):
            raise self._odd("augment", "a list of strings")
        object.__setattr__(self, "augment", tuple(self.augment))  # TOML gives a list
        Augmentation(self.augment)
        learnt = self.learn
        if not isinstance(learnt, list | tuple) or len(learnt) > 2 or any(n not in LEARNT for n in learnt):
            raise self._odd("learn", "a list of 'tau', 'threshold', or both")
        object.__setattr__(self, "learn", tuple(learnt))
        self._check_pairs()

    def _check_pairs(self) -> None:
        """UsageError where two keys do not go together."""
        if self.accumulate > self.batch // 2:
            raise UsageError(
                f"accumulate = {self.accumulate} in the training configuration, expected at most {self.batch // 2}: "
                f"half of batch = {self.batch}, for batch norm needs two samples in every part"
            )
        if self.nesterov and not (self.optimizer == "sgd" and self.momentum):
            raise UsageError(
                f"nesterov = true in the training configuration with optimizer = {self.optimizer!r}, momentum = "
                f"{self.momentum:g}, expected 'sgd' with a momentum above 0; leave nesterov out"
            )
        if self.tau_start is not None and "tau" not in self.learn:
            raise UsageError(
                f"tau_start = {self.tau_start:g} in the training configuration with learn = {list(self.learn)}, "
                "expected 'tau' among it: a tau that stays is the network's"
            )
        if self.warmup >= self.epochs and self.warmup:
            raise UsageError(f"warmup = {self.warmup} in the training configuration, expected less than the epochs")

    def _check_stages(self) -> None:
        stages: Any = self.stages
        pairs = isinstance(stages, list | tuple) and all(isinstance(s, list | tuple) and len(s) == 2 for s in stages)
        if not pairs or not all(type(n) is int and n >= 1 for stage in stages for n in stage):
            raise self._odd("stages", "pairs of whole numbers >= 1, [[T, epochs], ...]")
        if len(stages) > self.epochs:
            raise self._odd("stages", f"at most {self.epochs}: one epoch each")
        object.__setattr__(self, "stages", tuple(tuple(stage) for stage in stages))

    def _check_range(self, name: str) -> None:
        value: Any = getattr(self, name)
        low, high, with_low, with_high = RANGES[name]
        if value is None and name in OPTIONAL:
            return
        x = float(value) if isinstance(value, int | float) and not isinstance(value, bool) else math.nan
        if not (low < x < high or (with_low and x == low) or (with_high and x == high)):
            ends = f"{low:g} <{'=' if with_low else ''} x"
            ends += f" <{'=' if with_high else ''} {high:g}" if high < math.inf else ""
            raise self._odd(name, ends)

    def _odd(self, name: str, expected: str) -> UsageError:
        return UsageError(f"{name} = {brief(getattr(self, name))} in the training configuration, expected {expected}")

    def on(self, device: str) -> TrainingConfig:
        """The recipe as the device works by it: ``amp`` 'auto' is settled."""
        return replace(self, amp=settled_amp(self.amp, device))

    def plain(self) -> dict[str, Any]:
        """The recipe as TOML and JSON can hold it; what is None is left out."""
        values = {name: value for name, value in asdict(self).items() if value is not None}
        lists = {"augment": list(self.augment), "learn": list(self.learn)}
        return {**values, **lists, "stages": [list(stage) for stage in self.stages]}


def recipe_names() -> list[str]:
    """The names of the recipes that come with snnas."""
    return sorted(path.stem for path in SHIPPED.glob("*.toml"))


def recipe_for(
    dataset: str, asked: str | None, overrides: Mapping[str, Any] | None = None, *, signals: bool = False
) -> TrainingConfig:
    """The recipe ``asked`` for, else the data set's own, else that of ``signals``, else the default.

    overrides, errors: of ``load_recipe``.
    """
    name = asked or (dataset if dataset in recipe_names() else "signals" if signals else None)
    return load_recipe(name, overrides) if name else recipe_of({}, where="the command line", overrides=overrides)


def load_recipe(name_or_path: str | Path, overrides: Mapping[str, Any] | None = None) -> TrainingConfig:
    """A recipe that comes with snnas, by name, or a user's, by the path of a .toml file.

    overrides: values that replace the recipe's, None for the recipe's own. Raises UsageError for an unknown recipe, an
    unknown key or a bad value, InvalidFileError for a file that is not TOML.
    """
    name, path = str(name_or_path), Path(name_or_path)
    if path.suffix != ".toml":
        path = SHIPPED / f"{name}.toml"
        if name not in recipe_names():
            near = get_close_matches(name, recipe_names(), n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise UsageError(
                f"unknown recipe {name[:80]!r}, expected {', '.join(recipe_names())} or the path of a .toml file{hint}"
            )
    try:
        values = parse_toml(read_text(path, RECIPE_BYTES))
    except OSError as error:
        raise InvalidFileError(f"{path} cannot be read ({error.strerror}), expected a recipe in TOML") from None
    except ValueError as error:
        raise InvalidFileError(f"{path} is not TOML ({' '.join(str(error).split())[:120]})") from None
    return recipe_of(values, where=str(path), overrides=overrides)


def recipe_of(values: Mapping[str, Any], *, where: str, overrides: Mapping[str, Any] | None = None) -> TrainingConfig:
    """A recipe from plain values; UsageError names an unknown key, ``where`` it stands, and the known ones.

    Where ``overrides`` leave it fewer epochs than its warm-up takes, the last epoch at least is none of the warm-up.
    """
    known = [field.name for field in fields(TrainingConfig)]
    given = {key: value for key, value in (overrides or {}).items() if value is not None}
    for key in [*values, *given]:
        if key not in known:
            near = get_close_matches(key, known, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise UsageError(f"unknown key {str(key)[:60]!r} in {where}, expected some of {', '.join(known)}{hint}")
    warmup, epochs = values.get("warmup"), given.get("epochs")
    if "warmup" not in given and type(warmup) is int and type(epochs) is int and 1 <= epochs <= warmup:
        given["warmup"] = epochs - 1
    try:
        return TrainingConfig(**{**values, **given})
    except UsageError as error:
        raise UsageError(f"{error} ({where})") from None
