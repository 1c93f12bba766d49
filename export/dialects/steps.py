"""A dialect in numbers: what each neuron of a graph does in a timestep, and the graph of ours that does the same."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from snnas.export.dialects import conventions
from snnas.export.dialects.conventions import DT, OURS, Convention, Reset
from snnas.export.dialects.table import Dialect, When
from snnas.export.formats.nir_file import read_nir
from snnas.export.graph.graph import NEURONS, CubaLi, CubaLif, Graph, I, If, Li, Lif, Threshold
from snnas.hw_sim.errors import UnsupportedError, UsageError


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A neuron node's timestep in numbers, float64 arrays of its shape.

    i <- syn_keep i + syn_gain x (without a synapse: i = x);  v <- keep v + shift + gain i (``syn_late``: the i before);
    n spikes of v; then
    v <- level where n > 0, or with ``subtract`` v - n threshold; ``when``: see ``Dialect``. threshold None: nothing
    spikes, v is the output. keep None: no state, v = x.
    """

    keep: np.ndarray | None
    gain: np.ndarray | None = None
    shift: np.ndarray | None = None
    syn_keep: np.ndarray | None = None
    syn_gain: np.ndarray | None = None
    syn_late: bool = False
    threshold: np.ndarray | None = None
    level: np.ndarray | None = None
    start: np.ndarray | None = None
    subtract: bool = False
    when: When = "now"
    strict: bool = True
    many: bool = False

    def key(self, *, ties: bool = True) -> tuple[Any, ...]:
        """Equal for steps that do the same on every input, rounding aside. ties: ``>`` and ``>=`` are different."""
        parts = (self.keep, self.gain, self.shift, self.syn_keep, self.syn_gain, self.start)
        state = (*(_rounded(a) for a in parts), self.syn_late)
        if self.threshold is None:
            return state
        fires = (_rounded(self.threshold), self.many, self.strict if ties else None)
        if self.keep is None:
            return fires
        if self.when == "never":
            return (*state, *fires, "never")
        return (*state, *fires, self.subtract or _rounded(self.level), "now" if self.same_when_late else self.when)

    @property
    def same_when_late(self) -> bool:
        """Without a leak a threshold that is lost a timestep later is the same one."""
        return self.when == "late" and self.subtract and self.keep is not None and bool((self.keep == 1).all())


def _rounded(values: np.ndarray | None) -> bytes | None:
    """The array's bytes with 12 bits of fraction: what is closer than 1e-4 is one, but for luck."""
    if values is None:
        return None
    bits = (values + 0.0).astype(np.float32).view(np.int32)
    return ((bits + 0x400) & ~0x7FF).tobytes()


def steps(graph: Graph, dialect: Dialect, own: Mapping[str, Dialect] | None = None) -> dict[str, Step]:
    """Every neuron node's step; own: of nodes that have a dialect of their own.

    UnsupportedError, in one line, where the dialect makes no sense of a node; UsageError for one that is no neuron.
    """
    own, neurons = own or {}, graph.of_type(NEURONS)
    for name in own:
        if name not in neurons:
            raise UsageError(f"--convention {name}={own[name].name}: the graph's neurons are {', '.join(neurons)}")
    return {name: _step(name, graph.nodes[name], own.get(name, dialect)) for name in neurons}


def possible_steps(graph: Graph, dialect: Dialect) -> dict[str, Step]:
    """The steps of those neurons that the dialect makes sense of."""
    found = {}
    for name in graph.of_type(NEURONS):
        with contextlib.suppress(UnsupportedError):
            found[name] = _step(name, graph.nodes[name], dialect)
    return found


def _step(name: str, node: Any, dialect: Dialect) -> Step:
    p = {f.name: getattr(node, f.name).astype(np.float64) for f in fields(node)}
    c = dialect.convention
    common: dict[str, Any] = {"strict": c.compare == ">", "many": dialect.many}
    if isinstance(node, Threshold):
        return Step(keep=None, threshold=p["threshold"], **common)
    if isinstance(node, Lif | CubaLif | If):
        start = p["v_reset"] if dialect.start_at_reset else np.zeros_like(p["v_reset"])
        common |= {"threshold": p["v_threshold"], "level": p["v_reset"], "start": start}
        common |= {"subtract": c.reset != "zero", "when": "late" if c.reset == "late" else dialect.when}
    if isinstance(node, If | I):
        gain = node.r * np.float32(c.dt) if dialect.drive == "ode" else np.ones_like(node.r)
        gain = gain.astype(np.float64)
        return Step(keep=np.ones_like(gain), gain=gain, shift=np.zeros_like(gain), **common)
    tau = p["tau_mem"] if isinstance(node, CubaLif | CubaLi) else p["tau"]
    # float32, as the tools' own arithmetic has it: a tau of two dt then halves exactly
    dt = _dt_of_r(name, tau, p["r"]) if dialect.dt_from_r else np.full(tau.shape, np.float64(np.float32(c.dt)))
    k = _share(name, tau, dt, c)
    gain = {"ode": k * p["r"], "share": k, "unit": np.ones_like(k)}[dialect.drive]
    if isinstance(node, CubaLif | CubaLi):
        s = _share(name, p["tau_syn"], dt, c)
        gained = {"ode": s * p["w_in"], "jump": np.ones_like(s), "decayed": 1 - s}[dialect.synapse]
        common |= {"syn_keep": 1 - s, "syn_gain": gained, "syn_late": c.current == "late"}
    return Step(keep=1 - k, gain=gain, shift=k * p["v_leak"], **common)


def _share(name: str, tau: np.ndarray, dt: np.ndarray, convention: Convention) -> np.ndarray:
    longest = {"euler": 1.000001, "exact": 80.0}[convention.decay]  # exact: float32 holds nothing of it any more
    if (dt > longest * tau).any():
        raise UnsupportedError(f"node {name}: tau {float(tau.min()):g} is too short for a timestep of {dt.max():g}")
    return conventions.decay_of(tau / dt, replace(convention, dt=1.0))


def _dt_of_r(name: str, tau: np.ndarray, r: np.ndarray) -> np.ndarray:
    """The dt with r = (tau / dt) exp(-dt / tau), by Newton's method on y exp(y) = 1 / r, y = dt / tau."""
    if (r <= 0).any():
        raise UnsupportedError(f"node {name}: r {float(r.min()):g} says no timestep; it must be > 0")
    wanted = 1 / r
    y = np.log1p(wanted)
    for _ in range(50):
        y -= (y * np.exp(y) - wanted) / (np.exp(y) * (1 + y))
    return y * tau


# ------------------------------------------------------------------------------------------- back into a graph of ours


def read_dialect(
    path: Path,
    dialect: Dialect,
    *,
    delayed: frozenset[tuple[str, str]] | None = None,
    own: Mapping[str, Dialect] | None = None,
) -> Graph:
    """A foreign file as the graph of ours that does what the file means in the dialect's tool.

    delayed: edges that wait a timestep, in place of what the metadata says. own: nodes with a dialect of their own.
    Errors: ``read_nir``'s, ``to_graph``'s.
    """
    at = dialect.convention
    readable = Convention(dt=at.dt, decay="exact", readout=at.readout)  # takes every tau; Delays count in its dt
    return to_graph(read_nir(path, delayed=delayed, convention=readable), dialect, own)


def to_graph(graph: Graph, dialect: Dialect, own: Mapping[str, Dialect] | None = None) -> Graph:
    """The graph that does under our convention what ``graph`` does in the dialect's tool, float32 rounding aside.

    Exact decays, gains and synapses become tau, r and w_in at our dt; ``>=`` becomes a threshold one float32 below; a
    start at v_reset becomes a membrane counted from there. A reset by subtraction, at once or a timestep later, stays
    in the graph's convention, for the targets that have it. UnsupportedError where our neurons cannot say it: several
    spikes in a timestep, and a reset to a level that acts a timestep later or twice.
    """
    found = steps(graph, dialect, own)
    leaky = any(isinstance(graph.nodes[n], Lif | CubaLif | Li | CubaLi) for n in found)
    dt = float(np.float32(DT)) if leaky else DT  # to which a float32 tau, or r, has exact ratios: ties stay ties
    nodes = dict(graph.nodes)
    for name, step in found.items():
        nodes[name] = _rewritten(name, nodes[name], step, dt)
    soft = any(s.subtract for s in found.values())
    hard = [name for name, s in found.items() if s.keep is not None and s.threshold is not None and not s.subtract]
    if soft and hard:
        raise UnsupportedError(
            f"node {hard[0]}: resets to a level while others subtract; a graph of ours has one reset for all, so "
            "fine-tune with one"
        )
    seen = {s.syn_late for s in found.values() if s.syn_keep is not None}
    if len(seen) > 1:
        raise UnsupportedError(
            "some membranes see the current of their timestep, others that of the one before; a graph of ours has one "
            "answer for all"
        )
    late = any(s.when == "late" for s in found.values())
    reset: Reset = "late" if soft and late else "subtract" if soft else "zero"
    convention = replace(OURS, dt=dt, reset=reset, current=dialect.convention.current, readout=graph.convention.readout)
    return replace(graph, nodes=nodes, convention=convention)


def _rewritten(name: str, node: Any, s: Step, dt: float) -> Any:
    base = np.float64(0.0) if s.start is None else s.start  # membranes are counted from where they start
    threshold = None
    if s.threshold is not None:
        _check(name, s)
        threshold = (s.threshold - base).astype(np.float32)
        if not s.strict:
            threshold = np.nextafter(threshold, np.float32(-np.inf))
    if isinstance(node, Threshold):
        return replace(node, threshold=_given(threshold))
    keep, gain, shift = _given(s.keep), _given(s.gain), _given(s.shift)
    share = 1 - keep
    leaks = share > 0
    if leaks.any() != leaks.all():
        raise UnsupportedError(f"node {name}: some of its neurons leak and some do not; split the node in two")
    values: dict[str, Any] = {}
    if isinstance(node, If | I):
        values["r"] = gain / dt
    else:
        if not leaks.all():
            raise UnsupportedError(f"node {name}: its time constant is too long for a leak at a step of {dt:g} s")
        tau = "tau_mem" if isinstance(node, CubaLif | CubaLi) else "tau"
        values |= {tau: dt / share, "r": gain / share, "v_leak": shift / share - base}
    if isinstance(node, CubaLif | CubaLi):
        decay = 1 - _given(s.syn_keep)
        if not (decay > 0).all():
            raise UnsupportedError(f"node {name}: its tau_syn is too long for a decay at a step of {dt:g} s")
        values |= {"tau_syn": dt / decay, "w_in": _given(s.syn_gain) / decay}
    if threshold is not None:
        values |= {"v_threshold": threshold, "v_reset": _given(s.level) - base}
    return type(node)(**{n: np.asarray(v).astype(np.float32) for n, v in values.items()})


def _check(name: str, s: Step) -> None:
    if s.many:
        raise UnsupportedError(
            f"node {name}: spikes several times in a timestep, a chip's neuron once; train and record with one spike a "
            "timestep (sinabs: spike_fn=SingleSpike; rockpool: max_spikes_per_dt=1)"
        )
    if s.when == "never":
        raise UnsupportedError(
            f"node {name}: never resets, which no neuron of ours or of a chip does; where it ends the graph, read its "
            "membrane: --readout membrane-last (or membrane-max, membrane-sum)"
        )
    if s.when != "now" and not (s.when == "late" and s.subtract):
        raise UnsupportedError(
            f"node {name}: its reset acts {'a timestep later' if s.when == 'late' else 'twice'}, which no neuron of "
            "ours or of a chip does; fine-tune with a reset to zero (snntorch: Leaky(reset_mechanism='zero'))"
        )


def _given(values: np.ndarray | None) -> np.ndarray:
    assert values is not None  # of every neuron but a Threshold; of a synapse in every CubaLif
    return values
