"""From a trained run (``export_run``), or anybody's graph (``export_graph``), to a measured program on target.

``pipeline`` is the one road; ``of_run`` and ``of_graph`` are its two sources.
"""
