"""The faults by hand are faults of today's code, and each has the test that kills it."""

from __future__ import annotations

import pytest

from tests.mutants import test_killed
from tests.mutants.hand import MUTANTS, ROOT, Mutant


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda m: m.name)
def test_a_fault_is_one_place_of_the_code(mutant: Mutant) -> None:
    text = (ROOT / mutant.path).read_text()
    assert text.count(mutant.old) == 1
    compile(text.replace(mutant.old, mutant.new), mutant.path, "exec")
    assert hasattr(test_killed, mutant.test) if mutant.test else mutant.equivalent


def test_no_two_have_one_name() -> None:
    assert len({m.name for m in MUTANTS}) == len(MUTANTS) >= 17
