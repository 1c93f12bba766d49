"""``snnas check``: the gate that guards an exported graph in a pipeline. Needs the base install only."""

from snnas.toolchain.checking.check import check
from snnas.toolchain.checking.findings import Book, Finding, exit_code
from snnas.toolchain.checking.options import CheckOptions

__all__ = ["Book", "CheckOptions", "Finding", "check", "exit_code"]
