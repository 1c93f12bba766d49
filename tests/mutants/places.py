"""Where mutants can be made in a module by cosmic-ray's operators, and which are drawn.

None are made of annotations, which nobody evaluates; of the star before parameters that go by name; of the flags of
dataclasses and their removal (frozen, slots, kw_only), which compute nothing.
"""

from __future__ import annotations

import ast
import hashlib
import random
from collections.abc import Collection
from dataclasses import dataclass

from tests.mutants.hand import ROOT

Span = tuple[tuple[int, int], tuple[int, int]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """key: a digest of the module's path and of source, the whole module with one fault at ``row``."""

    module: str
    operator: str
    row: int
    key: str
    source: str

    def change(self) -> tuple[str, str]:
        """The line as it is and as it became (the first that differs)."""
        was, now = (ROOT / self.module).read_text().splitlines(), self.source.splitlines()
        pairs = (pair for pair in zip(was, now, strict=False) if pair[0] != pair[1])
        old, new = next(pairs, ("", ""))
        return old.strip(), new.strip()


def idle_spans(source: str) -> list[Span]:
    """Where a fault does nothing, as (row, column) from and to: annotations, and the decorators of dataclasses."""
    found: list[ast.expr | None] = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            found.append(node.returns)
        elif isinstance(node, ast.arg | ast.AnnAssign):
            found.append(node.annotation)
        elif isinstance(node, ast.ClassDef):
            found += [d for d in node.decorator_list if "dataclass" in ast.unparse(d)]
    return [
        ((a.lineno, a.col_offset - 1), (a.end_lineno or a.lineno, a.end_col_offset or a.col_offset))
        for a in found if a is not None
    ]  # fmt: skip


def statement_lines(source: str, row: int) -> list[int]:
    """The lines of the innermost statement at ``row``; of one with a body, those before its body."""
    best = range(row, row + 1)
    size = 1 << 30
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.stmt):
            body = getattr(node, "body", None)
            last = body[0].lineno - 1 if body else (node.end_lineno or node.lineno)
            first = min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", ()))])
            if first <= row <= max(last, first) and max(last, first) - first < size:
                best, size = range(first, max(last, first) + 1), max(last, first) - first
    return list(best)


def places_of(module: str) -> dict[str, tuple[str, int, int]]:
    """Where a mutant can be made: by a name, the operator, which of its places it is, and the row."""
    import cosmic_ray.plugins
    from cosmic_ray.ast import ast_nodes, get_ast

    source = (ROOT / module).read_text()
    idle, nodes, found = idle_spans(source), list(ast_nodes(get_ast(source))), dict[str, tuple[str, int, int]]()
    for name in sorted(cosmic_ray.plugins.operator_names()):
        operator = cosmic_ray.plugins.get_operator(name)
        if operator.arguments():
            continue
        places = [start for node in nodes for start, _ in operator().mutation_positions(node)]
        for occurrence, (row, column) in enumerate(places):
            if not any(start <= (row, column) < end for start, end in idle):
                found[f"{name}/{occurrence}"] = name, occurrence, row
    return found


def mutants_of(
    module: str, sample: int | None = None, draw: int = 1, but: Collection[str] = ()
) -> tuple[list[Mutant], int]:
    """The first ``sample`` mutants of a module in the order of a draw; how many places it has. but: keys of others'."""
    import cosmic_ray.plugins
    from cosmic_ray.mutating import mutate_code

    source, found = (ROOT / module).read_text(), places_of(module)
    drawn = sorted(found)
    random.Random(module if draw == 1 else f"{module} {draw}").shuffle(drawn)
    made, seen = list[Mutant](), set(but)
    for name, occurrence, row in (found[place] for place in drawn):
        if sample is not None and len(made) == sample:
            break
        text = mutate_code(source, cosmic_ray.plugins.get_operator(name)(), occurrence)
        if _is_a_change(source, text):
            key = hashlib.sha256(f"{module}\n{text}".encode()).hexdigest()[:16]
            if key in seen:
                continue
            seen.add(key)
            made.append(Mutant(module=module, operator=name, row=row, key=key, source=text))
    return made, len(found)


def _is_a_change(source: str, text: str | None) -> bool:
    """Not one that the parser refuses, nor one that it reads alike."""
    try:
        return text is not None and _computed(text) != _computed(source)
    except SyntaxError:
        return False


def _computed(source: str) -> str:
    """The module, but for which parameters may be given by name or by place alone: its callers read alike."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.arguments):
            node.args = [*node.posonlyargs, *node.args, *node.kwonlyargs]
            node.defaults += [default for default in node.kw_defaults if default is not None]
            node.posonlyargs, node.kwonlyargs, node.kw_defaults = [], [], []
    return ast.dump(tree)
