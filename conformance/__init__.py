"""What a tool makes of a NIR graph: small graphs, recorded inputs, and what must come out.

``python -m conformance --reader MODULE:FUNCTION`` needs numpy and nir alone. README.md says how it is used.
"""
