"""What pip installs beside the base, and how: the one home of that advice. Nothing here imports what it names."""

from __future__ import annotations

import re
import shlex
import sys
from importlib import metadata
from pathlib import Path

# Extra -> packages, as pyproject.toml has them, and what they are for.
EXTRAS = {
    "search": ("torch", "spikingjelly", "safetensors", "scikit-learn", "scipy", "threadpoolctl", "pillow", "pymoo"),
    "events": ("expelliarmus", "aedat", "tonic"),
    "onnx": ("onnx", "onnxruntime"),
    "ray": ("ray",),
    "tensorboard": ("tensorboard",),
}
USES = {
    "search": "search, training and fine-tuning",
    "events": "event recordings of your own, --dataset tonic:NAME and --data transform=",
    "onnx": "check of an .onnx, and export --target onnx",
    "ray": "--engine ray",
    "tensorboard": "--log-to tensorboard",
}
MODULES = {"scikit-learn": "sklearn", "pillow": "PIL"}  # where the module's name is not the package's


def install(extra: str = "") -> str:
    """What to type for an extra, or for the base, where snnas is installed as it is here.

    Never snnas by name alone: no index that pip asks by itself has it. Beside a wheel the extra's own packages do, by
    the interpreter that lacks them; in pipx's environment, pipx puts them there.
    """
    packages = _required(extra) if extra else []
    if not packages or _checkout():
        return f"pip install -e '.{f'[{extra}]' if extra else ''}' in the checkout of snnas"
    if "pipx" in Path(sys.prefix).parts:
        return shlex.join(["pipx", "inject", "snnas", *packages])
    return shlex.join([sys.executable or "python", "-m", "pip", "install", *packages])


def _checkout() -> bool:
    """Whether this code lies in the source tree, which ``pip install -e`` leaves where it is."""
    return (Path(__file__).resolve().parents[2] / "pyproject.toml").is_file()


def _required(extra: str) -> list[str]:
    """What the installed package asks for with an extra: 'torch>=2.6'."""
    try:
        every = metadata.requires("snnas") or []
    except metadata.PackageNotFoundError:
        return []
    halves = (line.partition(";") for line in every)
    return [need.strip() for need, _, marker in halves if re.search(rf"extra == ['\"]{extra}['\"]", marker)]


def extra_of(module: str) -> str | None:
    """The extra that brings a module (or its parts); None of one that no extra brings."""
    name = module.split(".")[0]
    return next((e for e, packages in EXTRAS.items() if name in {MODULES.get(p, p) for p in packages}), None)
