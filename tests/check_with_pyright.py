"""Runs pyright on the package, and fails where it read fewer files than there are: python -m tests.check_with_pyright

Pyright does not walk links, so that asked for ``snnas`` it is content with one file; it is given the four links. Then
``--verifytypes``: what ``import snnas`` gives has to be typed to its last parameter.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import snnas

ROOT = Path(__file__).parents[1]
FOLDERS = ("toolchain", "search", "export", "hw_sim")


def main() -> int:
    files = sum(len(list((ROOT / name).rglob("*.py"))) for name in FOLDERS) + len(list((ROOT / "snnas").glob("*.py")))
    command = [sys.argv[1] if len(sys.argv) > 1 else "basedpyright", "--pythonpath", sys.executable, "--outputjson"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    try:
        found = json.loads(done.stdout)
    except ValueError:
        sys.stderr.write(done.stdout + done.stderr)
        return 1
    errors = [d for d in found["generalDiagnostics"] if d["severity"] == "error"]
    for d in errors:
        place = f"{Path(d['file']).relative_to(ROOT)}:{d['range']['start']['line'] + 1}"
        print(f"{place}: {d['message'].splitlines()[0]} [{d.get('rule', '')}]")
    read = found["summary"]["filesAnalyzed"]
    print(f"pyright: {len(errors)} errors in {read} files")
    if read != files:
        print(f"pyright read {read} files of {files}: its include in pyproject.toml does not reach them")
    return int(bool(errors) or read != files) or untyped(command[0])


def untyped(pyright: str) -> int:
    """1 where a name in the modules of the surface has a type that a user's checker cannot know."""
    command = [pyright, "--pythonpath", sys.executable, "--verifytypes", "snnas", "--ignoreexternal", "--outputjson"]
    # An editable install is a hook that pyright does not follow.
    found = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=ROOT, env=found, capture_output=True, text=True, check=False)
    symbols = json.loads(done.stdout)["typeCompleteness"]["symbols"]
    homes = tuple(f"snnas.{home}." for home in set(snnas._HOMES.values()))
    of_surface = [s for s in symbols if s["isExported"] and (s["name"].startswith(homes) or s["name"].count(".") == 1)]
    unknown = [s for s in of_surface if not s["isTypeKnown"]]
    for symbol in unknown:
        print(f"{symbol['name']}: {'; '.join(d['message'].splitlines()[0] for d in symbol['diagnostics'])}")
    print(f"pyright: {len(unknown)} of {len(of_surface)} names of the surface are not typed to the end")
    return int(bool(unknown) or len(of_surface) < 100)


if __name__ == "__main__":
    sys.exit(main())
