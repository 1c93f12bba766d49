"""What feeds what in a torch module of spiking layers, traced by ``torch.fx``: one timestep of it.

A module may be one timestep (its neurons keep their state), all of them (spikingjelly's step mode 'm', norse's lifted
neurons), or hold a loop over a fixed number of timesteps, as snntorch's tutorials do. Sums keep all their terms.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from snnas.hw_sim.errors import UnsupportedError
from snnas.toolchain.models.torch_neurons import gives_state, is_neuron, mixes_time

if TYPE_CHECKING:
    from torch import fx, nn

INPUT, OUTPUT = "input", "output"  # nodes of the graph's own
LAYERS = ("Linear", "Conv1d", "Conv2d", "AvgPool2d", "MaxPool2d", "BatchNorm1d", "BatchNorm2d", "Flatten")
SILENT = ("Identity", "Dropout", "Dropout1d", "Dropout2d", "AlphaDropout")  # in eval mode
REDUCES = ("sum", "mean")  # over timesteps, behind the last layer
RESHAPES = ("flatten", "view", "reshape")
STATE = "state"


@dataclass(frozen=True, slots=True)
class Flow:
    """A value: the layers whose sum it is. time: its axis of timesteps, if it has one.

    steps: how many timesteps (of a loop) it holds. gathered: stacked or summed over timesteps, behind the last layer.
    """

    sources: tuple[str, ...]
    time: int | None = None
    steps: int = 1
    gathered: bool = False


@dataclass(slots=True)
class Traced:
    """modules: by their name in the graph, in the order of their first call. feeds: what each reads.

    flat: a Flatten behind a layer. calls: of every neuron. output, time: the layers whose sum the module answers, and
    that answer's axis of timesteps. indexed: the axis along which the input is taken apart, a frame at a time.
    """

    modules: dict[str, nn.Module] = field(default_factory=dict)
    feeds: dict[str, tuple[str, ...]] = field(default_factory=dict)
    flat: set[str] = field(default_factory=set)
    calls: dict[str, int] = field(default_factory=dict)
    output: tuple[str, ...] = ()
    time: int | None = None
    indexed: int | None = None
    whole: bool = False
    """All timesteps pass in one call, time first."""

    @property
    def loops(self) -> bool:
        return self.indexed is not None or any(count > 1 for count in self.calls.values())


def name_of(module: nn.Module) -> str:
    """The kind of a layer: of torch's, or of what spikingjelly makes of it."""
    return next((cls.__name__ for cls in type(module).__mro__ if cls.__name__ in (*LAYERS, *SILENT)), "")


def trace_module(model: nn.Module) -> Traced:
    """Traces a module; UnsupportedError (4) names what in it has no counterpart in a graph of layers, and the mend."""
    from torch import fx

    class Tracer(fx.Tracer):
        def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
            leaf = bool(name_of(m)) or is_neuron(m)
            return leaf or (not any(True for _ in m.children()) and super().is_leaf_module(m, module_qualified_name))

    taken = list(inspect.signature(model.forward).parameters.values())[1:]
    fixed = {p.name: p.default for p in taken if p.default is not inspect.Parameter.empty}
    if len(fixed) < len([p for p in taken if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]):
        raise UnsupportedError(
            f"{type(model).__name__}.forward takes {', '.join(p.name for p in taken)} besides its input; keep neurons' "
            "state hidden (snntorch: init_hidden=True), or give these a default"
        )
    try:
        graph = Tracer().trace(model, concrete_args=fixed or None)
    except Exception as error:  # whatever a forward does with what is no tensor
        why = " ".join(str(error).split())[:160]
        raise UnsupportedError(
            f"{type(model).__name__}.forward cannot be traced ({type(error).__name__}: {why}); loop over a fixed "
            "number of timesteps with x[t] or x[:, t], or hand over the module of one timestep"
        ) from None
    return _Reader(model).read(graph)


class _Reader:
    """Follows values through a traced graph."""

    def __init__(self, model: nn.Module) -> None:
        self.model, self.found = model, Traced()
        self.found.whole = any(mixes_time(m) for m in model.modules())
        self.time = 0 if self.found.whole else None  # the axis that every layer's values have
        self.paths = {path for path, _ in model.named_modules()}
        self.values: dict[Any, Any] = {}

    def read(self, graph: fx.Graph) -> Traced:
        for node in graph.nodes:
            self.values[node] = self._value(node)
        found = self.found
        if not found.calls:
            raise UnsupportedError(f"{type(self.model).__name__}: no spiking neuron of spikingjelly, snntorch or norse")
        return found

    def _value(self, node: fx.Node) -> Any:
        if node.op == "placeholder":
            return Flow((INPUT,), self.time) if not self.values else STATE
        if node.op == "call_module":
            return self._module(str(node.target), node)
        if node.op in ("call_function", "call_method"):
            name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", str(node.target))
            return self._function(name, node)
        if node.op == "output":
            self._answer(node.args[0])
        return STATE

    def _answer(self, argument: Any) -> None:
        """What the module gives: a value, a list of one for each timestep, or a tuple of it and of states."""
        values = self._leaves(argument)
        value: Any = values[0] if values else STATE
        sources = self._sources(value, "the output")
        others = [v.sources for v in values if isinstance(v, Flow) and v.sources != sources]
        if others:
            raise UnsupportedError(
                f"the output is a list of {_joined(sources)} and {_joined(others[0])}; return the one that answers"
            )
        listed, wanted = sum(v == value for v in values), max(self.found.calls.values(), default=1)
        if wanted not in (value.steps, listed):
            raise UnsupportedError(
                f"the output holds {max(value.steps, listed)} of the {wanted} timesteps; stack or sum all of them"
            )
        self.found.output, self.found.time = sources, value.time

    def _of(self, argument: Any) -> Any:
        return self.values.get(argument, STATE) if hasattr(argument, "op") else STATE

    def _leaves(self, argument: Any) -> list[Any]:
        if isinstance(argument, list | tuple):
            return [leaf for a in argument for leaf in self._leaves(a)]
        return [self._of(argument)]

    def _sources(self, value: Any, of: str) -> tuple[str, ...]:
        if isinstance(value, UnsupportedError):
            raise value
        if not isinstance(value, Flow):
            raise UnsupportedError(f"{of} reads what no layer of the module gives: a state, or a constant")
        return value.sources

    def _named(self, name: str) -> str:
        """A name that neither the graph's own nodes nor other modules have."""
        taken = {INPUT, OUTPUT} | self.paths
        while name in taken:
            name += "_"
        return name

    def _module(self, path: str, node: fx.Node) -> Any:
        module, value, found = self.model.get_submodule(path), self._of(_first(node)), self.found
        kind, name = name_of(module), self._named(path) if path in (INPUT, OUTPUT) else path
        if kind in SILENT or isinstance(value, UnsupportedError):
            return value
        if not kind and not is_neuron(module):
            return _refused(path, f"a {type(module).__name__}")
        sources = self._sources(value, path)
        if value.gathered:
            raise UnsupportedError(
                f"{path} reads a sum over timesteps; a graph acts within one: sum behind the last layer"
            )
        if is_neuron(module):
            found.calls[name] = found.calls.get(name, 0) + 1
        if name in found.feeds and found.feeds[name] != sources:
            raise UnsupportedError(
                f"{path} reads {', '.join(sources)}, and {', '.join(found.feeds[name])} in another call; give each "
                "place a module of its own (recurrent: export it as .nir by its tool and read that)"
            )
        found.modules.setdefault(name, module)
        found.feeds.setdefault(name, sources)
        return Flow((name,), self.time)

    def _function(self, name: str, node: fx.Node) -> Any:
        if name in ("size", "dim", "getattr", "_assert_is_none"):
            return STATE
        given = [self.values[n] for n in node.all_input_nodes]
        refused = [v for v in given if isinstance(v, UnsupportedError)]
        if refused:
            return refused[0]
        if not any(isinstance(v, Flow) for v in given):
            return STATE
        if name in ("add", "iadd", "add_", "radd"):
            return self._sum(node)
        if name == "stack":
            return self._stack(node)
        value = self._of(_first(node))
        if not isinstance(value, Flow):
            return _refused(node.name, f"{name}()")
        if name == "getitem":
            return self._item(value, node)
        if name in REDUCES:
            return self._reduced(name, value, node)
        if name in RESHAPES:
            stacked = value.gathered and value.time is not None
            return _refused(node.name, f"{name}() of a stack of timesteps") if stacked else self._flat(value)
        if name in ("contiguous", "float", "to", "clone"):
            return value
        return _refused(node.name, f"{name}()")

    def _stack(self, node: fx.Node) -> Any:
        """A list of one value for each timestep of a loop, and of nothing else."""
        values, wanted = self._leaves(_first(node)), max(self.found.calls.values(), default=0)
        one, dim = values[0], _argument(node, "dim", 0)
        if any(v != one for v in values):
            of = [_joined(v.sources) if isinstance(v, Flow) else "a state" for v in values]
            return _refused(node.name, f"a stack of {' and '.join(dict.fromkeys(of))}")
        if one.gathered or len(values) != wanted or not isinstance(dim, int):
            return _refused(node.name, f"a stack of {len(values)} values, where timesteps are {wanted},")
        return replace(one, time=dim, steps=len(values), gathered=True)

    def _reduced(self, name: str, value: Flow, node: fx.Node) -> Any:
        dim = _argument(node, "dim", _argument(node, "axis", None))
        axes = tuple(dim) if isinstance(dim, list | tuple) else (dim,)
        if value.time is None or axes != (value.time,):
            over = f"{name}() over {'all dims' if dim is None else f'dim {dim}'}"
            time = "no dim is" if value.time is None else f"dim {value.time} alone is"
            return _refused(node.name, f"{over}, where {time} time,")
        return replace(value, time=None, gathered=True)

    def _sum(self, node: fx.Node) -> Any:
        """Of layers; or of a layer's timesteps, that a loop adds up: Python's sum begins with 0."""
        terms = [self._of(a) for a in node.args[:2] if not (isinstance(a, int | float) and a == 0)]
        flows = [term for term in terms if isinstance(term, Flow)]
        if len(flows) < len(terms) or not flows:
            return _refused(node.name, "a constant that is added")
        if len(flows) == 1:
            return flows[0]
        one, other = flows
        if one.sources == other.sources and one.time == other.time and self.found.loops:
            return replace(one, steps=one.steps + other.steps, gathered=True)
        if set(one.sources) & set(other.sources):
            return _refused(node.name, "a value that is added to itself")
        if replace(one, sources=()) != replace(other, sources=()):
            return _refused(node.name, "a sum of different timesteps")
        return replace(one, sources=(*one.sources, *other.sources))

    def _item(self, value: Flow, node: fx.Node) -> Any:
        at: Any = node.args[1]
        axis = 1 if isinstance(at, tuple) and len(at) == 2 and at[0] == slice(None) else 0
        step = at[1] if axis else at
        if value.sources == (INPUT,) and isinstance(step, int) and self.found.indexed in (None, axis):
            self.found.indexed = axis
            return value
        source = value.sources[0]
        pair = source in self.found.calls and gives_state(self.found.modules[source]) and not value.gathered
        if len(value.sources) == 1 and pair and isinstance(at, int):
            return value if at == 0 else STATE
        return _refused(node.name, f"an element [{at}] of {', '.join(value.sources)}")

    def _flat(self, value: Flow) -> Flow:
        name = self._named(f"{'_'.join(value.sources)}_flat")
        self.found.feeds[name] = value.sources
        self.found.flat.add(name)
        return replace(value, sources=(name,))


def _first(node: fx.Node) -> Any:
    """What a call is about: its first argument."""
    return next(iter((*node.args, *node.kwargs.values())), None)


def _argument(node: fx.Node, name: str, default: Any) -> Any:
    """Of stack, sum or mean: the second, or named."""
    return node.args[1] if len(node.args) > 1 else node.kwargs.get(name, default)


def _joined(sources: tuple[str, ...]) -> str:
    return " + ".join(sources)


def _refused(where: str, what: str) -> UnsupportedError:
    """An error that is raised where the value is read; what nobody reads hurts nobody."""
    mend = "use layers as modules: Linear, Conv1d, Conv2d, AvgPool2d, MaxPool2d behind neurons, BatchNorm, Flatten, +"
    return UnsupportedError(f"{where}: {what} has no counterpart in a graph; {mend}")
