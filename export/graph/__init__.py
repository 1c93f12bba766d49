"""The graph: what a .nir file says, as plain frozen data, and what its edges say by themselves."""
