"""Changes to training samples, drawn anew for every batch from a stream of their own and applied on the device.

``shift:N``: by up to N pixels each way, zeros come in (the usual random crop of an image padded by N). ``flip``: left
and right swapped, half of the time. ``cutout:N``: a square of N pixels is set to 0 (DeVries and Taylor 2017).
``rotate:D``: about the centre by up to D degrees each way, ``zoom:P``: larger or smaller by up to P percent; zeros come
in, images are interpolated, and of frames the nearest pixel is taken, so that spikes stay spikes. All timesteps of a
sample change alike. There is no normalisation: the deployed graph sees inputs as they come, and the stem's BN takes up
any scale. ``scale:P`` to ``noise:P`` are of signals (``signal_changes``) and drawn for an epoch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from snnas.hw_sim.errors import UsageError
from snnas.toolchain.data import signal_changes

if TYPE_CHECKING:
    from torch import Tensor

TURNS = ("rotate", "zoom")
KINDS = ("shift:N", "flip", "cutout:N", "rotate:D", "zoom:P", *(f"{kind}:P" for kind in signal_changes.KINDS))
MOST = {"shift": 1024, "cutout": 1024, "rotate": 180, "zoom": 90} | dict.fromkeys(signal_changes.KINDS, 100)


class Augmentation:
    """``specs``: what is done, in this order; UsageError for one that is not known.

    steps: of a batch; of_signals: of the signals that an epoch's samples are made of.
    """

    def __init__(self, specs: Sequence[str]) -> None:
        every = [_parse(spec) for spec in specs]
        self.of_signals = [step for step in every if step[0] in signal_changes.KINDS]
        self.steps = [step for step in every if step not in self.of_signals]

    def draw(self, samples: int, rng: np.random.Generator) -> list[np.ndarray[Any, Any]]:
        """Draw the changes of one batch: an array (samples, 2) per step.

        The whole batch is drawn, however many processes share it.
        """
        drawn: list[np.ndarray[Any, Any]] = []
        for kind, size in self.steps:
            if kind == "shift":
                drawn.append(rng.integers(-size, size + 1, (samples, 2)))
            elif kind == "flip":
                drawn.append(np.repeat(rng.random((samples, 1)) < 0.5, 2, axis=1))
            elif kind in TURNS:
                drawn.append(np.repeat(rng.uniform(-size, size, (samples, 1)), 2, axis=1))
            else:
                drawn.append(rng.random((samples, 2)))
        return drawn

    def apply(self, x: Tensor, drawn: Sequence[Tensor]) -> Tensor:
        """Return the changed batch (B, ..., H, W); ``drawn`` holds the rows of these samples, on its device."""
        import torch

        for (kind, size), of in zip(self.steps, drawn, strict=True):
            if kind == "shift":
                x = _shift(x, of)
            elif kind == "flip":
                x = torch.where(of[:, 0].reshape(-1, *[1] * (x.dim() - 1)), x.flip(-1), x)
            elif kind in TURNS:
                x = _turn(x, of[:, 0], kind)
            else:
                x = _cut(x, of, size)
        return x


def _parse(spec: Any) -> tuple[str, int]:
    kind, _, size = spec.partition(":") if isinstance(spec, str) else ("", "", "")
    if kind == "flip" and not size:
        return kind, 0
    if kind in MOST and size.isdecimal() and len(size) < 5 and 0 < int(size) <= MOST[kind]:
        return kind, int(size)
    raise UsageError(
        f"augmentation {str(spec)[:60]!r}, expected one of {', '.join(KINDS)} with N from 1 to 1024, D to 180, P to "
        "100 (of zoom to 90)"
    )


def _shift(x: Tensor, by: Tensor) -> Tensor:
    import torch

    height, width = x.shape[-2:]
    # Row and column that each pixel comes from; what lies outside is 0.
    rows = torch.arange(height, device=x.device)[None] - by[:, :1]
    columns = torch.arange(width, device=x.device)[None] - by[:, 1:]
    inside = ((rows >= 0) & (rows < height))[:, :, None] & ((columns >= 0) & (columns < width))[:, None]
    flat = rows.clamp(0, height - 1)[:, :, None] * width + columns.clamp(0, width - 1)[:, None]
    planes = x.reshape(len(x), -1, height * width)
    moved = planes.gather(2, flat.reshape(len(x), 1, -1).expand_as(planes)) * inside.reshape(len(x), 1, -1)
    return moved.reshape(x.shape)


def _turn(x: Tensor, by: Tensor, kind: str) -> Tensor:
    """x: (B, ..., H, W) turned by ``by`` (B,) degrees, or larger by as many percent."""
    import torch

    height, width = x.shape[-2:]
    by = by.to(x.dtype)
    angle = torch.deg2rad(by) if kind == "rotate" else torch.zeros_like(by)
    size = 1 + by / 100 if kind == "zoom" else torch.ones_like(by)
    cos, sin, zero = angle.cos() / size, angle.sin() / size, torch.zeros_like(by)
    # Where each pixel comes from, in units of half the height and half the width.
    rows = [torch.stack([cos, sin * (height / width), zero], 1), torch.stack([-sin * (width / height), cos, zero], 1)]
    planes = x.reshape(len(x), -1, height, width)
    grid = torch.nn.functional.affine_grid(torch.stack(rows, 1), list(planes.shape), align_corners=False)
    mode = "bilinear" if x.dim() == 4 else "nearest"
    return torch.nn.functional.grid_sample(planes, grid, mode, "zeros", align_corners=False).reshape(x.shape)


def _cut(x: Tensor, at: Tensor, size: int) -> Tensor:
    import torch

    height, width = x.shape[-2:]
    hidden = []
    for extent, centre in ((height, at[:, :1]), (width, at[:, 1:])):
        first = (centre * extent).floor() - size // 2
        place = torch.arange(extent, device=x.device)[None]
        hidden.append((place >= first) & (place < first + size))
    square = hidden[0][:, :, None] & hidden[1][:, None]
    return x * ~square.reshape(len(x), *[1] * (x.dim() - 3), height, width)
