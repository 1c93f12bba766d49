"""Numbers of a circuit that share one step with others, and lie so far off that they stretch it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from snnas.export.compiler.circuit import Circuit, Link
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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    """values: what one step serves. put: the circuit with others in their place. least: nothing is clipped below it."""

    cause: str
    what: str
    where: str
    values: np.ndarray
    put: Callable[[np.ndarray], Circuit]
    least: float = 0.0


def outliers(circuit: Circuit) -> list[Outlier]:
    """Those of weights, of the host's maps (whose reach sets a population's unit), biases and readout; worst first."""
    found = []
    for part in _parts(circuit):
        sizes = np.abs(part.values[part.values != 0])
        median = float(np.median(sizes)) if sizes.size > 1 else 0.0
        ratio = float(sizes.max()) / median if median else 0.0
        if ratio > OUTLIER:
            most = max(CLIPPED * median, part.least)
            found.append(
                Outlier(
                    cause=part.cause,
                    what=part.what,
                    where=part.where,
                    ratio=ratio,
                    most=most,
                    count=int((sizes > most).sum()),
                    total=part.values.size,
                    clipped=part.put(part.values.clip(-most, most)),
                )
            )
    return sorted(found, key=lambda o: -o.ratio)


def _parts(circuit: Circuit) -> Iterator[_Part]:
    for k, link in enumerate(circuit.links):
        put = partial(_with_link, circuit, k)
        yield _Part(
            cause="weights", what=f"weights of synapse {link.id}", where=link.id, values=link.map.weight, put=put
        )
    for k, link in enumerate(circuit.host):
        put = partial(_with_host, circuit, k)
        yield _Part(
            cause="input", what=f"weights of host map {link.id}", where=link.id, values=link.map.weight, put=put
        )
    for k, group in enumerate(circuit.groups):
        if group.role == "neuron":
            yield _Part(
                cause="bias",
                what=f"biases of population {group.id}",
                where=group.id,
                values=group.bias,
                put=partial(_with_bias, circuit, k),
                least=group.threshold,
            )
    for k, reading in enumerate(circuit.readout.readings):
        put = partial(_with_reading, circuit, k)
        yield _Part(
            cause="readout", what="weights of the readout", where=READOUT, values=values_of(reading.weight), put=put
        )


def _other(links: tuple[Link, ...], k: int, weight: np.ndarray) -> tuple[Link, ...]:
    return (*links[:k], replace(links[k], map=replace(links[k].map, weight=weight)), *links[k + 1 :])


def _with_link(circuit: Circuit, k: int, weight: np.ndarray) -> Circuit:
    return replace(circuit, links=_other(circuit.links, k, weight))


def _with_host(circuit: Circuit, k: int, weight: np.ndarray) -> Circuit:
    return replace(circuit, host=_other(circuit.host, k, weight))


def _with_bias(circuit: Circuit, k: int, bias: np.ndarray) -> Circuit:
    groups = circuit.groups
    return replace(circuit, groups=(*groups[:k], replace(groups[k], bias=bias), *groups[k + 1 :]))


def _with_reading(circuit: Circuit, k: int, weight: np.ndarray) -> Circuit:
    readings = circuit.readout.readings
    changed = (*readings[:k], replace(readings[k], weight=with_values(readings[k].weight, weight)), *readings[k + 1 :])
    return replace(circuit, readout=replace(circuit.readout, readings=changed))
