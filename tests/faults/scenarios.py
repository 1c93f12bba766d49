"""The commands that are killed: what each begins from, how it is begun and how gone on with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

NAME = "v"
TINY = ("--channels", "2", "--hidden", "16", "-T", "2", "--batch", "8", "--epochs", "2", "--data", "train_limit=200")
SEARCH = ("search", "--method", "lightsnn", "--dataset", "digits", *TINY, "--name", NAME)
EXPORT = ("export", NAME, "--samples", "4")
FRONT = ("--method", "snasnet", "--candidates", "8", "--objective", "score,energy_total", "--train-front", "2")


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """base: commands that are run, undisturbed, before the one that is killed. first: begun so; a search goes on with
    --resume where it had come as far as having a run. kills: by default. cold: always a process with its own imports.
    """

    first: tuple[str, ...]
    base: tuple[tuple[str, ...], ...] = ()
    kills: int = 20
    cold: bool = False
    lava: bool = False

    def again(self, root: Path) -> tuple[str, ...]:
        if self.first[0] == "search" and (root / NAME / "run.toml").exists():
            at = self.first.index("--workers") if "--workers" in self.first else len(self.first)
            return ("search", "--resume", NAME, *self.first[at:])
        return self.first


SCENARIOS = {
    "search": Scenario(first=SEARCH, kills=80),
    "train": Scenario(base=((*SEARCH, "--no-train"),), first=("train", NAME), kills=50),
    "export": Scenario(base=(SEARCH,), first=EXPORT, kills=60),
    "simulate": Scenario(base=(SEARCH, EXPORT), first=("simulate", f"{NAME}/export/lava", "--json", "-q"), kills=20),
    "retrain": Scenario(base=(SEARCH,), first=("train", NAME, "--force"), kills=20),
    "re-export": Scenario(base=(SEARCH, EXPORT), first=("export", NAME, "--samples", "6", "--force"), kills=20),
    "front": Scenario(first=(*SEARCH, *FRONT), kills=20),
    "onnx": Scenario(base=(SEARCH,), first=("export", NAME, "--target", "onnx"), kills=10),
    "workers": Scenario(first=(*SEARCH, "--workers", "2"), kills=10, cold=True),
    "lava": Scenario(base=(SEARCH,), first=("export", NAME, "--samples", "2"), kills=10, cold=True, lava=True),
}
