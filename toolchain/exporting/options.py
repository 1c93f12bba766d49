"""What an export is asked for, and the Lava that it finds."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from snnas.export.compiler.observed_currents import Ranges, check_ranges_option
from snnas.export.compiler.quantise import check_bits
from snnas.hw_sim.c import compilers
from snnas.hw_sim.early_exit import level_of
from snnas.hw_sim.energy.profile import load_profile
from snnas.hw_sim.errors import UnsupportedError, UsageError, did_you_mean
from snnas.hw_sim.files import sha256
from snnas.hw_sim.lava import environment
from snnas.hw_sim.map.system import CORES
from snnas.hw_sim.tables import known, shipped
from snnas.toolchain.finetuning.options import Finetuning
from snnas.toolchain.runs.versions import versions_of

HOSTS = ("float", "int")  # float64; int16 weights on uint8 pixels (snnas.hw_sim.host_stage)
TARGETS = ("lava", "c", "onnx")  # c: snnas.toolchain.exporting.c; onnx: snnas.toolchain.exporting.onnx


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportOptions:
    """What an export is asked for."""

    target: str = "lava"
    """One of TARGETS."""
    samples: int = 32
    """How many of the measured samples are recorded, and run by Lava."""
    profile: str = "loihi1"
    """The energy profile: a name that is shipped, or a TOML file."""
    bits: int | None = None
    """Of a weight: 8, 6 or 4; None: those that the network was searched with, else 8."""
    ranges: Ranges = "auto"
    """Whether registers are proved for all input, or for what was observed (``quantise``)."""
    host: str | None = None
    """One of HOSTS: the arithmetic of the host stage; None: in integers for C, which has no floats, else in floats."""
    finetune: Finetuning | None = None
    """Of the program; None for none."""
    early_exit: str | None = None
    """exact, or a share of answers that stay, as 0.99 (``snnas.hw_sim.early_exit``); None: none."""
    require_lava: bool = False
    """Whether an export without a Lava that works is refused."""
    lava_python: Path | None = None
    """The interpreter of the Lava worker; None for what is found."""
    lava_timeout: float | None = None
    """Seconds."""
    force: bool = False
    """Whether an export of other inputs is overwritten."""

    @property
    def integer_host(self) -> bool:
        """Whether the host stage computes in integers."""
        return self.host == "int" or (self.host is None and self.target == "c")


def check_target(target: str) -> None:
    """UsageError for what no export goes to; of a chip, with what does know it."""
    if target in TARGETS:
        return
    if target in CORES:
        raise UsageError(f"--target {target}: a core, which --target c writes C for; its costs: --system {target}")
    plain = re.sub("[^a-z0-9]", "", target.lower())
    if plain in known("systems"):
        public = "; of Loihi 2 its limits are public, its energy per operation is not" if plain == "loihi2" else ""
        raise UsageError(
            f"--target {target}: a chip, which is a --system of snnas estimate, check and search{public}; export with "
            "--target lava (Loihi's arithmetic), then: snnas estimate FOLDER --system " + plain
        )
    raise UsageError(f"--target {target[:60]}: unknown; expected {', '.join(TARGETS)}{did_you_mean(target, TARGETS)}")


def check_options(options: ExportOptions) -> None:
    """Raises before any work is done: unknown target or profile, impossible numbers, a required Lava that is absent."""
    check_target(options.target)
    if options.target == "c":
        compilers.asked()
    if options.samples < 1:
        raise UsageError(f"--samples {options.samples}: expected a whole number >= 1")
    if options.lava_timeout is not None and not 0 < options.lava_timeout < 1e9:
        raise UsageError(f"--timeout {options.lava_timeout:g}: expected a number of seconds > 0")
    if options.host not in (None, *HOSTS):
        raise UsageError(f"--host {str(options.host)[:60]}: unknown; expected {', '.join(HOSTS)}")
    if options.bits is not None:
        check_bits(options.bits)
    check_ranges_option(options.ranges)
    if options.finetune is not None:
        options.finetune.check()
    if options.early_exit is not None:
        level_of(options.early_exit)
    load_profile(options.profile)
    if options.require_lava:
        python, why = lava_python(options)
        if python is None:
            raise UnsupportedError(f"Lava was required (--require-lava) but is not usable: {why}")


def lava_python(options: ExportOptions) -> tuple[Path | None, str]:
    """An interpreter in which Lava works, or why there is none."""
    python, why = environment.find_python(options.lava_python)
    if python is None:
        return None, why
    found = environment.probe(python)
    if not found["usable"]:
        return None, f"{python}: {found['reason']}; make one with: snnas lava setup"
    return python, f"Lava {found['lava']}, Python {found['python']}"


def settings(options: ExportOptions) -> dict[str, Any]:
    """What of the options, and of snnas itself, decides an export, whatever its source."""
    return {
        "samples": options.samples,
        "bits": options.bits,
        "ranges": options.ranges,
        **({"host": "int"} if options.integer_host else {}),
        **({"early_exit": options.early_exit} if options.early_exit is not None else {}),
        **({"finetune": asdict(options.finetune)} if options.finetune is not None else {}),
        "profile": sha256(shipped(options.profile, "profiles")),
        "snnas": versions_of("snnas").get("snnas", ""),
    }
