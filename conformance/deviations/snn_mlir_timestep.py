"""snn-mlir | lif lif-r lif-slow lif-met lif-strong deep-met image-met li-readout cubali-readout li-between
neuron-alone linear affine affine-chain conv1d conv1d-stride conv2d conv2d-stride sumpool sumpool-overlap avgpool
avgpool-padded pool-conv-pool flatten flatten-alone names metadata classifier loop analogue rough long bias | new

The timestep is taken from r, as tau / r. Where r is 1, as norse, sinabs and spikingjelly (decay_input=True)
write it, that is tau itself: the decay is 0, the neuron forgets everything at every timestep, and its input comes in
whole instead of times dt / tau. No message; only r = tau / dt, snntorch's spelling, keeps its meaning.
"""

import nir
import numpy as np
import snn_mlir

ends = {"input": nir.Input({"input": np.array([1])}), "output": nir.Output({"output": np.array([1])})}
lif = nir.LIF(*(np.full(1, v, np.float32) for v in (4e-4, 1, 0, 0.5)))  # tau of four timesteps
graph = nir.NIRGraph(
    {**ends, "w": nir.Linear(np.ones((1, 1))), "n": lif}, [("input", "w"), ("w", "n"), ("n", "output")]
)
print("expected a decay of 0.75, got", snn_mlir.parse_graph(graph).nodes["n"].decay)
