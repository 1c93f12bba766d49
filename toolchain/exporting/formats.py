"""What the manifest of an export says that it is; here, so that who checks one need not load who writes it."""

from __future__ import annotations

# 1 kept the recorded samples alone; 1 and 2 nothing that calibrates; 3 priced C by the rest that a program claims; 3
# and 4 rounded layers of 4,097 to 4,608 inputs weight by weight.
READ = ("snnas.export/1", "snnas.export/2", "snnas.export/3", "snnas.export/4", "snnas.export/5")
CALIBRATED, C_PRICED, ROUNDED_WIDE = READ[2:], READ[3:], READ[4:]
FORMAT = READ[-1]
ONNX_FORMAT = "snnas.export.onnx/2"  # 1 had ORs in its activity rate
