"""What the manifest of an export says that it is; here, so that who checks one need not load who writes it."""

from __future__ import annotations

# 1 kept the recorded samples alone; 1 and 2 nothing that calibrates; 3 priced C by the rest that a program claims.
READ = ("snnas.export/1", "snnas.export/2", "snnas.export/3", "snnas.export/4")
CALIBRATED = READ[2:]
FORMATS = {"lava": "snnas.export/3", "c": "snnas.export/4"}
FORMAT = max(FORMATS.values())
ONNX_FORMAT = "snnas.export.onnx/2"  # 1 had ORs in its activity rate
