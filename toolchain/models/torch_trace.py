"""What feeds what in a torch module of spiking layers, traced by ``torch.fx``: one timestep of it.

A module may be one timestep (its neurons keep their state), all of them (spikingjelly's step mode 'm', norse's lifted
neurons), or hold a loop over a fixed number of timesteps, as snntorch's tutorials do. Sums keep all their terms.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from snnas.hw_sim.errors import UnsupportedError
from snnas.toolchain.models.torch_neurons import is_neuron, mixes_time

if TYPE_CHECKING:
    from torch import fx, nn

INPUT = "input"
LAYERS = ("Linear", "Conv1d", "Conv2d", "AvgPool2d", "MaxPool2d", "BatchNorm1d", "BatchNorm2d", "Flatten")
SILENT = ("Identity", "Dropout", "Dropout1d", "Dropout2d", "AlphaDropout")  # in eval mode
COLLECTS = ("stack", "sum", "mean")  # what gathers timesteps behind the last layer
RESHAPES = ("flatten", "view", "reshape")
STATE = "state"


@dataclass(frozen=True, slots=True)
class Flow:
    """A value: the layers whose sum it is. gathered: over timesteps, behind the last layer."""

    sources: tuple[str, ...]
    gathered: bool = False


@dataclass(slots=True)
class Traced:
    """modules: by their path, in the order of their first call; flat: a Flatten behind a layer. feeds: what each reads.

    calls: of every neuron. indexed: whether the input is taken apart, a frame at a time.
    """

    modules: dict[str, nn.Module] = field(default_factory=dict)
    feeds: dict[str, tuple[str, ...]] = field(default_factory=dict)
    flat: set[str] = field(default_factory=set)
    calls: dict[str, int] = field(default_factory=dict)
    output: tuple[str, ...] = ()
    indexed: bool = False
    whole: bool = False
    """All timesteps pass in one call, time first."""

    @property
    def loops(self) -> bool:
        return self.indexed or any(count > 1 for count in self.calls.values())


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
            "number of timesteps with x[t], or hand over the module of one timestep"
        ) from None
    return _Reader(model).read(graph)


class _Reader:
    """Follows values through a traced graph."""

    def __init__(self, model: nn.Module) -> None:
        self.model, self.found = model, Traced()
        self.found.whole = any(mixes_time(m) for m in model.modules())
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
            return Flow((INPUT,)) if not self.values else STATE
        if node.op == "call_module":
            return self._module(str(node.target), node)
        if node.op in ("call_function", "call_method"):
            name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", str(node.target))
            return self._function(name, node)
        if node.op == "output":
            self.found.output = self._sources(self._first(node.args[0]), "the output")
        return STATE

    def _of(self, argument: Any) -> Any:
        if isinstance(argument, list | tuple):
            return [self._of(a) for a in argument]
        return self.values.get(argument, STATE) if hasattr(argument, "op") else STATE

    def _first(self, argument: Any) -> Any:
        value = self._of(argument)
        while isinstance(value, list) and value:
            value = value[0]
        return value

    def _sources(self, value: Any, of: str) -> tuple[str, ...]:
        if isinstance(value, UnsupportedError):
            raise value
        if not isinstance(value, Flow):
            raise UnsupportedError(f"{of} reads what no layer of the module gives: a state, or a constant")
        return value.sources

    def _module(self, path: str, node: fx.Node) -> Any:
        module, value, found = self.model.get_submodule(path), self._first(node.args[0]), self.found
        kind = name_of(module)
        if kind in SILENT:
            return value
        if not kind and not is_neuron(module):
            return _refused(path, f"a {type(module).__name__}")
        sources = self._sources(value, path)
        if value.gathered:
            raise UnsupportedError(
                f"{path} reads a sum over timesteps; a graph acts within one: sum behind the last layer"
            )
        if is_neuron(module):
            found.calls[path] = found.calls.get(path, 0) + 1
        if path in found.feeds and found.feeds[path] != sources:
            raise UnsupportedError(
                f"{path} reads {', '.join(sources)}, and {', '.join(found.feeds[path])} in another call; give each "
                "place a module of its own (recurrent: export it as .nir by its tool and read that)"
            )
        found.modules.setdefault(path, module)
        found.feeds.setdefault(path, sources)
        return Flow((path,))

    def _function(self, name: str, node: fx.Node) -> Any:
        value = self._first(node.args[0]) if node.args else STATE
        if name == "getitem":
            return self._item(value, node)
        if name in ("add", "iadd", "add_", "radd"):
            return self._sum(node)
        if not isinstance(value, Flow):
            flows = [a for a in map(self._of, node.args) if isinstance(a, Flow)]
            return _refused(node.name, f"{name}()") if flows else STATE
        if name in COLLECTS:
            return Flow(value.sources, gathered=True)
        if name in RESHAPES:
            return self._flat(value)
        if name in ("size", "dim", "getattr", "_assert_is_none"):
            return STATE
        if name in ("contiguous", "float", "to", "clone"):
            return value
        return _refused(node.name, f"{name}()")

    def _sum(self, node: fx.Node) -> Any:
        """Of layers; or of a layer's timesteps, that a loop adds up: Python's sum begins with 0."""
        terms = [self._of(a) for a in node.args[:2] if not (isinstance(a, int | float) and a == 0)]
        flows = [term for term in terms if isinstance(term, Flow)]
        if len(flows) < len(terms) or not flows:
            return _refused(node.name, "a constant that is added") if flows else STATE
        if len(flows) == 1:
            return flows[0]
        one, other = flows
        if one.sources == other.sources and max(self.found.calls.get(s, 0) for s in one.sources) > 1:
            return Flow(one.sources, gathered=True)
        if set(one.sources) & set(other.sources):
            return _refused(node.name, "a value that is added to itself")
        return Flow((*one.sources, *other.sources), one.gathered or other.gathered)

    def _item(self, value: Any, node: fx.Node) -> Any:
        if not isinstance(value, Flow):
            return value if isinstance(value, UnsupportedError) else STATE
        at = node.args[1]
        if value.sources == (INPUT,) and isinstance(at, int):
            self.found.indexed = True
            return value
        if len(value.sources) == 1 and is_neuron(self.model.get_submodule(value.sources[0])) and isinstance(at, int):
            return value if at == 0 else STATE
        return _refused(node.name, f"an element [{at}] of {', '.join(value.sources)}")

    def _flat(self, value: Flow) -> Flow:
        name = f"{'_'.join(value.sources)}_flat"
        self.found.feeds[name] = value.sources
        self.found.flat.add(name)
        return Flow((name,), value.gathered)


def _refused(where: str, what: str) -> UnsupportedError:
    """An error that is raised where the value is read; what nobody reads hurts nobody."""
    mend = "use layers as modules: Linear, Conv1d, Conv2d, AvgPool2d, MaxPool2d behind neurons, BatchNorm, Flatten, +"
    return UnsupportedError(f"{where}: {what} has no counterpart in a graph; {mend}")
