"""Runs the notebooks of examples/notebooks and keeps their outputs: python docs/notebooks.py [NAME...]

Each runs in a copy of its folder, and no output names that copy. snntorch may be there or not; both are taken.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import nbformat
from nbclient import NotebookClient

NOTEBOOKS = Path(__file__).resolve().parents[1] / "examples/notebooks"


def execute(notebook: Path, folder: Path) -> Any:
    """The notebook, run from top to bottom in a copy of its folder, without what differs from run to run."""
    shutil.copytree(notebook.parent, folder, dirs_exist_ok=True)
    found = nbformat.read(notebook, as_version=4)
    NotebookClient(found, timeout=600, kernel_name="python3", resources={"metadata": {"path": str(folder)}}).execute()
    for cell in found.cells:
        cell.metadata.pop("execution", None)
        for output in cell.get("outputs", ()):
            for kind, value in output.get("data", {}).items():
                output["data"][kind] = value.replace(f"{folder}/", "") if isinstance(value, str) else value
            if "text" in output:
                output["text"] = output["text"].replace(f"{folder}/", "")
    found.metadata = {"language_info": {"name": "python"}}
    return found


def main() -> None:
    names = sys.argv[1:] or sorted(path.stem for path in NOTEBOOKS.glob("*.ipynb"))
    for name in names:
        with TemporaryDirectory() as folder:
            found = execute(NOTEBOOKS / f"{name}.ipynb", Path(folder).resolve())
        nbformat.write(found, NOTEBOOKS / f"{name}.ipynb")
        sys.stdout.write(f"{name}: {(NOTEBOOKS / f'{name}.ipynb').stat().st_size / 1000:.0f} kB\n")


if __name__ == "__main__":
    main()
