"""What tools mean by the .nir files that they write, and what a file leaves open."""
