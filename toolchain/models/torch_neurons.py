"""The neurons of spikingjelly 2, snntorch and norse as NIR's, in the numbers that each tool's own exporter writes.

So that a row of ``dialects.TABLE`` says what they mean. What the exporters get wrong is mended: parameters given once
are spread over the neurons, a soft reset is kept (spikingjelly's refuses it), and so is v_reset (norse's drops it).
Tools are told by their classes' names: none is imported here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from snnas.hw_sim.errors import UnsupportedError

if TYPE_CHECKING:
    from torch import nn

TOOLS = ("spikingjelly", "snntorch", "norse")
DT = 1e-4  # that snntorch's exporter knows, and spikingjelly's defaults to
NORSE_DT = 1e-3
KNOWN = {
    "spikingjelly": ("IFNode", "LIFNode", "ParametricLIFNode", "CUBALIFNode"),
    "snntorch": ("Leaky", "Synaptic"),
    "norse": ("LIFBoxCell", "LIFCell", "LIF", "IAFCell", "IAF"),
}
BASES = {
    "spikingjelly": {"BaseNode"},
    "snntorch": {"SpikingNeuron"},
    "norse": {"SNNCell", "SNN", "SNNRecurrentCell", "SNNRecurrent"},
}
LIFTED = ("LIF", "IAF")  # norse's that take all timesteps at once
RESETS = {"subtract": "snntorch", "zero": "snntorch-zero", "none": "snntorch-none"}


@dataclass(frozen=True, slots=True)
class Neuron:
    """node: of nir. convention: the row of the table. soft: spikingjelly's reset by subtraction."""

    node: Any
    convention: str
    soft: bool = False


def tool_of(module: nn.Module) -> str:
    """Whose a module is; '' of torch's own and of a user's."""
    found = (cls.__module__.split(".")[0] for cls in type(module).__mro__)
    return next((name for name in found if name in TOOLS), "")


def is_neuron(module: nn.Module) -> bool:
    """Whether it keeps a membrane, ours to express or not."""
    return bool({cls.__name__ for cls in type(module).__mro__} & BASES.get(tool_of(module), set()))


def mixes_time(module: nn.Module) -> bool:
    """Whether a neuron takes (T, B, ...), all timesteps at once."""
    if not is_neuron(module):
        return False
    kind = type(module).__name__
    return getattr(module, "step_mode", "s") == "m" or (tool_of(module) == "norse" and kind in LIFTED)


def gives_state(module: nn.Module) -> bool:
    """Whether a neuron gives (spikes, state), not spikes alone."""
    own: Any = module
    return tool_of(module) == "norse" or (tool_of(module) == "snntorch" and (own.output or not own.init_hidden))


def neuron_of(path: str, module: Any, shape: tuple[int, ...]) -> Neuron:
    """A module's neurons, one for each value of ``shape``; UnsupportedError (4) names what they are and the mend."""
    tool = tool_of(module)
    kind = next((c.__name__ for c in type(module).__mro__ if c.__name__ in KNOWN[tool]), "")
    if not kind or (tool == "norse" and type(module).__name__ not in KNOWN["norse"]):
        raise UnsupportedError(
            f"{path}: a {type(module).__name__} of {tool} has no counterpart here; expected {', '.join(KNOWN[tool])}"
        )
    make = {"spikingjelly": _spikingjelly, "snntorch": _snntorch, "norse": _norse}[tool]
    return make(path, module, kind, shape)


def _spread(value: Any, shape: tuple[int, ...]) -> np.ndarray:
    plain = value.detach().cpu().numpy() if hasattr(value, "detach") else value
    return np.array(np.broadcast_to(np.asarray(plain, np.float32), shape))


def _spikingjelly(path: str, module: Any, kind: str, shape: tuple[int, ...]) -> Neuron:
    """nir_exchange/to_nir.py of spikingjelly 2.0.0."""
    import nir

    soft = module.v_reset is None
    reset = _spread(0.0 if soft else module.v_reset, shape)
    threshold = _spread(module.v_threshold, shape)
    if kind == "IFNode":
        node: Any = nir.IF(r=_spread(1 / DT, shape), v_threshold=threshold, v_reset=reset)
    elif kind == "CUBALIFNode":
        synapse, membrane = DT / (1 - module.c_decay), DT / (1 - module.v_decay)
        node = nir.CubaLIF(
            tau_syn=_spread(synapse, shape), tau_mem=_spread(membrane, shape), r=_spread(membrane / DT, shape),
            v_leak=_spread(0.0, shape), v_threshold=threshold, v_reset=reset, w_in=_spread(synapse / DT, shape),
        )  # fmt: skip
    else:
        tau = 1 / float(module.w.detach().sigmoid()) if kind == "ParametricLIFNode" else module.tau
        gain = 1.0 if module.decay_input else tau
        node = nir.LIF(
            tau=_spread(tau * DT, shape), r=_spread(gain, shape), v_leak=reset.copy(), v_threshold=threshold,
            v_reset=reset,
        )  # fmt: skip
    return Neuron(node, "spikingjelly", soft)


def _snntorch(path: str, module: Any, kind: str, shape: tuple[int, ...]) -> Neuron:
    """export_nir.py of snntorch 1.0.0."""
    import nir

    odd = {
        "inhibition=True": module.inhibition,
        "state_quant": module.state_quant,
        "graded_spikes_factor": bool((_spread(module.graded_spikes_factor, shape) != 1).any()),
    }
    for name in [name for name, given in odd.items() if given]:
        raise UnsupportedError(f"{path}: {name} of snntorch has no counterpart in NIR; leave it out")
    threshold, zero = _spread(module.threshold, shape), _spread(0.0, shape)
    beta = np.clip(_spread(module.beta, shape), 0, 1)
    convention = RESETS[module.reset_mechanism]
    if kind == "Synaptic":
        alpha = np.clip(_spread(module.alpha, shape), 0, 1)
        if (alpha >= 1).any() or (beta >= 1).any():
            raise UnsupportedError(f"{path}: an alpha or beta of 1 never decays; NIR's CubaLIF does")
        synapse, membrane = DT / (1 - alpha), DT / (1 - beta)
        node: Any = nir.CubaLIF(
            tau_syn=synapse, tau_mem=membrane, r=membrane / DT, v_leak=zero, v_threshold=threshold, v_reset=zero,
            w_in=synapse / DT,
        )  # fmt: skip
        return Neuron(node, "snntorch-zero-late" if convention == "snntorch-zero" else convention)
    if convention == "snntorch" and not module.reset_delay:
        convention = "snntorch-now"
    if (beta >= 1).all():
        return Neuron(nir.IF(r=_spread(1 / DT, shape), v_threshold=threshold, v_reset=zero), convention)
    if (beta >= 1).any():
        raise UnsupportedError(f"{path}: some betas are 1, others not; make two layers of it")
    tau = DT / (1 - beta)
    return Neuron(nir.LIF(tau=tau, r=tau / DT, v_leak=zero, v_threshold=threshold, v_reset=zero), convention)


def _norse(path: str, module: Any, kind: str, shape: tuple[int, ...]) -> Neuron:
    """utils/export_nir.py of norse 1.1.0, at its default dt."""
    import nir

    p = module.p
    threshold, reset = _spread(p.v_th, shape), _spread(getattr(p, "v_reset", 0.0), shape)
    one = _spread(1.0, shape)
    if kind in ("IAFCell", "IAF"):
        return Neuron(nir.IF(r=one, v_threshold=threshold, v_reset=reset), "norse")
    tau, leak = NORSE_DT / _spread(p.tau_mem_inv, shape), _spread(p.v_leak, shape)
    if kind == "LIFBoxCell":
        return Neuron(nir.LIF(tau=tau, r=one, v_leak=leak, v_threshold=threshold, v_reset=reset), "norse")
    synapse = NORSE_DT / _spread(p.tau_syn_inv, shape)
    node = nir.CubaLIF(
        tau_syn=synapse, tau_mem=tau, r=one, v_leak=leak, v_threshold=threshold, v_reset=reset, w_in=one.copy()
    )
    return Neuron(node, "norse")


def rest(model: nn.Module) -> None:
    """Puts every neuron to rest, by its tool's own means."""
    for module in model.modules():
        tool: Any = module
        if tool_of(module) == "spikingjelly" and hasattr(module, "reset"):
            tool.reset()
        elif tool_of(module) == "snntorch" and is_neuron(module):
            for name in ("mem", "syn"):
                if hasattr(module, name):
                    setattr(module, name, tool.threshold.new_zeros(0))
