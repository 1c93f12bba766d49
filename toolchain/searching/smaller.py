"""What a user can change so that a search has smaller networks: what ends for want of budget says it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from snnas.toolchain.data.load import Dataset
    from snnas.toolchain.searching.runner import Spec


def ways_out(spec: Spec, data: Dataset) -> str:
    """How an error ends that a budget is the cause of."""
    options = shrinking(spec, data)
    return "raise the budget" + (f", or search smaller networks with {options}" if options else "")


def shrinking(spec: Spec, data: Dataset) -> str:
    """``--channels, --cells and -T``: the options that have room below; '' where none has.

    Where the samples are frames, T is theirs: then the option of the data that settles how many, where there is one.
    """
    axes: dict[str, Any] = spec.settings.get("axes", {})  # of the method that searches sizes too
    least = {name: min(values) for name, values in axes.items() if name in ("channels", "hidden", "cells", "timesteps")}

    def smallest(name: str) -> int:
        return int(least.get(name, getattr(spec.network, name, 1)))

    heads = axes.get("head", [getattr(spec.network, "head", "linear")])
    found = ["--channels"] if smallest("channels") > 1 else []
    found += ["--hidden"] if smallest("hidden") > 1 and heads != ["linear"] else []
    found += ["--cells"] if smallest("cells") > 1 else []
    if data.x_train.ndim == 4:
        found += ["-T"] if smallest("timesteps") > 1 else []
    elif data.x_train.shape[1] > 1:
        found += _fewer_frames(data)
    return " and ".join(filter(None, [", ".join(found[:-1]), *found[-1:]]))


def _fewer_frames(data: Dataset) -> list[str]:
    """The option that settles how many frames a sample has; [] where its file does."""
    given = data.options
    if "frames" in given:
        return ["fewer --data frames="]
    if "window" in given:
        return ["a longer --data hop="]
    return ["a shorter --data slice="] if data.signal is not None else []
