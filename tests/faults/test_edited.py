"""The campaign of edited exports finds what passes, and tells it from what is found; the campaign itself is longer."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.faults.edited import campaign, is_defect, leaves, of_array, of_tree, put
from tests.toolchain.checking.check_subjects import healthy, here  # noqa: F401


def test_edits_of_a_report_are_found_or_claimed(here: Path) -> None:  # noqa: F811 - a fixture
    before = {path.name: path.read_bytes() for path in Path("lava").iterdir()}
    for place, passes in (("accuracy.interval", False), ("energy_uJ.total.high", False), ("run", True)):
        records = list(campaign("lava", Path("lava"), set(), only="report.json", place=place))
        assert records
        assert any(r["exit_code"] == 0 for r in records) is passes, records
        assert not any(map(is_defect, records))
        assert not any(r["moved"] for r in records)
    assert before == {path.name: path.read_bytes() for path in Path("lava").iterdir()}
    records[0]["edit"] = "accuracy.on_target halved"
    assert is_defect(records[0] | {"exit_code": 0})
    assert is_defect(records[0] | {"exit_code": 0, "edit": "run left out", "moved": ["sar"]})


def test_every_place_of_a_tree_is_edited_once() -> None:
    tree = {"a": 1, "b": {"c": [0.5, None], "d": "x"}, "e": True}
    assert [".".join(map(str, at)) for at, _ in leaves(tree)] == ["a", "b", "b.c", "b.c.0", "b.c.1", "b.d", "e"]
    made = dict(of_tree(tree))
    assert len(made) == len({str(edited) for edited in made.values()})
    assert str(tree) not in {str(edited) for edited in made.values()}
    assert made["a doubled"] == {**tree, "a": 2}
    assert made["b.c one fewer"]["b"]["c"] == [0.5]
    assert "c" not in made["b.c left out"]["b"]
    assert put(tree, ("b", "d"), "y")["b"]["d"] == "y"
    assert len([*leaves({"rows": [{"x": k} for k in range(9)]})]) == 1 + 2 * 3


def test_an_array_is_never_left_as_it_is() -> None:
    for array in (np.zeros(3, np.int8), np.array([[-4, 0], [2, 1]], np.int8), np.array([0.0, 0.25], np.float32)):
        others = dict(of_array(array))
        assert others.pop("left out") is None
        assert others
        for what, other in others.items():
            assert other is not None
            assert not np.array_equal(other, array), what
            assert other.dtype == array.dtype
