"""How a command ends: every outcome becomes its exit code and at most one line on stderr, never a traceback.

On a terminal the line is folded.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shlex
import shutil
import signal
import sys
import traceback
from typing import Any, NoReturn

import typer

from snnas.hw_sim.system_calls import address_space_limited
from snnas.toolchain.output.spoken import typed
from snnas.toolchain.runs.extras import extra_of, install

# torch's allocators raise a RuntimeError; a type of its own has only CUDA's. A library that finds no room to be loaded
# is an ImportError, a thread without a stack a RuntimeError.
_NO_MEMORY = re.compile(
    r"not enough memory|(can't|cannot) allocate memory|out of memory|failed to map segment|can't start new thread",
    re.IGNORECASE,
)
_COMMAND = re.compile(r"(?<=:) (snnas [a-z].*)$")
_LINE = 1000
_goes_on: list[str] = []  # the command that goes on with the run that this process works on
_ended_by: list[str] = []  # what typer makes of KeyboardInterrupt, an exit code, does not say which signal it was


def prepare() -> None:
    """Before a process runs its one command: streams that can be written to, and a SIGTERM that cleans up."""
    _open_standard_streams()
    signal.signal(signal.SIGTERM, _terminated)


def go_on_with(command: str) -> None:
    """From here on an interrupted command says that its run goes on with ``command``."""
    _goes_on[:] = [command]


def leave(code: int) -> NoReturn:
    """Ends the process with ``code``, whoever still reads its output. Its work is done: no signal changes the code."""
    # What is ignored stays so to the end; a handler would be taken away by the interpreter's last steps.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, lambda *_: os._exit(code))
    for number, stream in ((1, sys.stdout), (2, sys.stderr)):
        try:
            stream.flush()
        except OSError:  # said already; what is left must not fail once more at the interpreter's end, with code 120
            os.dup2(os.open(os.devnull, os.O_WRONLY), number)
    # ``python -m`` remembers an interrupt within a text that was run, as a dataclass is made from one, and would end by
    # that signal; the next text makes it forget.
    exec("")
    sys.exit(code)


@typed()
def run_app(app: typer.Typer, arguments: list[str], program: str = "snnas") -> int:
    """The exit code of a command line. Faults print one line on stderr (SNNAS_DEBUG=1 adds the traceback).
    program: what was typed before the arguments.
    """
    _goes_on.clear()
    try:
        result = app(arguments, standalone_mode=False, prog_name=program)
        code = result if isinstance(result, int) else 0
        try:
            sys.stdout.flush()
        except BrokenPipeError:
            _nobody_reads()
        return _interrupted(program, arguments) if code == 130 else code  # typer turns Ctrl-C into 130
    except typer.TyperException as error:
        if type(error).__name__ == "NoArgsIsHelpError":
            return _help(error.format_message())
        return _fail(2, f"{error.format_message()}{_wanted(app, arguments, error)}")
    except (KeyboardInterrupt, typer.Abort):
        return _interrupted(program, arguments)
    except SystemExit as error:
        # typer and rich both end the program with 1 where the reader of a pipe has gone.
        if isinstance(error.__context__, OSError) and error.__context__.errno == errno.EPIPE:
            return _nobody_reads()
        return error.code if isinstance(error.code, int) else 70
    except Exception as error:
        return _fault(error)


def _open_standard_streams() -> None:
    """A stream closed by the caller (``>&-``) is /dev/null; else the next file opened would take its number."""
    for number, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        if getattr(sys, name) is None:
            try:
                os.fstat(number)
            except OSError:
                os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
            setattr(sys, name, os.fdopen(number, mode, closefd=False))


def _terminated(number: int, frame: object) -> None:
    """SIGTERM ends a command as Ctrl-C does: temporary files are removed, the Lava worker too."""
    _ended_by.append("SIGTERM")
    raise KeyboardInterrupt


def _wanted(app: typer.Typer, arguments: list[str], error: Any) -> str:
    """What an option without its value takes, as its help says; and the command whose help lists what is right."""
    context, option = getattr(error, "ctx", None), getattr(error, "option_name", None)
    if context is not None:
        return f" (see {context.command_path} --help)"
    command, path = typer.main.get_command(app), ["snnas"]
    for word in arguments:
        if word not in getattr(command, "commands", {}):
            break
        command = command.commands[word]  # type: ignore[attr-defined]
        path.append(word)
    asked = [p for p in command.params if option in p.opts and not getattr(p, "is_flag", False)]
    helps = [getattr(p, "help", None) for p in asked]
    meant = f" It takes: {helps[0]}" if helps and helps[0] else ""
    return f"{meant} (see {' '.join(path)} --help)"


def _help(text: str) -> int:
    """A command without any argument: its help, in its lines."""
    with contextlib.suppress(OSError):  # nobody reads it
        sys.stderr.write(f"{text.rstrip()}\n")
    return 2


def _interrupted(program: str, arguments: list[str]) -> int:
    cause = f"ended by {_ended_by[-1]}" if _ended_by else "interrupted"
    if _goes_on:
        return _fail(130, f"{cause}; the run goes on with: {_goes_on[0]}")
    return _fail(130, f"{cause}; start it again with: {' '.join([program, *map(shlex.quote, arguments)])}")


def _nobody_reads() -> int:
    """Whoever read our output has enough of it; the interpreter's last flush must not say so again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    sys.stdout = sys.__stdout__ or sys.stdout
    return 0


def _fault(error: Exception) -> int:
    code = getattr(error, "exit_code", None)
    if isinstance(code, int):
        return _fail(code, str(error))
    if isinstance(error, BrokenPipeError):
        return _nobody_reads()
    if _lacks_memory(error):
        return _fail(70, "out of memory; try fewer --channels or a smaller --batch")
    if isinstance(error, OSError):
        return _os_error(error)
    if isinstance(error, UnicodeEncodeError):
        name = error.object[max(0, error.start - 40) : error.end + 40]
        return _fail(2, f"{name!r} is not UTF-8, expected names that are; rename the file or folder")
    if isinstance(error, ModuleNotFoundError) and (extra := extra_of(error.name or "")):
        return _fail(4, f"{error.name} is not installed, and this command needs it; mend: {install(extra)}")
    return _fail(70, f"a fault of snnas: {type(error).__name__}: {error}; please report it with SNNAS_DEBUG=1")


def _lacks_memory(error: Exception) -> bool:
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno == errno.ENOMEM
    if isinstance(error, SystemError):  # a C function failed without a word, as a library that loads under ulimit -v
        limited = address_space_limited()
        return limited and "without exception set" in str(error)
    kinds = RuntimeError | ImportError | OSError
    return isinstance(error, MemoryError) or (isinstance(error, kinds) and bool(_NO_MEMORY.search(str(error))))


def _os_error(error: OSError) -> int:
    name = str(error.filename or "")
    place = f"{name if len(name) <= 200 else name[:197] + '...'}: " if name else ""
    if error.errno in (errno.ENOSPC, errno.EROFS, errno.EDQUOT, errno.EFBIG, errno.EIO):
        return _fail(
            74, f"{place}{error.strerror}; nothing was half-written: free some space or choose another --runs-dir"
        )
    usage = (
        *(errno.EACCES, errno.EPERM, errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EEXIST),
        *(errno.ENAMETOOLONG, errno.ELOOP),
    )
    if error.errno in usage:
        return _fail(2, f"{place}{error.strerror}")
    return _fail(70, f"a fault of snnas: {place}{error}; please report it with SNNAS_DEBUG=1")


def _fail(code: int, text: str) -> int:
    from snnas.hw_sim.errors import printable

    with contextlib.suppress(OSError):  # nobody reads it
        if os.environ.get("SNNAS_DEBUG"):
            traceback.print_exc()
        line = printable(" ".join(text.split()))
        if len(line) > _LINE:  # what a file holds is as long as its author likes
            line = f"{line[: _LINE // 2]} ... {line[-_LINE // 2 :]}"
        sys.stderr.write(f"{fault_line(line)}\n")
    return code


def fault_line(line: str) -> str:
    """The line behind ``snnas:``; on a terminal folded between words to its width, in a pipe one line."""
    if not sys.stderr.isatty():
        return f"snnas: {line}"
    try:
        from snnas.toolchain.output.stderr import folded
    except (ImportError, MemoryError):  # where there is no memory left, there is none for this
        return f"snnas: {line}"
    said, command = line, ""
    if found := _COMMAND.search(line):  # which is pasted, and so stays whole
        said, command = line[: found.start()], f"\n  {found[1]}"
    width = shutil.get_terminal_size().columns - 1
    if len("snnas: ") + len(line) <= width:
        return f"snnas: {line}"
    return folded(said, width, after="snnas: ") + command
