"""Faults made by hand in the compiler and the simulators (``hand``), and by a tool (``make mutants``)."""
