"""Refusals counted by their cause."""

from __future__ import annotations

import re

MAX_REFUSED = 0.05  # share of what is drawn that may be refused


def general(reason: str) -> str:
    """A refusal's sentence without the names and numbers of its own case, so that equal causes count together."""
    reason = re.sub(r"\b(population|node|layer|synapse) \S+?(?=[:,; ])", r"\1 *", reason)
    return re.sub(r"(?<![A-Za-z_])-?\d+(\.\d+)?(e[+-]?\d+)?", "N", reason)
