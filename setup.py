"""Everything stands in pyproject.toml; this fails where a build would leave the packages out without a word."""

from pathlib import Path

from setuptools import setup

for name in ("toolchain", "search", "export", "hw_sim"):
    if not Path(__file__).with_name("snnas").joinpath(name, "__init__.py").is_file():
        raise SystemExit(
            f"snnas/{name} is no link to the folder {name} (git needs core.symlinks=true, on Windows developer mode): "
            "check out again with links, or install a wheel"
        )
setup()
