"""The hardware: the program, its integer arithmetic, simulators, cores, energy, and Lava. Imports no other folder."""
