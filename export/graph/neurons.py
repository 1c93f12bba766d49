"""NIR's neurons as plain frozen data: what spikes, and what integrates at the end of a graph.

Parameters are float32 arrays of the neuron's shape, (C, H, W) or (N,), as stored; time constants in seconds. How the
ODEs become steps is the graph's ``Convention``; with k(tau) its share of a timestep,

    Lif      v <- v + k(tau) (v_leak - v + r x)
    If       v <- v + dt r x
    CubaLif  i <- i + k(tau_syn) (w_in x - i);  then v <- v + k(tau_mem) (v_leak - v + r i), with the new i, or
             with the one before it (``Convention.current``)
    Threshold  a spike iff x > threshold; no state
    Li       as Lif, CubaLi as CubaLif, I as If; none of the three spikes

State is 0 before the first timestep.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True, kw_only=True)
class Lif:
    """Leaks to v_leak; reset to v_reset."""

    tau: np.ndarray
    r: np.ndarray
    v_leak: np.ndarray
    v_threshold: np.ndarray
    v_reset: np.ndarray

    @property
    def shape(self) -> tuple[int, ...]:
        return self.tau.shape


@dataclass(frozen=True, slots=True, kw_only=True)
class If:
    """Integrates without a leak (tau = infinity)."""

    r: np.ndarray
    v_threshold: np.ndarray
    v_reset: np.ndarray

    @property
    def shape(self) -> tuple[int, ...]:
        return self.r.shape


@dataclass(frozen=True, slots=True, kw_only=True)
class CubaLif:
    """A LIF behind a synaptic current that decays by itself."""

    tau_syn: np.ndarray
    tau_mem: np.ndarray
    r: np.ndarray
    v_leak: np.ndarray
    w_in: np.ndarray
    v_threshold: np.ndarray
    v_reset: np.ndarray

    @property
    def shape(self) -> tuple[int, ...]:
        return self.tau_mem.shape


@dataclass(frozen=True, slots=True, kw_only=True)
class Threshold:
    """A memoryless neuron."""

    threshold: np.ndarray

    @property
    def shape(self) -> tuple[int, ...]:
        return self.threshold.shape


@dataclass(frozen=True, slots=True, kw_only=True)
class Li:
    """A leaky integrator that never spikes: its membrane is what is read."""

    tau: np.ndarray
    r: np.ndarray
    v_leak: np.ndarray

    @property
    def shape(self) -> tuple[int, ...]:
        return self.tau.shape


@dataclass(frozen=True, slots=True, kw_only=True)
class CubaLi:
    """A leaky integrator behind a synaptic current that decays by itself; it never spikes."""

    tau_syn: np.ndarray
    tau_mem: np.ndarray
    r: np.ndarray
    v_leak: np.ndarray
    w_in: np.ndarray

    @property
    def shape(self) -> tuple[int, ...]:
        return self.tau_mem.shape


@dataclass(frozen=True, slots=True, kw_only=True)
class I:  # noqa: E742 - NIR's name
    """An integrator that never spikes."""

    r: np.ndarray

    @property
    def shape(self) -> tuple[int, ...]:
        return self.r.shape


Spiking = Lif | If | CubaLif | Threshold
SPIKING = (Lif, If, CubaLif, Threshold)
Integrating = Li | CubaLi | I
INTEGRATING = (Li, CubaLi, I)
NEURONS = (*SPIKING, *INTEGRATING)
