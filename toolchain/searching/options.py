"""What a search is asked for."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchOptions:
    """What a search is asked for; which of it a method takes, its runner says.

    timesteps: None for as many as the samples have frames, else DEFAULT_TIMESTEPS. batch: samples that score every
    candidate. candidates: random draws. study: repeats of spikenas's operation study, 0 for none. budget, objective: as
    on the command line. front: points of a front that are trained. profile, system: the chip that costs are of.
    weight_bits, state_bits: what memory is counted with. population, generations, cells: of mse_nas. recipe: a name or
    a file; None takes the data set's own. epochs: None for the recipe's. data: NAME=VALUE pairs as ``data_options``
    reads them.
    """

    dataset: str
    method: str = "lightsnn"
    proxy: str = "sahd"
    seed: int = 0
    timesteps: int | None = None
    channels: int = 16
    hidden: int = 256
    batch: int = 64
    candidates: int = 1000
    population: int = 12
    generations: int = 6
    cells: int = 3
    epochs: int | None = None
    recipe: str | None = None
    data: tuple[str, ...] = ()
    backward: bool = False
    device: str = "auto"
    study: int = 0
    budget: tuple[str, ...] = ()
    objective: str = "score"
    front: int = 8
    profile: str | None = None
    system: str = "loihi1"
    weight_bits: int = 8
    state_bits: int = 24
