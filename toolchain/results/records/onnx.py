"""An ONNX export."""

from __future__ import annotations

from typing import Literal

from snnas.toolchain.results.record import Document, OrAbsent, Record
from snnas.toolchain.results.records.shared import Silence


class OnnxAccuracies(Record):
    """``accuracy`` of ``OnnxExport``."""

    deployed: float | None
    """Accuracy of the deployed network, 0..1; null without labels."""
    onnxruntime: float | None
    """Accuracy in onnxruntime, 0..1; null without labels."""
    agreement: OrAbsent[float] = None
    """Share of equal predictions, where there are no labels."""


class OnnxExport(Document):
    """An ONNX export, compared in onnxruntime."""

    printed_by = ("export --target onnx",)

    schema_: Literal["snnas.export.onnx/2"]
    run: str
    """Name of the run."""
    precision: str
    """float32 or float64."""
    inlined: bool
    """Whether the LIF is written out in place of a function of the model."""
    timesteps: int
    """T, timesteps per sample."""
    samples: int
    """How many samples."""
    accuracy: OnnxAccuracies
    """Accuracy, 0..1."""
    spikes_compared: int
    """How many spikes (neurons x timesteps x samples) were compared."""
    spikes_differing: int
    """How many spikes differ."""
    encoder_spikes_compared: int = 0
    """Of encoder.onnx with the encoder of the run's signals, on signals made up for it; 0: it has none."""
    output_difference: float
    """Largest difference of a summed output."""
    sar: float
    """Spiking activity rate: spikes / (neurons x timesteps), 0..1."""
    silence: OrAbsent[Silence] = None
    """What never fired, and whether the answers are any; absent of an export of before 0.2."""
    bytes: int
    """Size of model.onnx."""
