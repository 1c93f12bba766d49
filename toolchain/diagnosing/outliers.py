"""Numbers of a circuit that share one step with others, and lie so far off that they stretch it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from snnas.export.compiler.circuit import Circuit
from snnas.hw_sim.entries import values_of, with_values
from snnas.toolchain.diagnosing.hybrid import READOUT

OUTLIER = 24.0  # times the median magnitude; 12 at most in 44 trained networks (measured)
CLIPPED = 6.0  # times the median: four standard deviations of normal weights


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlier:
    """cause: of ``hybrid.CAUSES``. where: the synapse, host map or population. ratio: largest to median magnitude.

    most: where to clip ``count`` of ``total`` numbers. clipped: the circuit with that done.
    """

    cause: str
    what: str
    where: str
    ratio: float
    most: float
    count: int
    total: int
    clipped: Circuit


def outliers(circuit: Circuit) -> list[Outlier]:
    """Those of weights, of the host's maps (whose reach sets a population's unit), biases and readout; worst first."""
    return sorted(filter(None, _parts(circuit)), key=lambda o: -o.ratio)


def _parts(circuit: Circuit) -> Iterator[Outlier | None]:
    """The outlier, if there is one, of all that one step serves."""
    for field, cause, noun in (("links", "weights", "synapse"), ("host", "input", "host map")):
        for k, link in enumerate(getattr(circuit, field)):
            put = partial(_with_map, circuit, field, k)
            yield _outlier(cause, f"weights of {noun} {link.id}", link.id, link.map.weight, put)
    for k, group in enumerate(circuit.groups):
        if group.role == "neuron":
            put = partial(_with_bias, circuit, k)
            yield _outlier("bias", f"biases of population {group.id}", group.id, group.bias, put, group.threshold)
    for k, reading in enumerate(circuit.readout.readings):
        put = partial(_with_reading, circuit, k)
        yield _outlier("readout", "weights of the readout", READOUT, values_of(reading.weight), put)


def _outlier(
    cause: str, what: str, where: str, values: np.ndarray, put: Callable[[np.ndarray], Circuit], least: float = 0.0
) -> Outlier | None:
    """put: the circuit with other values in their place. least: nothing is clipped below it."""
    sizes = np.abs(values[values != 0])
    median = float(np.median(sizes)) if sizes.size > 1 else 0.0
    ratio = float(sizes.max()) / median if median else 0.0
    if ratio <= OUTLIER:
        return None
    most = max(CLIPPED * median, least)
    return Outlier(
        cause=cause, what=what, where=where, ratio=ratio, most=most, count=int((sizes > most).sum()),
        total=values.size, clipped=put(values.clip(-most, most)),
    )  # fmt: skip


def _changed(items: tuple[Any, ...], k: int, **other: Any) -> tuple[Any, ...]:
    """The records, the ``k``-th with other values."""
    return (*items[:k], replace(items[k], **other), *items[k + 1 :])


def _with_map(circuit: Circuit, field: str, k: int, weight: np.ndarray) -> Circuit:
    links = getattr(circuit, field)
    changed = _changed(links, k, map=replace(links[k].map, weight=weight))
    return replace(circuit, links=changed) if field == "links" else replace(circuit, host=changed)


def _with_bias(circuit: Circuit, k: int, bias: np.ndarray) -> Circuit:
    return replace(circuit, groups=_changed(circuit.groups, k, bias=bias))


def _with_reading(circuit: Circuit, k: int, weight: np.ndarray) -> Circuit:
    readings = circuit.readout.readings
    changed = _changed(readings, k, weight=with_values(readings[k].weight, weight))
    return replace(circuit, readout=replace(circuit.readout, readings=changed))
