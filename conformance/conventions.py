"""What NIR leaves open, and the answers under which the expected values are recorded.

A NIR neuron is an ODE: no timestep, no form of decay, and tools disagree about the comparison and the reset. ``nir`` is
the plain reading (the paper's forward Euler); each of the others changes what its name says.
"""

from __future__ import annotations

from dataclasses import dataclass

DT = 1e-4  # seconds per timestep, of every graph; snntorch knows no other


@dataclass(frozen=True)
class Convention:
    """One set of answers.

    compare: a spike iff v ``>`` or ``>=`` threshold. reset: to v_reset (``zero``); the threshold is subtracted at once
    (``subtract``), or from the next timestep's membrane, undecayed (``late``). decay: a timestep replaces the share
    dt / tau of v (``euler``) or 1 - exp(-dt / tau) (``exact``). current: the membrane behind a synaptic current sees
    that of its own timestep (``now``) or of the one before (``late``). start: membranes begin at 0 (``zero``), at
    v_leak (``leak``) or at v_reset (``reset``); currents always at 0.
    """

    words: str
    compare: str = ">"
    reset: str = "zero"
    decay: str = "euler"
    current: str = "now"
    start: str = "zero"


CONVENTIONS = {
    "nir": Convention("forward Euler from v = 0, a spike iff v > threshold, v is v_reset after a spike"),
    "ge": Convention("a spike iff v >= threshold", compare=">="),
    "subtract": Convention("a spike subtracts the threshold from v", reset="subtract"),
    "subtract-late": Convention("a spike subtracts the threshold from v, with the next timestep", reset="late"),
    "exact-decay": Convention("decays are 1 - exp(-dt / tau), not dt / tau", decay="exact"),
    "late-current": Convention("a membrane sees the synaptic current of the timestep before", current="late"),
    "start-leak": Convention("a membrane begins at v_leak", start="leak"),
    "start-reset": Convention("a membrane begins at v_reset", start="reset"),
    "exact-ge-subtract": Convention(
        "exact decays, >=, subtraction: what sinabs and rockpool train", compare=">=", reset="subtract", decay="exact"
    ),
}
BASE = "nir"
