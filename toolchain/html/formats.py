"""Figures as the report's table writes them: one home, ``toolchain.report``, and names to use it by."""

from toolchain.report import _percent as percent
from toolchain.report import _short as short
from toolchain.report import _span as span

__all__ = ["percent", "short", "span"]
