"""``snnas check``: the gate that guards an exported graph in a pipeline. Needs the base install only."""

from toolchain.checking.check import check
from toolchain.checking.findings import Book, Finding, exit_code
from toolchain.checking.options import Options

__all__ = ["Book", "Finding", "Options", "check", "exit_code"]
