"""The entry of ``snnas`` and ``python -m snnas``: nothing but what an early Ctrl-C must not get past."""

from __future__ import annotations

import sys


def main() -> None:
    """Runs the command line; an interrupt while modules still load ends it without a traceback."""
    try:
        from snnas.toolchain.cli.app import main as run

        run()
    except KeyboardInterrupt:
        sys.stderr.write("snnas: interrupted\n")
        exec("")  # as ``exits.leave`` does, which may not be imported yet
        sys.exit(130)


if __name__ == "__main__":
    main()
