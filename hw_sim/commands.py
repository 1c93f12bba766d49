"""Runs a program of somebody else's to its end: what it prints, or why it does not."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a command did. out: what it printed; code: its exit code, None where it did not run, or not to its end."""

    out: bytes = b""
    code: int | None = None
    said: tuple[str, ...] = ()
    """Lines of its standard error that say something; where it did not run, why."""

    @property
    def first(self) -> str:
        """The first of these lines."""
        return self.said[0][:300] if self.said else "nothing was printed"

    @property
    def text(self) -> str:
        """What it printed, where it ended well; else nothing."""
        return self.out.decode("utf-8", "replace") if self.code == 0 else ""


def clean_environment() -> dict[str, str]:
    """Ours without what belongs to this interpreter (PYTHONPATH of 3.11 breaks 3.10)."""
    ours = ("PYTHON", "VIRTUAL_ENV", "__PYVENV_LAUNCHER__")
    kept = {k: v for k, v in os.environ.items() if not k.startswith(ours)}
    return kept | {name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}


def answer(command: Sequence[str], seconds: float, given: bytes = b"") -> Answer:
    """Runs a command in a clean environment, ``given`` on its standard input; what takes longer hangs."""
    try:
        done = subprocess.run(
            command, input=given, capture_output=True, timeout=seconds, env=clean_environment(), check=False
        )
    except subprocess.TimeoutExpired:
        return Answer(said=(f"no answer within {seconds:.0f} s",))
    except (OSError, ValueError) as error:
        return Answer(said=(getattr(error, "strerror", None) or str(error),))
    lines = (" ".join(line.split()) for line in done.stderr.decode("utf-8", "replace").splitlines())
    return Answer(out=done.stdout, code=done.returncode, said=tuple(filter(None, lines)))
