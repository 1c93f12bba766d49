"""From a trained run (``export_run``), or anybody's graph (``export_graph``), to a measured program on target.

``pipeline`` is the one road; ``of_run`` and ``of_graph`` are its two sources.
"""

from typing import TYPE_CHECKING

from snnas.toolchain import lazily

if TYPE_CHECKING:
    from snnas.toolchain.exporting.of_graph import export_graph as export_graph
    from snnas.toolchain.exporting.of_run import export_run as export_run
    from snnas.toolchain.exporting.on_target import measure as measure
    from snnas.toolchain.exporting.onnx import export_onnx as export_onnx
    from snnas.toolchain.exporting.options import ExportOptions as ExportOptions

__getattr__ = lazily(
    __name__,
    {
        "ExportOptions": "options",
        "export_graph": "of_graph",
        "export_onnx": "onnx",
        "export_run": "of_run",
        "measure": "on_target",
    },
)
