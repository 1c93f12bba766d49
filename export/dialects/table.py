"""What tools mean by the NIR files that they write: one row per tool and option, and what a row makes of a neuron.

A ``Convention`` holds the four answers that our own executors take; a ``Dialect`` adds what only foreign tools do.
``dialect_steps`` turns both into plain numbers per neuron and into graphs of ours, ``dialect_run`` executes them. The
rows were read in the tools' source and hold on recordings of the versions named (docs/whose.md).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from difflib import get_close_matches
from itertools import product
from typing import Any, Literal

from snnas.export.dialects.conventions import DT, OURS, Convention
from snnas.export.graph.graph import CubaLi, CubaLif, Graph, Li, Lif
from snnas.hw_sim.errors import UsageError

Drive = Literal["ode", "share", "unit"]
Synapse = Literal["ode", "jump", "decayed"]
When = Literal["now", "late", "twice", "never"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """How a tool steps the neurons of its file.

    convention: dt, decay, comparison, reset. dt_from_r: dt is the one with r = (tau / dt) exp(-dt / tau), and
    ``convention.dt`` unused. drive: what a membrane's input is multiplied with: r and the share k of v that a timestep
    replaces (ode), k (share: r ignored), or nothing (unit); of an IF: r dt (ode), or nothing. synapse: a synaptic
    current's step, with k of its own: i + k (w_in x - i) (ode), (1 - k) i + x (jump), (1 - k) (i + x) (decayed).
    when: a reset acts at once (now), or with the next timestep (late): the threshold is subtracted undecayed, or that
    step's v is v_reset. twice: what is still above the threshold after its reset loses another one with the next step,
    and gets it back where that step does not spike. never: nothing is reset. many: a neuron spikes as often as the
    threshold fits into v, not once. start_at_reset: v starts at v_reset, not 0.
    """

    name: str = ""
    tool: str = ""
    convention: Convention = OURS
    dt_from_r: bool = False
    drive: Drive = "ode"
    synapse: Synapse = "ode"
    when: When = "now"
    many: bool = False
    start_at_reset: bool = False
    note: str = ""

    @property
    def choices(self) -> dict[str, Any]:
        """Its answers by name; two dialects with equal choices are one."""
        c = self.convention
        dt: float | str = "from r" if self.dt_from_r else c.dt
        return {
            "dt": dt, "decay": c.decay, "drive": self.drive, "synapse": self.synapse, "current": c.current,
            "compare": c.compare, "reset": c.reset, "when": self.when, "many": self.many,
            "start_at_reset": self.start_at_reset,
        }  # fmt: skip

    def __str__(self) -> str:
        c = self.convention
        when = {"now": "", "late": ", a timestep later", "twice": ", and again a timestep later", "never": ""}[
            self.when
        ]
        reset = "reset to v_reset" if c.reset == "zero" else "reset by subtraction"
        return ", ".join(
            (
                "dt from r" if self.dt_from_r else f"dt = {c.dt:g}",
                "Euler steps" if c.decay == "euler" else "exact decay",
                {"ode": "input times r and the share of a step", "share": "input times the share of a step, r ignored",
                 "unit": "input as it comes, r ignored"}[self.drive],
                f"a spike iff v {c.compare} threshold" + (", several in a timestep" if self.many else ""),
                "no reset" if self.when == "never" else reset + when,
                *(["a membrane sees the current of the timestep before"] if c.current == "late" else []),
            )
        )  # fmt: skip


def _variants(base: Dialect, options: dict[str, tuple[str, dict[str, Any]]]) -> Iterator[Dialect]:
    """The base and every combination of the named options: what a user sets, and the fields that it changes.

    ``reset`` is a field of the convention.
    """
    for chosen in product((False, True), repeat=len(options)):
        picked = [name for name, on in zip(options, chosen, strict=True) if on]
        changed = {field: value for name in picked for field, value in options[name][1].items()}
        convention = replace(base.convention, reset=changed.pop("reset", base.convention.reset))
        note = ", ".join(options[name][0] for name in picked) or base.note
        yield replace(base, name="-".join((base.name, *picked)), convention=convention, note=note, **changed)


def _table() -> Iterator[Dialect]:
    # snntorch 1.0.0, export_nir.py: tau = dt / (1 - beta), r = tau / dt, v_reset = 0 whatever the reset mechanism is;
    # _neurons/leaky.py: mem = beta mem + x - reset threshold, with reset found in the membrane of the step before.
    snntorch = Dialect(
        name="snntorch", tool="snntorch", convention=replace(OURS, reset="subtract"), when="late",
        note="reset_mechanism='subtract', its default",
    )  # fmt: skip
    yield snntorch
    yield replace(snntorch, name="snntorch-now", when="twice", note="reset_delay=False")
    yield replace(snntorch, name="snntorch-zero", convention=OURS, when="now", note="Leaky(reset_mechanism='zero')")
    yield replace(snntorch, name="snntorch-none", convention=OURS, when="never", note="reset_mechanism='none'")
    # Synaptic, RLeaky and RSynaptic take the whole of the next step's membrane, its input too.
    yield replace(snntorch, name="snntorch-zero-late", convention=OURS, note="Synaptic or RLeaky with 'zero'")
    # norse 1.1.0, export_nir.py: tau = dt / tau_mem_inv = dt tau at its default dt of 1e-3, so a step is dt squared;
    # functional/lif.py: the current jumps by the whole input, decays after v has seen it; iaf.py knows no dt.
    norse = Dialect(
        name="norse", tool="norse", convention=Convention(dt=1e-6), drive="share", synapse="jump",
        note="written with dt = 1e-3, the default: tau in the file is dt times tau",
    )  # fmt: skip
    yield norse
    yield replace(norse, name="norse-seconds", convention=Convention(dt=1e-3), note="tau in seconds, read at dt = 1e-3")
    # sinabs 3.1.3, nir.py: tau in timesteps, r = 1; functional/lif.py: alpha = exp(-1 / tau); v = threshold fires.
    sinabs = Dialect(
        name="sinabs", tool="sinabs", convention=Convention(dt=1.0, decay="exact", compare=">=", reset="subtract"),
        drive="share", many=True, note="LIF and IAF as they come: MultiSpike, MembraneSubtract, norm_input",
    )  # fmt: skip
    single, hard = ("SingleSpike", {"many": False}), ("MembraneReset", {"reset": "zero"})
    yield from _variants(sinabs, {"raw": ("norm_input=False", {"drive": "unit"}), "single": single, "zero": hard})
    # spikingjelly 2.0.0, nir_exchange/to_nir.py: tau_steps dt, r = 1 or tau / dt; refuses soft reset by itself;
    # base_node.py: v starts at v_reset, heaviside(0) = 1.
    yield Dialect(
        name="spikingjelly", tool="spikingjelly", convention=replace(OURS, compare=">="), start_at_reset=True,
        note="export_to_nir(dt=1e-4), its default",
    )  # fmt: skip
    # rockpool 3.1.0, nir.py: r = tau exp(-dt / tau) / dt; lif_torch.py: current and membrane decay exactly, the input
    # with the current; floor(v / threshold) spikes.
    rockpool = Dialect(
        name="rockpool", tool="rockpool", convention=sinabs.convention, dt_from_r=True, drive="unit",
        synapse="decayed", many=True, note="LIFTorch, LIFNeuronTorch",
    )  # fmt: skip
    yield from _variants(rockpool, {"single": ("max_spikes_per_dt=1", {"many": False})})
    nir = Dialect(name="nir", tool="nir", note="forward Euler at dt = 1e-4, as in NIR's paper; snnas writes it too")
    yield nir
    late = replace(OURS, current="late")
    yield replace(nir, name="nir-late", convention=late, note="a membrane sees the current of the timestep before")


TABLE: dict[str, Dialect] = {d.name: d for d in _table()}

# In units of the file's time constants: seconds at the steps that tools use, milliseconds, timesteps.
DTS = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 0.1, 1.0)


def named(name: str) -> Dialect:
    """A row of the table, in whatever case; UsageError lists them."""
    found = TABLE.get(name.lower())
    if found is None:
        near = get_close_matches(name.lower(), TABLE, n=1)
        meant = f" (did you mean {near[0]}?)" if near else ""
        raise UsageError(f"--convention {name!r}: expected {', '.join(TABLE)}{meant}")
    return found


def elementary(graph: Graph) -> Iterator[Dialect]:
    """Every combination of choices that says something of this graph's neurons, for a tool that is not in the table."""
    cuba = bool(graph.of_type((CubaLif, CubaLi)))
    times = [(d, False) for d in DTS] + [(DT, True)] if graph.of_type((Lif, Li, CubaLif, CubaLi)) else [(DT, False)]
    resets = (("zero", "now"), ("subtract", "now"), ("subtract", "late"), ("zero", "late"), ("zero", "never"))
    synapses = (*product(("ode", "jump", "decayed"), ("now", "late")),) if cuba else (("ode", "now"),)
    for (dt, from_r), decay, drive, (synapse, current), compare, (reset, when), many in product(
        times, ("exact", "euler"), ("ode", "share", "unit"), synapses, (">", ">="), resets, (False, True),
    ):  # fmt: skip
        convention = Convention(dt=dt, decay=decay, compare=compare, reset=reset, current=current)  # type: ignore[arg-type]
        yield Dialect(convention=convention, dt_from_r=from_r, drive=drive, synapse=synapse, when=when, many=many)  # type: ignore[arg-type]


def neighbours(dialect: Dialect) -> Iterator[tuple[str, Dialect]]:
    """Dialects that differ in one choice, with the choice's name: what a recording should have told apart."""
    c = dialect.convention
    plain = replace(dialect, name="", tool="", note="")
    changes: list[tuple[str, list[Dialect]]] = [
        ("decay", [replace(plain, convention=replace(c, decay="exact" if c.decay == "euler" else "euler"))]),
        ("drive", [replace(plain, drive=d) for d in ("ode", "share", "unit") if d != dialect.drive]),
        ("synapse", [replace(plain, synapse=s) for s in ("ode", "jump", "decayed") if s != dialect.synapse]),
        ("current", [replace(plain, convention=replace(c, current="now" if c.current == "late" else "late"))]),
        ("compare", [replace(plain, convention=replace(c, compare=">" if c.compare == ">=" else ">="))]),
        ("reset", [replace(plain, convention=replace(c, reset="zero" if c.reset == "subtract" else "subtract"))]),
        ("when", [replace(plain, when="late" if dialect.when == "now" else "now")]),
        ("many", [replace(plain, many=not dialect.many)]),
    ]
    for name, changed in changes:
        yield from ((name, d) for d in changed)
