"""A run on disk: created, found, locked, moved, removed; files that are whole or not there.

``runs.find(runs.directory(None), "digits-lightsnn-001")`` is the ``Run`` of that name.
"""

from typing import TYPE_CHECKING

from snnas.toolchain import lazily

if TYPE_CHECKING:
    from snnas.toolchain.runs.run import Run as Run
    from snnas.toolchain.runs.run import directory as directory
    from snnas.toolchain.runs.run import every as every
    from snnas.toolchain.runs.run import find as find

__getattr__ = lazily(__name__, dict.fromkeys(("Run", "directory", "every", "find"), "run"))
