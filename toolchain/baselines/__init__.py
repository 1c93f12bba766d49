"""Straightforward code that the fast one is measured against."""
