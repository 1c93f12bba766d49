"""The Lava worker's Python 3.10: where it is looked for, and how it is built, with a stand-in for the interpreter."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from snnas.hw_sim.errors import UnsupportedError, UsageError
from snnas.hw_sim.lava import environment as lava_environment

INTERPRETER = """#!{python}
import json, os, shutil, sys
if "-c" in sys.argv:
    code = sys.argv[sys.argv.index("-c") + 1]
    ready = not os.path.exists(os.path.join({home!r}, "broken"))
    print(json.dumps(dict(python="3.10.9", numpy="1.26.4", lava="0.10.0", lava_dl=None, reason=None if ready else "no"))
          if "json" in code else "3.10")
elif "venv" in sys.argv:
    os.makedirs(os.path.join(sys.argv[-1], "bin"), exist_ok=True)
    shutil.copy(__file__, os.path.join(sys.argv[-1], "bin", "python"))
else:
    with open(os.path.join({home!r}, "pip"), "a") as file:
        file.write(" ".join(a for a in sys.argv if "==" in a) + "\\n")
    if os.path.exists(os.path.join({home!r}, "offline")):
        print("ERROR: no network")
        sys.exit(1)
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user without any Lava, whose python3.10 is a stand-in that notes what pip is asked for."""
    for name in ("SNNAS_LAVA_PYTHON", "SNNAS_LAVA_ENV"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path / "pyenv"))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    (tmp_path / "bin").mkdir()
    shim = tmp_path / "bin" / "python3.10"
    shim.write_text("#!/bin/sh\nexit 127\n")  # as pyenv's, where no 3.10 is selected
    shim.chmod(0o755)
    return tmp_path


def install_python(home: Path) -> Path:
    path = home / "pyenv" / "versions" / "3.10.9" / "bin" / "python3.10"
    path.parent.mkdir(parents=True)
    path.write_text(INTERPRETER.format(python=sys.executable, home=str(home)))
    path.chmod(0o755)
    return path


def test_finding_the_worker(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert lava_environment.default_environment() == home / "data" / "snnas" / "lava"
    python, reason = lava_environment.find_python()
    assert python is None
    assert "snnas lava setup" in reason
    base, reason = lava_environment.find_base_python()
    assert base is None
    assert reason.startswith(f"{home / 'bin' / 'python3.10'} does not run: exit code 127: nothing was printed; ")
    assert "--python" in reason
    named = install_python(home)
    assert lava_environment.find_base_python() == (named, "pyenv's 3.10.9")
    monkeypatch.setenv("SNNAS_LAVA_PYTHON", str(named))
    assert lava_environment.find_python() == (named, "SNNAS_LAVA_PYTHON")
    assert lava_environment.find_python(home / "absent")[0] is None
    monkeypatch.setenv("SNNAS_LAVA_PYTHON", str(home / "absent"))
    assert lava_environment.find_python()[0] is None
    assert lava_environment.find_python(named) == (named, "--python")
    assert not lava_environment.probe(home / "absent")["usable"]
    assert not lava_environment.probe(sys.executable)["usable"]


def test_each_candidate_says_why_it_is_none(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shim = home / "bin" / "python3.10"
    shim.write_text("#!/bin/sh\necho >&2\necho 'pyenv: python3.10: command not found' >&2\necho 'more' >&2\nexit 127\n")
    other = home / "pyenv" / "versions" / "3.10.1" / "bin" / "python3.10"
    other.parent.mkdir(parents=True)
    other.write_text("#!/bin/sh\necho 3.11\n")
    other.chmod(0o755)
    found = f"{shim} does not run: exit code 127: pyenv: python3.10: command not found; {other} is Python 3.11; install"
    assert lava_environment.find_base_python()[1].startswith(found)
    assert lava_environment.find_base_python(other) == (None, f"{other} is Python 3.11")
    assert lava_environment.find_base_python(home / "none")[1].endswith("does not run: No such file or directory")
    monkeypatch.setenv("PATH", str(home / "empty"))
    monkeypatch.setenv("PYENV_ROOT", str(home / "empty"))
    assert lava_environment.find_base_python()[1].startswith("there is no python3.10 on PATH, in pyenv or from uv; ")


def test_a_shim_shows_where_pyenv_is(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    named = install_python(home)
    monkeypatch.delenv("PYENV_ROOT")
    monkeypatch.setenv("HOME", str(home / "nobody"))
    shims = home / "pyenv" / "shims"
    shims.mkdir()
    (home / "bin" / "python3.10").rename(shims / "python3.10")
    monkeypatch.setenv("PATH", str(shims))
    assert lava_environment.find_base_python() == (named, "pyenv's 3.10.9")


def test_setup(home: Path) -> None:
    pips = home / "pip"
    with pytest.raises(UnsupportedError, match=r"Python 3\.10"):
        lava_environment.setup()
    install_python(home)
    said: list[str] = []
    made = lava_environment.setup(report=said.append)
    assert made == home / "data" / "snnas" / "lava" / "bin" / "python"
    assert lava_environment.find_python() == (made, f"the environment {made.parent.parent}")
    assert pips.read_text().count("lava-nc==0.10.0") == 1
    assert said
    assert lava_environment.setup() == made
    assert len(pips.read_text().splitlines()) == 1  # nothing to do
    lava_environment.setup(with_dl=True)
    assert "lava-dl==0.6.0" in pips.read_text().splitlines()[1]
    lava_environment.setup()
    assert len(pips.read_text().splitlines()) == 2
    (made.parent.parent / lava_environment.READY).unlink()  # killed before it was complete
    assert lava_environment.find_python()[0] is None
    assert lava_environment.setup() == made
    assert len(pips.read_text().splitlines()) == 3
    (home / "broken").touch()  # complete, but Lava no longer starts in it
    with pytest.raises(UnsupportedError, match="does not start"):
        lava_environment.setup()
    assert len(pips.read_text().splitlines()) == 4


def test_setup_that_fails(home: Path) -> None:
    install_python(home)
    (home / "offline").touch()
    with pytest.raises(UnsupportedError, match="pip install failed with 1: ERROR: no network"):
        lava_environment.setup()
    (home / "offline").unlink()
    (home / "broken").touch()
    with pytest.raises(UnsupportedError, match="does not start in it: no"):
        lava_environment.setup()
    assert lava_environment.find_python()[0] is None
    (home / "broken").unlink()
    assert lava_environment.setup().exists()


def test_setup_spares_what_is_not_its_own(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install_python(home)
    (home / "mine").mkdir()
    (home / "mine" / "thesis.tex").touch()
    monkeypatch.setenv("SNNAS_LAVA_ENV", str(home / "mine"))
    with pytest.raises(UsageError, match="no environment of ours"):
        lava_environment.setup()
    assert (home / "mine" / "thesis.tex").exists()
