"""Runs a model.onnx of snnas with onnxruntime alone: python run_onnx.py model.onnx stimulus.npz"""

import json
import sys

import numpy as np
import onnxruntime

session = onnxruntime.InferenceSession(sys.argv[1])
about = json.loads(session.get_modelmeta().custom_metadata_map["snnas"])
x = np.load(sys.argv[2])["x"]  # (B, C, H, W), the same at every timestep, or (B, T, C, H, W)
dtype = np.dtype(about["precision"])
sizes = {tensor.name: tensor.shape[1:] for tensor in session.get_inputs()}
state = {pair["input"]: np.zeros((len(x), *sizes[pair["input"]]), dtype) for pair in about["state"]}
outputs = [tensor.name for tensor in session.get_outputs()]
total = 0.0
for t in range(about["timesteps"]):
    frame = x if x.ndim == 1 + len(sizes["x"]) else x[:, t]
    step = dict(zip(outputs, session.run(None, {"x": frame.astype(dtype), **state}), strict=True))
    state = {pair["input"]: step[pair["output"]] for pair in about["state"]}
    total = total + step["y"].astype(np.float64)
print(*total.argmax(axis=1))
