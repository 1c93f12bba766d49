"""Files, written whole and read without trust: .nir, program.npz, .onnx, .net, .npz, and dumps for people."""
