"""What runs a graph as it is: NumPy from the equations, torch from the same numbers, onnxruntime from its file."""
