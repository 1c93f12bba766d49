"""A fault put into a module that is loaded: other code objects in the functions that everybody holds already."""

from __future__ import annotations

import ast
import functools
import inspect
import types
from collections.abc import Iterator
from types import FunctionType, ModuleType


def changed_functions(old: str, new: str) -> list[str] | None:
    """The qualified names of the functions whose bodies differ; None where anything else does."""
    (rest, bodies), (other_rest, other_bodies) = _outline(old), _outline(new)
    if rest != other_rest:
        return None
    return [name for (name, body), (_, other) in zip(bodies, other_bodies, strict=True) if body != other]


def _outline(source: str) -> tuple[str, list[tuple[str, str]]]:
    """The module without its functions' bodies, and these."""
    tree, bodies = ast.parse(source), list[tuple[str, str]]()

    def empty(owner: ast.Module | ast.ClassDef, prefix: str) -> None:
        for node in owner.body:
            if isinstance(node, ast.ClassDef):
                empty(node, f"{prefix}{node.name}.")
            elif isinstance(node, ast.FunctionDef):
                bodies.append((prefix + node.name, ast.dump(ast.Module(node.body, []))))
                node.body = []

    empty(tree, "")
    return ast.dump(tree), bodies


def functions(space: ModuleType) -> dict[str, list[FunctionType]]:
    """The functions that a module defines, methods too, below their decorators, by qualified name."""
    found: dict[str, list[FunctionType]] = {}
    for function in _defined(vars(space), space.__name__):
        found.setdefault(function.__qualname__, []).append(function)
    return found


def _defined(space: object, module: str) -> Iterator[FunctionType]:
    for value in list(vars(space).values() if isinstance(space, type) else space.values()):  # type: ignore[attr-defined]
        inner = value
        if isinstance(value, staticmethod | classmethod):
            inner = value.__func__
        elif isinstance(value, property):
            inner = value.fget
        elif isinstance(value, functools.cached_property):
            inner = value.func
        if inspect.isclass(inner) and inner.__module__ == module:
            yield from _defined(inner, module)
        elif callable(inner):
            inner = inspect.unwrap(inner)
            if isinstance(inner, FunctionType) and inner.__module__ == module:
                yield inner


def swap(module: ModuleType, source: str, names: list[str]) -> None:
    """Gives the functions of those names the bodies that they have in ``source``. LookupError: there is none."""
    other = types.ModuleType(module.__name__)
    other.__file__ = module.__file__
    exec(compile(source, str(module.__file__), "exec"), vars(other))
    ours, theirs = functions(module), functions(other)
    for name in names:
        if name not in ours:
            raise LookupError(name)
        for function, mutated in zip(ours[name], theirs[name], strict=True):
            function.__code__ = mutated.__code__
