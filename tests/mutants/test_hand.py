"""The faults by hand are faults of today's code, and each has the test that kills it."""

from __future__ import annotations

import pytest

from tests.mutants import test_killed
from tests.mutants.campaign import MODULES, annotations
from tests.mutants.hand import MUTANTS, ROOT, Mutant


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda m: m.name)
def test_a_fault_is_one_place_of_the_code(mutant: Mutant) -> None:
    text = (ROOT / mutant.path).read_text()
    assert text.count(mutant.old) == 1
    compile(text.replace(mutant.old, mutant.new), mutant.path, "exec")
    assert hasattr(test_killed, mutant.test) if mutant.test else mutant.equivalent


def test_no_two_have_one_name() -> None:
    assert len({m.name for m in MUTANTS}) == len(MUTANTS) >= 17


def test_modules_and_tests_of_the_campaign_are_there() -> None:
    assert [p for m, tests in MODULES.items() for p in (m, *tests) if not (ROOT / p).is_file()] == []


def test_a_mutant_of_an_annotation_is_none() -> None:
    source = "def f(x: int | None) -> int | str:\n    y: int | None = x | 1\n    return y\n"
    assert sorted(annotations(source)) == [((1, 9), (1, 19)), ((1, 24), (1, 33)), ((2, 7), (2, 17))]
