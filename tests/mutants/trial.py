"""One module's mutants against its tests, cheaply: a fork of a warm process each, and the tests that reach its lines.

    cd TREE; python -m tests.mutants.trial JOB.json

JOB holds ``module`` (a path), ``tests`` (files), ``marks`` (pytest's -m), ``trace`` and ``out`` (files), and
``mutants``: the whole ``source`` of the module with one fault, the ``lines`` of its statement, a ``key``. TREE is a
copy, and is written to. A line of ``out`` per mutant: its key, and *killed*, *late* (its CPU ran out, or it sleeps and
does not wake, which kills too) or *alive*.

First the tests run once over the module, whose functions tell that they are entered (``trace``): those of session
fixtures too, and none in other processes. Of a mutant run the tests that enter its function, the quickest first; if all
pass, all others that enter the module (of a mutant outside of functions: all others). A fault inside of functions is
put into a process that has collected its tests (``swap``), any other into the file: everything that does not import the
module is imported before the fork.
"""

from __future__ import annotations

import ast
import builtins
import contextlib
import importlib
import json
import math
import os
import resource
import signal
import sys
import time
import traceback
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.mutants import swap

Tree = dict[str, Any]
Span = tuple[str, int, int]  # a module, and a function's first and last line
SPARE_SECONDS, TIMES = 4, 4  # CPU seconds of a mutant's tests: so many more, and so many times what they took
ASLEEP, AWAKE = 60, 0.05  # wall seconds in which a trial that is not stuck works so long, on a busy machine too
MEMORY = 12 << 30
ENTERED = "_entered_of_mutants"  # in builtins: what a marked function calls


def marked(source: str, module: str) -> str:
    """The module, each of whose functions first tells ``_Tracer``, where there is one, its first and last line."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = min([node.lineno, *(d.lineno for d in node.decorator_list)])
            mark = f"__import__('builtins').__dict__.get('{ENTERED}', slice)({module!r}, {first}, {node.end_lineno})"
            node.body.insert(1 if ast.get_docstring(node) is not None else 0, ast.parse(mark).body[0])
    return ast.unparse(tree)


class _Tracer:
    """The functions of marked modules that each test enters, its CPU seconds, and how long it took."""

    def __init__(self) -> None:
        self.entered, self.of_fixtures = set[Span](), dict[str, set[Span]]()
        self.tests: dict[str, Tree] = {}
        setattr(builtins, ENTERED, lambda *span: self.entered.add(span))

    @contextlib.contextmanager
    def _traced(self) -> Generator[set[Span]]:
        outer, self.entered = self.entered, set()
        try:
            yield self.entered
        finally:
            outer |= self.entered
            self.entered = outer

    def of(self, module: str) -> dict[str, Tree]:
        """Of each test its seconds, and the lines of the module's functions that it enters."""
        found = {}
        for name, test in self.tests.items():
            lines = {line for at, first, last in test["spans"] if at == module for line in range(first, last + 1)}
            found[name] = {"seconds": test["seconds"], "waited": test["waited"], "lines": sorted(lines)}
        return found

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: Any, request: Any) -> Generator[None, object, object]:
        with self._traced() as spans:
            done = yield
        self.of_fixtures.setdefault(fixturedef.argname, set()).update(spans)
        return done

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: Any) -> Generator[None, object, object]:
        began, since = time.process_time(), time.monotonic()
        with self._traced() as spans:
            done = yield
        reached = set(spans).union(*(self.of_fixtures.get(name, set()) for name in item.fixturenames))
        seconds, waited = time.process_time() - began, time.monotonic() - since
        self.tests[item.nodeid] = {"seconds": seconds, "waited": waited, "spans": reached}
        return done


class _Chosen:
    """Runs the tests named, in their order."""

    def __init__(self, names: Sequence[str]) -> None:
        self.place = {name: i for i, name in enumerate(names)}

    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        items[:] = sorted((i for i in items if i.nodeid in self.place), key=lambda i: self.place[i.nodeid])


class _Warm:
    """Tries mutants in forks of a process that has collected its tests: nothing is imported for any of them."""

    def __init__(self, job: Tree, tests: Tree) -> None:
        self.job, self.tests = job, tests
        self.healthy = Path(job["module"]).read_text()

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        module = importlib.import_module(_name(self.job))
        held, items = swap.functions(module), {item.nodeid: item for item in session.items}
        for mutant in [{"key": "", "source": self.healthy, "lines": []}, *self.job["mutants"]]:
            names = swap.changed_functions(self.healthy, mutant["source"]) if mutant["key"] else list(held)
            if names is None or not set(names) <= set(held):
                continue
            outcome = self._tried(session, items, names, mutant)
            if mutant["key"]:
                _tell(self.job, mutant["key"], outcome)
            elif outcome != "alive":
                raise pytest.UsageError("no mutant at all is killed: the tests do not stand it that code is put in")
        return True

    def _tried(self, session: pytest.Session, items: Tree, names: list[str], mutant: Tree) -> str:
        for chosen in _rounds(self.tests, mutant["lines"]):
            plan = [items[name] for name in chosen]

            def run(plan: Sequence[pytest.Item] = plan) -> int:
                swap.swap(importlib.import_module(_name(self.job)), mutant["source"], names)
                for item, after in zip(plan, [*plan[1:], None], strict=True):
                    signal.setitimer(signal.ITIMER_PROF, _allowed(self.tests, [item.nodeid]))  # its end ends the fork
                    item.config.hook.pytest_runtest_protocol(item=item, nextitem=after)
                    if session.testsfailed:
                        return 1
                return 0

            code, late = _forked(run, _allowed(self.tests, chosen))
            if code != 0:
                return "late" if late else "killed"
        return "alive"


class _Blocked:
    """The module under trial cannot be imported, nor what imports it: they are loaded after the fork."""

    def __init__(self, name: str) -> None:
        self.name = name

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        if name == self.name:
            raise ImportError(name)


def _pytest(files: Sequence[str], marks: str, *plugins: object) -> int:
    from hypothesis import Phase, settings

    # Whether a test fails is asked, not why: no smaller example, no words of what was compared.
    phases = (Phase.explicit, Phase.generate)
    settings.register_profile("mutants", derandomize=True, database=None, phases=phases)
    settings.load_profile("mutants")
    silent = ["--assert=plain", "--tb=no", "-n", "0", "-q", "-x", "-p", "no:cacheprovider"]
    arguments = [*silent, "-m", marks, *files]
    return int(pytest.main(arguments, plugins=list(plugins)))


def _forked(work: Any, cpu: float | None = None) -> tuple[int, bool]:
    """The exit code of ``work`` in a fork, silent; whether it ran out of ``cpu`` seconds or of far longer."""
    pid = os.fork()
    if pid == 0:
        code = 99
        try:
            os.setpgid(0, 0)
            null = os.open(os.environ.get("MUTANTS_LOG", os.devnull), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            os.dup2(null, 1)
            os.dup2(null, 2)
            if cpu is not None:
                resource.setrlimit(resource.RLIMIT_CPU, (math.ceil(cpu), math.ceil(cpu) + 2))
                resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
            code = work()
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    until, worked = (None if cpu is None else time.monotonic() + ASLEEP), -1.0
    while True:
        done, status = os.waitpid(pid, 0 if until is None else os.WNOHANG)
        late = until is not None and time.monotonic() > until
        if late and not done and (so_far := _cpu_seconds(pid)) > worked + AWAKE:
            until, worked, late = time.monotonic() + ASLEEP, so_far, False
        if done or late:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)  # and what it started
            if not done:
                os.waitpid(pid, 0)
            code = os.waitstatus_to_exitcode(status) if done else -signal.SIGKILL
            return code, code < 0
        time.sleep(0.01)


def _cpu_seconds(group: int) -> float:
    """Of every process of a process group that is there; a tick is a hundredth of a second on Linux."""
    total = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError, ValueError):
            fields = stat.read_bytes().rpartition(b")")[2].split()
            if int(fields[2]) == group:
                total += sum(map(int, fields[11:15]))
    return total / os.sysconf("SC_CLK_TCK")


def trace(traces: Mapping[str, str], tests: Sequence[str], marks: str) -> int:
    """Run the tests once; write what they enter of each module into its file of ``traces``. 0: all have passed."""
    tracer, whole = _Tracer(), {module: Path(module).read_text() for module in traces}
    try:
        for module, source in whole.items():
            Path(module).write_text(marked(source, module))
        code = _pytest(tests, marks, tracer)
    finally:
        for module, source in whole.items():
            Path(module).write_text(source)
    if code == 0:
        loaded = [n for n in sys.modules if n.split(".")[0] not in ("tests", "__main__")]
        for module, file in traces.items():
            Path(file).write_text(json.dumps({"tests": tracer.of(module), "loaded": loaded}))
    return code


def _preload(job: Tree, loaded: Sequence[str]) -> None:
    name = _name(job)
    blocked = _Blocked(name)
    sys.meta_path.insert(0, blocked)
    for other in loaded:
        if other.split(".")[0] == "snnas" or "." not in other:
            with contextlib.suppress(Exception):
                importlib.import_module(other)
    sys.meta_path.remove(blocked)
    assert name not in sys.modules


def _tried(job: Tree, tests: Tree, lines: Sequence[int], source: str) -> str:
    """killed, late or alive."""
    module = Path(job["module"])
    for old in module.parent.glob(f"__pycache__/{module.stem}.*.pyc"):
        old.unlink()
    module.write_text(source)
    for chosen in _rounds(tests, lines):
        files = list(dict.fromkeys(name.partition("::")[0] for name in chosen))
        work = lambda files=files, chosen=chosen: _pytest(files, job["marks"], _Chosen(chosen))  # noqa: E731
        code, late = _forked(work, _allowed(tests, chosen))
        if code != 0:
            return "late" if late else "killed"
    return "alive"


def _rounds(tests: Tree, lines: Sequence[int]) -> list[list[str]]:
    """The tests that enter those lines' function, the quickest first, and the others of the module; none empty."""
    quick = sorted(tests, key=lambda name: tests[name]["waited"])
    reach = [name for name in quick if set(lines) & set(tests[name]["lines"])]
    of_module = [name for name in quick if tests[name]["lines"] or not reach]
    rest = [name for name in of_module if name not in set(reach)]
    return [chosen for chosen in (reach, rest) if chosen]


def _allowed(tests: Tree, chosen: Sequence[str]) -> float:
    return SPARE_SECONDS + TIMES * sum(tests[name]["seconds"] for name in chosen)


def _name(job: Tree) -> str:
    return "snnas." + str(job["module"]).removesuffix(".py").replace("/", ".")


def _tell(job: Tree, key: str, outcome: str) -> None:
    with Path(job["out"]).open("a") as out:
        out.write(json.dumps({"key": key, "outcome": outcome}) + "\n")


def main(path: str) -> int:
    job = json.loads(Path(path).read_text())
    whole = Path(job["module"]).read_text()
    traced = Path(job["trace"])
    fresh = not traced.exists()
    if fresh and _forked(lambda: trace({job["module"]: job["trace"]}, job["tests"], job["marks"]))[0] != 0:
        raise SystemExit(f"{job['module']}: its tests do not pass as they are (MUTANTS_LOG=FILE tells)")
    found = json.loads(traced.read_text())
    warm = _Warm(job, found["tests"])
    stands = _forked(lambda: _pytest(job["tests"], job["marks"], warm))[0] == 0
    if not stands:
        print(f"{job['module']}: its tests do not stand it that code is put in; each mutant is imported", flush=True)
    out = Path(job["out"])
    done = {json.loads(line)["key"] for line in out.read_text().splitlines()} if out.exists() else set()
    left = [mutant for mutant in job["mutants"] if mutant["key"] not in done]
    if not left:
        return 0
    _preload(job, found["loaded"])
    sys.dont_write_bytecode = True
    try:
        if fresh and not stands and _tried(job, found["tests"], [], whole) != "alive":
            traced.unlink()
            raise SystemExit(f"{job['module']}: no mutant at all is killed: its tests do not stand a second run")
        for mutant in left:
            _tell(job, mutant["key"], _tried(job, found["tests"], mutant["lines"], mutant["source"]))
    finally:
        Path(job["module"]).write_text(whole)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
