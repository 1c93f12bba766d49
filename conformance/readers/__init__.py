"""Readers of tools: ``read(path, x)`` each, and nothing but the tool's own import is asked for.

path: a .nir file. x: (B, T, *input shape) float32, the inputs of every timestep, from rest. Returns "output"
(B, T, *shape), what comes to the Output node, and as far as the tool shows them "spikes/NODE" and "membrane/NODE" under
the file's node names. ``VERSIONS`` names the packages that a result states.
"""
