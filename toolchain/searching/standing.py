"""How a search that trains stands: the designs so far that no other one beats, as a table beneath its bar."""

from __future__ import annotations

import json
from collections.abc import Mapping
from statistics import fmean
from typing import Any, NamedTuple

from rich.table import Table

from snnas.toolchain.searching.budgets import with_unit
from snnas.toolchain.searching.cost import figure
from snnas.toolchain.searching.front_table import short_name

ROWS = 8


class Place(NamedTuple):
    """A design: its accuracy on target in 0..1 and its cost, means over its trainings, and how many these are."""

    accuracy: float
    cost: float
    trainings: int
    genotype: str


class Standing:
    """What the records of a search have come to. cost: the name of the figure that designs are compared by.

    short, long: trainings by design. Long ones, of seeds from 1 on, decide: the short one counts no more then.
    """

    def __init__(self, cost: str) -> None:
        self.cost = cost
        self.short: dict[str, list[Place]] = {}
        self.long: dict[str, list[Place]] = {}

    def add(self, record: Mapping[str, Any]) -> bool:
        """Take a record of the log; whether it is a training that came to something."""
        if record.get("event") != "evaluation" or record["reason"] or record["score"] is None:
            return False
        one = Place(float(record["score"]), figure(record["cost"], self.cost), 1, record["genotype"])
        (self.long if record.get("seed") else self.short).setdefault(record["op"], []).append(one)
        return True

    @property
    def front(self) -> list[Place]:
        """The designs of which no other one is as accurate and as cheap, the cheapest first."""
        places = [
            Place(fmean(p.accuracy for p in each), fmean(p.cost for p in each), len(each), each[0].genotype)
            for each in (self.short | self.long).values()
        ]
        front: list[Place] = []
        for place in sorted(places, key=lambda p: (p.cost, -p.accuracy)):
            if not front or place.accuracy > front[-1].accuracy:
                front.append(place)
        return front

    def table(self) -> Table:
        """The ROWS most accurate of the front."""
        front = self.front
        title = f"front of {len(self.short | self.long)} designs, not all trained to the end"
        out = Table(title=title, title_justify="left")
        for head in ("cells", "channels", "T", "on target", with_unit(self.cost), "trainings"):
            out.add_column(head, justify="left" if head == "cells" else "right")
        for place in front[-ROWS:]:
            about = json.loads(place.genotype)
            sizes = (short_name(about), str(about["channels"]), str(about["timesteps"]))
            out.add_row(*sizes, f"{place.accuracy:.1%}", f"{place.cost:.4g}", str(place.trainings))
        return out
