"""The toolchain: what the user holds. A folder is a room, one per stage of the journey; CONTRIBUTING.md has the map."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def lazily(room: str, homes: Mapping[str, str]) -> Callable[[str], Any]:
    """A ``__getattr__`` (PEP 562) for a room whose surface needs torch: names are imported where they are first used.

    room: the ``__name__`` of the package. homes: name -> the module of the room that defines it.
    """

    def __getattr__(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {room!r} has no attribute {name!r}")
        return getattr(import_module(f"{room}.{homes[name]}"), name)

    return __getattr__
