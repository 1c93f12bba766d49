"""Runs a program, in NumPy and in torch, and counts exactly what it did."""
