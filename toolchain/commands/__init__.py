"""What a user can ask for: one documented function each, and the record of its options.

They have two doors: ``import snnas`` gives the functions and records (``snnas/__init__.py``), and a command of ``cli/``
makes the record of what was typed, calls the function and prints its result. A record has a docstring under each field.

A function takes a ``Narrator`` (``toolchain/output/stderr.py``) where it has something to tell while it works; without
one it works silently. Bad input raises an error of ``hw_sim/errors.py``, whose ``exit_code`` is the command's.
"""
