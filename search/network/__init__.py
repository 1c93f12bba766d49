"""Genotypes, search spaces, and the torch networks that they stand for."""
