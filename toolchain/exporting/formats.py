"""What the manifest of an export says that it is; here, so that who checks one need not load who writes it."""

from __future__ import annotations

FORMAT = "snnas.export/3"
READ = ("snnas.export/1", "snnas.export/2", FORMAT)  # 1 kept the recorded samples alone; neither what calibrates
ONNX_FORMAT = "snnas.export.onnx/1"
