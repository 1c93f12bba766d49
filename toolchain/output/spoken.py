"""What the command line says, said to Python: ``--bits 4`` is the argument ``bits=4``, ``snnas whose`` a function.

Messages are written once, with options as a command takes them. Where a function of ``import snnas`` raises one,
``spoken`` puts it in that function's terms; within ``typed`` (the command line) it stays as it is.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from functools import cached_property, wraps
from inspect import Parameter, isfunction, signature
from typing import Any, ParamSpec, TypeVar, get_type_hints

from snnas.hw_sim.errors import SnnasError

P = ParamSpec("P")
R = TypeVar("R")
C = TypeVar("C", bound=type)

# What an option is called where its argument has another name; of several the first that the function has.
RENAMED = {"data": ("data", "x", "calibration"), "profiles": ("all_profiles",)}
FIXED = {"no_train": "train=False"}
_NOT_OURS = ("force-reinstall", "with-dl", "python")  # of pip, and of ``snnas lava setup``
# Where an argument is looked for first, of functions that have one of its name.
_FIRST = ("snnas.read_graph", "model.compile", "program.estimate", "snnas.search_network", "run.export", "snnas.check")
# The values of options that are plain words; others have a digit, a capital or a sign in them.
_WORDS = (
    "all|analogue|auto|c|counts|cpu|cuda|digits|euler|exact|float|ge|generic|gt|int|late|lava|linear|now|observed|onnx|"
    "process|proved|ray|spikes|subtract|tensorboard|true|zero"
)
_OURS = " (of the command line)"  # behind an option that no function has
_END = rf"(?=:|{re.escape(_OURS)})"
_VALUE = (
    rf"(?:'[^']*'|\"[^\"]*\"|score,[a-z_,]*[a-z]|(?!--)[^\s;,()]*[A-Z0-9_./=][^\s;,()]*(?<![.:])|(?:{_WORDS})\b|"
    rf"membrane-[a-z]+|[^\s;,:()]+{_END})"
)
# A path with blanks: a ``/`` in its first three words, and its one suffix directly before what is said of it.
_PATH = (
    r"(?!['\"])(?=[^\s:;/]*+/|[^\s:;/A-Z0-9_.=]*+[A-Z0-9_.=][^\s:;/]*+(?: (?!and |for |in |of |on )[^\s:;/]*+){1,2}/)"
    rf"(?:(?! --|\.[A-Za-z][A-Za-z0-9]*[\s,)])[^:;\n])*?\.[A-Za-z][A-Za-z0-9]*(?=: |{re.escape(_OURS)})"
)
_FREE = r"(?<![\w/\\.~-])"  # not within somebody's path
_OPTION = re.compile(rf"{_FREE}(?>--([a-z][a-z0-9-]*)(?:([ =])({_PATH}|{_VALUE}))?)(?!{re.escape(_OURS)})")
_COMMAND = re.compile(
    rf"{_FREE}snnas (search|train|export|check|whose|simulate|estimate|diagnose|report|submit|calibrate|doctor|"
    r"data fetch|data list)\b"
    rf"((?: (?:--[a-z][a-z0-9-]*|{_VALUE}|(?!wrote|does|once)[^\s;,()]+(?=[;,)]|$)))*)"
)
_surface: dict[str, dict[str, Any]] = {}  # "run.export" -> its parameters and their defaults
_TYPED = "typed"
_at: ContextVar[str] = ContextVar("at", default="")  # the function of ``_surface`` that was called, or _TYPED


@contextlib.contextmanager
def typed() -> Iterator[None]:
    """Within, somebody types commands: errors name options."""
    before = _at.set(_TYPED)
    try:
        yield
    finally:
        _at.reset(before)


def spoken(function: Callable[P, R]) -> Callable[P, R]:
    """A function of ``import snnas``, whose errors name its arguments."""
    return _heard(function, f"snnas.{function.__name__}")


def spoken_class(kind: C) -> C:
    """A class of ``import snnas``, the errors of whose public methods and properties name arguments."""
    for name, member in list(vars(kind).items()):
        if name.startswith("_"):
            continue
        place = f"{kind.__name__.lower()}.{name}"
        if isfunction(member):
            setattr(kind, name, _heard(member, place))
        elif isinstance(member, property) and member.fget is not None:
            setattr(kind, name, property(_heard(member.fget, place, called=False)))
        elif isinstance(member, cached_property):
            member.func = _heard(member.func, place, called=False)
    return kind


def to_python(text: str) -> str:
    """The text with arguments of the function that was called, and other functions, for options and commands."""
    at = _at.get()
    if at == _TYPED:
        return text
    text = _COMMAND.sub(lambda found: _call(found[1], found[2].split()), text)
    return _OPTION.sub(lambda found: _argument(found[1], found[3], at), text)


def _heard(function: Callable[P, R], name: str, *, called: bool = True) -> Callable[P, R]:
    """The function, whose errors are put in its terms where nothing else of the surface called it."""
    if called:
        _surface[name] = _parameters(function)

    @wraps(function)
    def heard(*args: P.args, **kwargs: P.kwargs) -> R:
        if _at.get():
            return function(*args, **kwargs)
        before = _at.set(name)
        try:
            return function(*args, **kwargs)
        except SnnasError as error:
            error.args = tuple(to_python(str(part)) for part in error.args)
            raise
        finally:
            _at.reset(before)

    return heard


def _parameters(function: Callable[..., Any]) -> dict[str, Any]:
    """Names and defaults; those of ``**options`` are the keys of their TypedDict, without a default."""
    found: dict[str, Any] = {}
    for parameter in signature(function).parameters.values():
        if parameter.kind is Parameter.VAR_KEYWORD:
            found |= dict.fromkeys(_keywords(function, parameter.name))
        else:
            found[parameter.name] = parameter.default
    return found


def _keywords(function: Callable[..., Any], name: str) -> dict[str, Any]:
    (kind,) = getattr(get_type_hints(function)[name], "__args__", (dict,))
    return dict(getattr(kind, "__annotations__", {}))


def _argument(option: str, value: str | None, at: str) -> str:
    """``bits=4`` of the function at hand; ``model.compile(bits=4)`` of another; what nothing takes stays an option."""
    if option in _NOT_OURS:
        return f"--{option}"
    if option == "resume" and value:
        return f"snnas.load_run({_literal(value)}).resume()"
    bare = option.replace("-", "_")
    name, _, fixed = FIXED.get(bare, bare).partition("=")
    names, own = RENAMED.get(name, (name,)), _surface.get(at, {})
    name = next((known for known in names if known in own), names[0])
    homes = sorted((home for home, known in _surface.items() if name in known), key=_preferred)
    if not homes:
        return f"--{option}{f' {value}' if value else ''}{_OURS}"
    here = at if name in own else homes[0]
    is_flag = isinstance(_surface[here][name], bool) and value is None
    given = fixed or ("True" if is_flag else _literal(value) if value else "")
    if here == at:
        return f"{name}={given}" if given else name
    return f"{here}({name}={given or '...'})"


def _preferred(home: str) -> tuple[int, str]:
    return (_FIRST.index(home) if home in _FIRST else len(_FIRST), home)


def _literal(value: str) -> str:
    if value[:1] in "'\"" or re.fullmatch(r"-?\d+(\.\d*)?(e-?\d+)?", value):
        return value
    return f'"{value}"'


def _call(command: str, words: list[str]) -> str:
    """The function that does what a command line does."""
    subject = [words.pop(0)] if words and not words[0].startswith("--") else []
    if command == "search" and words[:1] == ["--resume"]:
        return f"snnas.load_run({_literal(''.join(words[1:2]))}).resume({', '.join(_arguments(words[2:]))})"
    of_run = f"snnas.load_run({_literal(subject[0])})" if subject else "run"
    of_model = f"snnas.read_graph({_literal(subject[0])})" if subject else "model"
    is_graph = bool(subject) and subject[0].endswith((".nir", "GRAPH"))
    home = {
        "search": "snnas.search_network",
        "train": f"{of_run}.train",
        "export": f"{of_model if is_graph else of_run}.export",
        "check": "snnas.check",
        "whose": "snnas.find_convention",
        "simulate": "program.simulate",
        "estimate": "program.estimate",
        "diagnose": "export.diagnose",
        "report": f"{of_run}.write_page",
        "submit": f"{of_run}.submit",
        "calibrate": "snnas.calibrate",
        "doctor": "snnas.examine_installation",
        "data fetch": "snnas.fetch_dataset",
        "data list": "snnas.list_datasets",
    }[command]
    given = [_literal(subject[0])] if subject and command in ("check", "whose", "data fetch") else []
    given += _arguments(words) if command != "report" else []
    return f"{home}({', '.join(given)})"


def _arguments(words: list[str]) -> list[str]:
    out: list[str] = []
    for word in words:
        if word.startswith("--") and word != "--help":
            name = word[2:].replace("-", "_")
            out.append(FIXED.get(name, name))
        elif not word.startswith("--") and out and "=" not in out[-1]:
            out[-1] += f"={_literal(word)}"
    return [given if "=" in given else f"{given}=True" for given in out]
