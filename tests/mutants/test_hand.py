"""The faults by hand are faults of today's code, and each has the test that kills it."""

from __future__ import annotations

import builtins
import types

import pytest

from tests.mutants import rest, test_killed
from tests.mutants.campaign import KILLED, MODULES, read_results
from tests.mutants.equivalent import EQUIVALENT
from tests.mutants.hand import MUTANTS, ROOT, Mutant
from tests.mutants.places import idle_spans, statement_lines
from tests.mutants.swap import changed_functions, swap
from tests.mutants.trial import ENTERED, marked


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda m: m.name)
def test_a_fault_is_one_place_of_the_code(mutant: Mutant) -> None:
    text = (ROOT / mutant.path).read_text()
    assert text.count(mutant.old) == 1
    compile(text.replace(mutant.old, mutant.new), mutant.path, "exec")
    assert hasattr(test_killed, mutant.test) if mutant.test else mutant.equivalent


def test_no_two_have_one_name() -> None:
    assert len({m.name for m in MUTANTS}) == len(MUTANTS) >= 17


def test_modules_and_tests_of_the_campaign_are_there() -> None:
    assert [
        p for m, tests in MODULES.items() for p in (m, *tests, *KILLED[m.partition("/")[0]]) if not (ROOT / p).is_file()
    ] == []
    assert {r.module for r in read_results().values() if r.current} <= {*MODULES, *rest.modules()}


def test_the_rest_is_every_other_module_by_its_places() -> None:
    assert not set(rest.modules()) & set(MODULES)
    assert {"export/graph/graph.py", "hw_sim/energy/profile.py"} <= set(rest.modules())
    places = {"a.py": 900, "b.py": 100}
    some, more = (rest.shares(places, sample, draw=1) for sample in (50, 500))
    assert all(some[module] <= more[module] for module in places)
    assert (sum(more.values()), 425 < more["a.py"] < 475) == (500, True)


def test_what_is_named_equivalent_is_a_line_of_the_code() -> None:
    for e in EQUIVALENT:
        lines = [line.strip() for line in (ROOT / e.module).read_text().splitlines()]
        assert e.old in lines, e
        assert e.new not in lines, e
        assert len(e.argument) > 30


def test_a_mutant_of_an_annotation_or_of_a_dataclass_is_none() -> None:
    source = "def f(x: int | None) -> int | str:\n    y: int | None = x | 1\n    return y\n"
    assert sorted(idle_spans(source)) == [((1, 8), (1, 19)), ((1, 23), (1, 33)), ((2, 6), (2, 17))]
    ((start, end),) = idle_spans("@dataclass(frozen=True)\nclass A:\n    x = 1\n")
    assert (start, end) == ((1, 0), (1, 23))


def test_a_statement_is_all_of_its_lines() -> None:
    source = "def f(\n    x,\n):\n    if (\n        x\n    ):\n        y = (\n            x\n        )\n    return y\n"
    assert statement_lines(source, 1) == statement_lines(source, 2) == [1, 2, 3]
    assert statement_lines(source, 5) == [4, 5, 6]
    assert statement_lines(source, 8) == [7, 8, 9]
    assert statement_lines(source, 10) == [10]


def test_a_fault_is_put_into_what_others_hold_already() -> None:
    source = "def f(x):\n    return x + 1\nclass A:\n    @property\n    def y(self):\n        return 2\n    z = 3\n"
    module = types.ModuleType("made")
    module.__file__ = "made.py"
    exec(source, vars(module))
    f, a = module.f, module.A()
    for old, new, name in (("x + 1", "x - 1", "f"), ("return 2", "return 3", "A.y")):
        assert changed_functions(source, source.replace(old, new)) == [name]
        swap(module, source.replace(old, new), [name])
    assert (f(1), a.y) == (0, 3)
    for old, new in (("z = 3", "z = 4"), ("f(x)", "f(x=0)"), ("    @property\n", "")):
        assert changed_functions(source, source.replace(old, new)) is None
    with pytest.raises(LookupError):
        swap(module, source, ["g"])


def test_a_marked_function_tells_its_lines_and_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    source = "def f(x):\n    'Says.'\n    def g():\n        return x + 1\n    return g()\n"
    source += "\n@staticmethod\ndef h():\n    pass\n"
    module, told = types.ModuleType("made"), list[tuple[str, int, int]]()
    exec(marked(source, "a.py"), vars(module))
    assert (module.f(1), module.f.__doc__) == (2, "Says.")
    monkeypatch.setattr(builtins, ENTERED, lambda *span: told.append(span), raising=False)
    module.f(1), module.h()
    assert told == [("a.py", 1, 5), ("a.py", 3, 4), ("a.py", 7, 9)]
