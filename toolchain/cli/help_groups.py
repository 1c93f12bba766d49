"""``--help`` of the commands with many options: grouped by what the options steer, plain text without boxes."""

from __future__ import annotations

from typing import Any

import typer
from typer.core import TyperCommand

SHOWN = "Output"
READING = (
    "How a foreign graph is read",
    ("timesteps", "input_kind", "convention", "dt", "decay", "compare", "reset", "current", "readout", "delayed",
     "expect"),
)  # fmt: skip
PRINTED = (SHOWN, ("as_json", "quiet", "verbose", "formats", "help"))
Groups = tuple[tuple[str, tuple[str, ...]], ...]

# Command -> title and options of each group, in order; what stands in none comes first, as Options.
GROUPS: dict[str, Groups] = {
    "search": (
        ("Run and data", ("dataset", "data", "name", "runs_dir", "resume", "seed", "device")),
        ("Search", ("method", "proxy", "sahd", "batch", "backward", "workers", "engine")),
        ("Options of snasnet and spikenas", ("candidates", "study")),
        ("Options of mse_nas", ("population", "generations")),
        ("Options of trained", ("space", "trainings", "short_epochs", "random")),
        ("Network", ("timesteps", "channels", "hidden", "cells", "head")),
        (
            "Chip, budget and front",
            ("budget", "objective", "front", "system", "profile", "bits", "state_bits"),
        ),
        ("Training and export", ("recipe", "epochs", "no_train", "log_to", "then")),
        PRINTED,
    ),
    "train": (
        ("Run and data", ("runs_dir", "dataset", "data", "force", "device")),
        ("Training and export", ("recipe", "epochs", "accumulate", "target_sar", "log_to", "then")),
        (
            "A run of a known cell",
            ("genotype", "name", "seed", "timesteps", "channels", "hidden", "cells", "head", "weights"),
        ),
        PRINTED,
    ),
    "export": (
        ("Run", ("pick", "runs_dir", "force")),
        (
            "Integer program",
            ("bits", "ranges", "host", "finetune", "finetune_lr", "early_exit", "calibration", "samples", "profile"),
        ),
        ("Lava", ("require_lava", "python", "timeout")),
        ("ONNX", ("float64", "inline")),
        ("Samples and folder of a .nir", ("data", "limit", "seed", "out")),
        READING,
        (SHOWN, ("dump", *PRINTED[1])),
    ),
    "simulate": (("Samples and program", ("data", "limit", "seed", "bits", "stream")), READING, PRINTED),
    "estimate": (
        ("Samples and program", ("data", "rate", "limit", "seed", "bits")),
        ("Chip and prices", ("system", "profile", "profiles", "new_profile")),
        READING,
        PRINTED,
    ),
    "diagnose": (
        ("Samples and program", ("data", "limit", "seed", "bits", "program", "runs_dir")),
        READING,
        (SHOWN, ("out", "reduce", *PRINTED[1])),
    ),
    "check": (
        ("Limits and baseline", ("maximum", "minimum", "budget", "baseline", "tolerance", "update_baseline")),
        ("Recording", ("record", "recording", "data", "limit", "seed", "force", "new_recording", "in_ci")),
        ("Verdict", ("strict", "portable", "ignore", "trust_report")),
        ("Program of a lone .nir", ("system", "profile", "bits")),
        READING,
        PRINTED,
    ),
}  # fmt: skip


class GroupedCommand(TyperCommand):
    """A command whose help stands in the groups of ``GROUPS``."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Arguments, what stands in no group, and the groups."""
        groups = GROUPS.get(self.name or "", ())
        of = {option: title for title, options in groups for option in options}
        rows: dict[str, dict[str, tuple[str, str]]] = {"Arguments": {}, "Options": {}, **{t: {} for t, _ in groups}}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None:
                name = parameter.name or ""
                argument = parameter.param_type_name == "argument"
                rows["Arguments" if argument else of.get(name, "Options")][name] = record
        order = {option: k for k, option in enumerate(of)}
        for title, found in rows.items():
            if found:
                with formatter.section(title):
                    formatter.write_dl([found[name] for name in sorted(found, key=lambda n: order.get(n, -1))])


def grouped(app: typer.Typer) -> None:
    """Makes every command registered so far one whose help is grouped, where it has groups."""
    for command in app.registered_commands:
        name = command.name or getattr(command.callback, "__name__", "")
        if name in GROUPS:
            command.cls = GroupedCommand
