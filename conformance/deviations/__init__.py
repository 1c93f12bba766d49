"""Minimal cases, each run in its tool's environment: ``python conformance/deviations/norse_output.py``.

A docstring begins with ``TOOLS | GRAPHS | new or known``: whose deviation it is, which graphs it explains, and
whether it was written down somewhere before; then what it means for a user.
"""
