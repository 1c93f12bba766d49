"""What a program does on samples, and what it costs: the results of ``simulate`` and ``estimate``."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from snnas.toolchain.output.shown import Shown

if TYPE_CHECKING:
    from rich.table import Table

    from snnas.toolchain.output.drawing import Panel


@dataclass(frozen=True, slots=True, kw_only=True)
class EarlyExit:
    """When inferences end by the program's rule; ``early_exit`` of a ``Simulation`` or an ``Export``."""

    mode: str
    """exact: no spike can change the answer any more. confidence: the first class leads by a margin."""
    level: float | None
    """Of a confidence: the share of answers that were to stay, in 0.5..1; None of exact."""
    timesteps: float
    """Until the end, the mean over the samples."""
    of_timesteps: int
    """T."""
    early: int
    """Samples that end before T."""
    changed: int
    """Predictions that are others than after T timesteps; 0 of exact."""
    accuracy: float | None
    """Share of samples whose prediction is their label, in 0..1; None without labels."""

    @classmethod
    def of(cls, found: Mapping[str, Any] | None, of_timesteps: int) -> EarlyExit | None:
        """From ``early_exit`` of a document; None of a program without one."""
        if found is None:
            return None
        right = found["accuracy"]
        return cls(
            mode=found["mode"],
            level=found["level"],
            timesteps=float(found["timesteps"]["mean"]),
            of_timesteps=of_timesteps,
            early=found["early"],
            changed=found["changed"],
            accuracy=right["on_target"] if isinstance(right, dict) else right,
        )


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Simulation(Shown):
    """What a program does on samples, in its integers: simulated, not measured."""

    figures: dict[str, Any]
    """All of them, as ``--json`` prints them: the schema ``snnas.simulate``."""
    answers: np.ndarray
    """int64 or float64 (samples, classes): the program's readout."""
    next_command: str = ""
    """What one would type next, behind ``snnas``."""

    @property
    def predictions(self) -> np.ndarray:
        """int64 (samples,): the largest answer of each, ties to the lowest class."""
        return self.answers.argmax(axis=1)

    @property
    def accuracy(self) -> float | None:
        """Share of samples whose prediction is their label, in 0..1; None without labels."""
        found = self.figures["accuracy"]
        return None if found is None else float(found["on_target"])

    @property
    def sar(self) -> float:
        """Spikes per neuron and timestep, in 0..1."""
        return float(self.figures["sar"]["mean"])

    @property
    def early_exit(self) -> EarlyExit | None:
        """When inferences end; None of a program that was exported without ``early_exit``."""
        return EarlyExit.of(self.figures.get("early_exit"), int(self.figures["timesteps"]))

    @property
    def headline(self) -> str:
        accuracy = "no labels" if self.accuracy is None else f"accuracy {self.accuracy:.2%}"
        synops = self.figures["synops_per_inference"]["mean"]
        return f"{self.figures['samples']} samples, {accuracy}, SAR {self.sar:.4f}, {synops:,.0f} synops per inference"

    def to_dict(self) -> dict[str, Any]:
        return copy.deepcopy(self.figures)

    def tables(self) -> Iterator[Table]:
        from snnas.toolchain.output.estimate import simulated

        return simulated(self.figures)

    def pictures(self) -> Iterator[Panel]:
        from snnas.toolchain.html.figures_activity import draw_rates
        from snnas.toolchain.output.drawing import Panel

        rates = {p["id"]: (None, float(p["sar"])) for p in self.figures["populations"] if p["role"] == "neuron"}
        drawn, keys = draw_rates(rates)
        yield Panel("Spiking activity rate", drawn, keys)


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Bill(Shown):
    """What a program costs on a chip: estimated from counts and published constants, a band and its sources."""

    figures: dict[str, Any]
    """All of them, as ``--json`` prints them: the schema ``snnas.estimate``."""
    misfit: str | None = None
    """Why the program does not fit the system, and the ways out; None where it fits."""
    next_command: str | None = None
    """What one would type next, behind ``snnas``; None where there is nothing."""

    @property
    def fits(self) -> bool:
        """Whether the system holds the program; one that does not fit gets no joule."""
        return bool(self.figures["fit"]["fits"])

    @property
    def energy(self) -> tuple[float, float, float] | None:
        """Microjoules per inference: low, nominal, high; None where nothing fits, or the profile prices no total."""
        found = self.figures["energy_uJ"]
        total = None if found is None else found["total"]
        return None if total is None else (total["low"], total["nominal"], total["high"])

    @property
    def headline(self) -> str:
        fit = self.figures["fit"]
        if not self.fits:
            return f"does not fit {fit['system']}: {fit['misfits'][0]}"
        energy = "no energy: " + str(self.figures["energy_uJ"]["banner"])
        if self.energy is not None:
            low, nominal, high = self.energy
            energy = f"{low:.3g} .. {nominal:.3g} .. {high:.3g} uJ per inference"
        return f"{energy}; {fit['cores']} core{'s' * (fit['cores'] != 1)} of {fit['system']}"

    def to_dict(self) -> dict[str, Any]:
        return copy.deepcopy(self.figures)

    def tables(self) -> Iterator[Table]:
        from snnas.toolchain.output.estimate import estimated

        return estimated(self.figures)

    def pictures(self) -> Iterator[Panel]:
        from snnas.toolchain.html.figures_chip import ENERGY, draw_energy
        from snnas.toolchain.output.drawing import Panel

        if self.energy is not None:
            yield Panel(ENERGY, draw_energy(self.figures["energy_uJ"]))
