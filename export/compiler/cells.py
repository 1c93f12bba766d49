"""A node's neurons as Loihi's: what a population has of its own, once dt, units and thresholds are settled.

Loihi's neurons of one population share a leak and a threshold. A node whose thresholds differ has each neuron's
membrane measured in units of its own; one whose leaks differ is refused, and so is any reset but to zero, unless the
program is for no chip of Loihi's family: then a reset may take something from the membrane.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from snnas.export.dialects.conventions import Convention, decay_of
from snnas.export.graph.graph import CubaLif, If, Lif, Spiking, Threshold
from snnas.hw_sim.errors import UnsupportedError


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """alpha: share of V that leaks in a timestep. threshold: of V. decay: share of U that goes in a timestep.

    gain: of the input, without axes or per neuron. leak: what is added to V at every timestep, per neuron. taken: what
    a spike takes from V; 0: V becomes 0.
    """

    alpha: float
    threshold: float
    gain: np.ndarray
    leak: np.ndarray
    decay: float = 1.0
    taken: float = 0.0


def cell_of(name: str, node: Spiking, convention: Convention, *, soft_reset: bool = False) -> Cell:
    """UnsupportedError where the node's neurons are not Loihi's; soft_reset: nor those that subtract."""
    soft = convention.reset != "zero" and not isinstance(node, Threshold)
    if soft and not soft_reset:
        raise UnsupportedError(
            f"node {name}: a soft reset (by subtraction) has no counterpart in Loihi's LIF, which resets to zero; "
            "fine-tune the network with a hard reset (snntorch: reset_mechanism='zero'), or run and price it on no "
            "chip of Loihi's family: estimate and check take --system generic"
        )
    v_reset = node.threshold * 0 if isinstance(node, Threshold) else node.v_reset
    if not soft and (v_reset != 0).any():
        raise UnsupportedError(
            f"node {name}: resets to {float(v_reset[v_reset != 0][0]):g}; Loihi's LIF resets to zero: where the "
            "membrane also starts there, subtract it from v_leak, v_threshold and v_reset"
        )
    threshold = (node.threshold if isinstance(node, Threshold) else node.v_threshold).astype(np.float64)
    if threshold.min() <= 0:
        raise UnsupportedError(
            f"node {name}: threshold {threshold.min():g}; a neuron of Loihi needs one above 0: raise it and the bias"
        )
    said = threshold.max()
    if convention.compare == ">=":
        # one float32: what float64 arithmetic rounds by is smaller, and is taken for nothing (grids.ROUNDED)
        threshold = np.nextafter(threshold.astype(np.float32), np.float32(-np.inf)).astype(np.float64)
    zero, decay = np.zeros(node.shape), 1.0
    match node:
        case Lif():
            alpha = share = _shared(name, "tau", decay_of(node.tau, convention))
            gain, leak = node.r.astype(np.float64), node.v_leak.astype(np.float64)
        case CubaLif():
            alpha = share = _shared(name, "tau_mem", decay_of(node.tau_mem, convention))
            decay = _shared(name, "tau_syn", decay_of(node.tau_syn, convention))
            gain = decay * node.w_in.astype(np.float64) * node.r.astype(np.float64)
            leak = node.v_leak.astype(np.float64)
        case If():
            alpha, share = 0.0, convention.dt
            gain, leak = node.r.astype(np.float64), zero
        case Threshold():
            alpha = share = 1.0
            gain, leak = np.ones(node.shape), zero
    top = threshold.max()
    unit = top / threshold  # exactly 1 where all are alike
    gain, leak = gain * unit, leak * unit
    if (gain == gain.reshape(-1)[0]).all():
        gain = gain.reshape(-1)[0]
    return Cell(
        alpha=alpha,
        threshold=float(top) / share,
        gain=np.asarray(gain),
        leak=leak,
        decay=decay,
        taken=_taken(name, float(said) / share, alpha, convention) if soft else 0.0,
    )


def _taken(name: str, threshold: float, alpha: float, convention: Convention) -> float:
    """What a spike takes from V at once: its threshold, or where that goes a timestep later what decays to it."""
    if convention.reset == "subtract":
        return threshold
    if alpha >= 1:
        raise UnsupportedError(
            f"node {name}: forgets its membrane in a timestep, of which the last spike's threshold would still be "
            "subtracted; reset it at once, or give it a longer tau"
        )
    return threshold / (1 - alpha)


def _shared(name: str, what: str, values: np.ndarray) -> float:
    """One number for the whole population."""
    if (values != values.reshape(-1)[0]).any():
        raise UnsupportedError(
            f"node {name}: {what} differs between its neurons; a population leaks alike: split the node by {what}"
        )
    return float(values.reshape(-1)[0])
