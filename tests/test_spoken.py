"""Errors of ``import snnas`` name arguments and functions of Python; the same errors of the command line, options."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import snnas
from snnas.toolchain.cli.app import run_command
from snnas.toolchain.output import spoken
from snnas.toolchain.output.spoken import to_python, typed

ROOT = Path(__file__).parents[1]
GRAPH = ROOT / "examples/ci_gate/graph.nir"
FOREIGN = ROOT / "examples/notebooks/snntorch_digits.nir"
SURFACE = [getattr(snnas, name) for name in snnas.__all__]  # loaded, so that every argument is known


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data as newcomers bring them."""
    place = tmp_path_factory.mktemp("brought")
    x, y = np.zeros((8, 1, 8, 8), np.float32), np.arange(8) % 2
    np.save(place / "x.npy", x)
    (place / "x.csv").write_text("1,2\n")
    np.savez(place / "onehot.npz", x=x, y=np.eye(2)[y])
    np.savez(place / "last.npz", x=x.transpose(0, 2, 3, 1), y=y)
    return place


@pytest.fixture(scope="module")
def program() -> snnas.Program:
    with np.load(GRAPH.with_suffix(".nir.check.npz")) as arrays:
        return snnas.read_graph(GRAPH).compile(arrays["x"])


def search(data: Any, /, **options: Any) -> Any:
    return snnas.search_network(data, method="lightsnn", train=False, **options)


# What a newcomer does wrong, and what the error has to say.
WRONG: list[tuple[Callable[[Path, snnas.Program], Any], str]] = [
    (lambda f, p: search(f / "x.npy"), r"a .npy is no data set, expected an .npz with x and y; write numpy.savez\("),
    (lambda f, p: search(f / "x.csv"), "a .csv is no data set, expected an .npz .* a folder per class"),
    (lambda f, p: search("absent/folder"), "absent/folder: no such folder"),
    (lambda f, p: search(f / "onehot.npz"), r"of one-hot labels store y.argmax\(1\)"),
    (lambda f, p: search(f / "last.npz"), 'or give data="layout=NHWC"$'),
    (lambda f, p: search("digits", data="frames=3"), '^data="frames=" is for event data'),
    (lambda f, p: search("digits", channels="8"), "^channels='8': expected a whole number$"),
    (lambda f, p: search("digits", budget={"enrgy": 3}), "unknown metric 'enrgy'; .*did you mean 'energy'"),
    (lambda f, p: search("digits", objective="energy"), "^objective='energy': expected score first"),
    (lambda f, p: snnas.load_run("nn", runs_dir=f), r'runs_dir or SNNAS_RUNS, .*_network\(dataset="digits"\)'),
    (lambda f, p: snnas.read_graph(FOREIGN, timesteps=0), "^timesteps=0: expected a whole number"),
    (lambda f, p: snnas.read_graph(FOREIGN, input_kind="analog"), "^input_kind='analog': .*did you mean 'analogue'"),
    (lambda f, p: snnas.read_graph(FOREIGN, convention="snntorc"), "^convention='snntorc': expected .*mean snntorch"),
    (lambda f, p: snnas.read_graph(GRAPH).compile(bits=5), "^bits=5: expected one of"),
    (lambda f, p: snnas.read_graph(GRAPH).compile("absent.npz"), '^calibration="absent.npz": no such file'),
    (lambda f, p: snnas.read_graph(GRAPH).export(np.zeros((9, 2)), out=f / "o", bits=5), "^bits=5: expected"),
    (lambda f, p: p.simulate(np.zeros((2, 16)), np.eye(2)), r"of one-hot labels give y.argmax\(1\)"),
    (lambda f, p: p.estimate(rate=3), "^rate=3: expected spikes"),
    (lambda f, p: snnas.check(GRAPH, record=True), "^record=True: .*; force=True records .* again, new_rec.*=True"),
    (lambda f, p: snnas.check(GRAPH, min={"sar": 1}), "unknown metric 'sar'; .* check limits it from above, with max$"),
    (lambda f, p: snnas.check(GRAPH, baseline=f / "b.json"), "no such file; write it with update_baseline=True"),
    (lambda f, p: snnas.check(f / "absent").require(), r"or a folder that run.export\(\) wrote"),
]  # fmt: skip


@pytest.mark.parametrize(("wrong", "said"), WRONG)
def test_an_error_names_the_argument(
    wrong: Callable[[Path, snnas.Program], Any], said: str, folder: Path, program: snnas.Program
) -> None:
    with pytest.raises(snnas.SnnasError, match=said) as caught:
        wrong(folder, program)
    assert not re.search(r"(?<![\w-])--[a-z]|snnas [a-z]+ ", str(caught.value))


def test_the_command_line_keeps_its_options(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert run_command(["check", str(GRAPH), "--record", "auto"]) == 2
    assert "--force records its samples again, --new-recording puts another" in capfd.readouterr().err
    assert run_command(["search", "--data", "frames=3", "--no-train", "--runs-dir", str(tmp_path)]) == 2
    assert "--data frames= is for event data" in capfd.readouterr().err


def test_findings_of_python_name_arguments(tmp_path: Path) -> None:
    lone = tmp_path / "lone.nir"
    lone.write_bytes(GRAPH.read_bytes())
    details = [finding.detail for book in snnas.check(lone).books for finding in book.findings]
    assert any('record="auto"' in detail for detail in details)
    with typed():
        details = [finding.detail for book in snnas.check(lone).books for finding in book.findings]
    assert any("--record auto" in detail for detail in details)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("leave --bits out", "leave model.compile(bits=...) out"),
        ("give --input-kind analogue, or", 'give snnas.read_graph(input_kind="analogue"), or'),
        ("overwrite it with --force.", "overwrite it with run.export(force=True)."),
        ("--bits 4 halves the weights", "model.compile(bits=4) halves the weights"),
        ("train it with: snnas train mine", 'train it with: snnas.load_run("mine").train()'),
        ("snnas search --resume R-1 --dataset PATH", 'snnas.load_run("R-1").resume(dataset="PATH")'),
        ("with: snnas export g.nir --target lava; or", 'with: snnas.read_graph("g.nir").export(target="lava"); or'),
        ("a folder that snnas export wrote", "a folder that run.export() wrote"),
        ("find it with: snnas whose", "find it with: snnas.find_convention()"),
        ("get it with: snnas data fetch mnist, or", 'get it with: snnas.fetch_dataset("mnist"), or'),
        ("make it again with snnas submit", "make it again with run.submit()"),
        ("give --log", "give snnas.calibrate(log=...)"),
        ("mend: snnas lava setup --with-dl", "mend: snnas lava setup --with-dl"),  # a shell's
        ("or add --in-ci", "or add --in-ci (of the command line)"),
        (
            "--calibration /tmp/my data/absent.npz: no such file",
            'model.compile(calibration="/tmp/my data/absent.npz"): no such file',
        ),
        ("--calibration My data (2)/a.npz: bad", 'model.compile(calibration="My data (2)/a.npz"): bad'),
        (
            "--calibration a/b.npz has no y: give --bits 4",
            'model.compile(calibration="a/b.npz") has no y: give model.compile(bits=4)',
        ),
        ("--calibration a/b.npz is not of c.npz: no", 'model.compile(calibration="a/b.npz") is not of c.npz: no'),
        ("/tmp/--bits 4.npz: no such file", "/tmp/--bits 4.npz: no such file"),
        ("/tmp/snnas export/a.npz: no such file", "/tmp/snnas export/a.npz: no such file"),
        ("--limit 5 of it", "--limit 5 (of the command line) of it"),
        ("--limit /tmp/my data/a.npz: no", "--limit /tmp/my data/a.npz (of the command line): no"),
        ("--timeout this: no", "--timeout this (of the command line): no"),
        ("install snnas with the extra [search]", "install snnas with the extra [search]"),
    ],
)  # fmt: skip
def test_options_and_commands_become_arguments_and_functions(text: str, said: str) -> None:
    assert to_python(text) == said
    assert to_python(said) == said
    with typed():
        assert to_python(text) == text


# Options that no function takes: of the terminal, of documents, of files; and where Python has a way of its own.
OF_THE_LINE = {
    "html", "json", "quiet", "verbose", "help", "format", "version", "in-ci", "portable", "recording", "program",
    "new-profile", "limit", "compare", "train-front", "finetune-lr", "timeout", "resume",
    "force-reinstall", "with-dl", "python", "no-input", "disable-pip-version-check", "parent", "no-train",
}  # fmt: skip


def test_every_option_that_a_message_names_has_an_argument() -> None:
    known = {name for parameters in spoken._surface.values() for name in parameters} | set(spoken.RENAMED)
    lost: dict[str, str] = {}
    for room in ("toolchain", "export", "hw_sim", "search"):
        for path in (ROOT / room).rglob("*.py"):
            if {"cli", "bench", "records"} & {*path.parts} or path.name in ("options.py", "run_lava.py"):
                continue
            texts = [n.value for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.Constant)]
            named = re.findall(r"(?<![\w-])--([a-z][a-z-]*[a-z])(?![\w-]|\{)", "\n".join(filter(_text, texts)))
            lost |= {o: path.name for o in named if o.replace("-", "_") not in known and o not in OF_THE_LINE}
    assert lost == {}


def _text(value: Any) -> bool:
    return isinstance(value, str)
