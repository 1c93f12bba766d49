"""A machine without Lava, whatever this one has: of a test by the fixture ``no_lava``, of what outlives one by hand."""

from __future__ import annotations

import pytest


def without_lava(patch: pytest.MonkeyPatch) -> None:
    """No Lava worker is found."""
    patch.setenv("SNNAS_LAVA_ENV", "/nonexistent")
    patch.delenv("SNNAS_LAVA_PYTHON", raising=False)
