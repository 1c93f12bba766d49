"""Prices counts: profiles of constants, bills, latency, and the work of an ANN of the same shape."""
