"""Figures as the report's table writes them: one home, ``toolchain.report``, and names to use it by."""

from toolchain.report import percent, short, span

__all__ = ["percent", "short", "span"]
