"""What pip installs beside the base, and how: the one home of that advice. Nothing here imports what it names."""

from __future__ import annotations

# Extra -> packages, as pyproject.toml has them, and what they are for.
EXTRAS = {
    "search": ("torch", "spikingjelly", "safetensors", "scikit-learn", "scipy", "pillow", "pymoo"),
    "onnx": ("onnx", "onnxruntime"),
    "ray": ("ray",),
}
USES = {
    "search": "search, training and fine-tuning",
    "onnx": "check of an .onnx, and export --target onnx",
    "ray": "--engine ray",
}
MODULES = {"scikit-learn": "sklearn", "pillow": "PIL"}  # where the module's name is not the package's


def install(extra: str = "") -> str:
    """What to type for an extra, or for the base. Never by name alone: no index that pip asks by itself has snnas."""
    return f"pip install -e '.{f'[{extra}]' if extra else ''}' in the checkout of snnas"


def extra_of(module: str) -> str | None:
    """The extra that brings a module (or its parts); None of one that no extra brings."""
    name = module.split(".")[0]
    return next((e for e, packages in EXTRAS.items() if name in {MODULES.get(p, p) for p in packages}), None)
