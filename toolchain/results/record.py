"""What records are made of: the base classes, and the kinds of figures that many fields share.

A record is built when its module is imported, which takes a few hundredths of a second: whoever reads a file or prints
a schema imports it inside a function, so that no other command waits for it.
"""

from __future__ import annotations

from types import NoneType
from typing import Annotated, Any, ClassVar, TypeVar, Union, get_args

from pydantic import BaseModel, ConfigDict, Field, GetCoreSchemaHandler
from pydantic_core import CoreSchema


class Record(BaseModel):
    """A JSON object whose fields are described, each by the docstring under it.

    Strict: 1 is no true, '1' no number, and neither NaN nor an infinity a figure. What is not described is ignored, so
    that fields may be added within a version.
    """

    model_config = ConfigDict(
        strict=True,
        defer_build=True,
        frozen=True,
        allow_inf_nan=False,
        use_attribute_docstrings=True,
        protected_namespaces=(),
        alias_generator=lambda name: name.removesuffix("_"),  # a BaseModel has a schema of its own
    )


class Document(Record):
    """What a command prints with ``--json``. Its first field is ``schema_``, in JSON ``schema``: name and version."""

    printed_by: ClassVar[tuple[str, ...]]
    """The commands that print it."""


class _NotNull:
    """Of a field that may be left out: where it is there, None is none of its values."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        kinds = tuple(kind for kind in get_args(source) if kind is not NoneType)
        return handler.generate_schema(Union[kinds])  # noqa: UP007 - of a tuple


T = TypeVar("T")
OrAbsent = Annotated[T | None, _NotNull()]
"""A field that may be left out and is never null: ``agreement: OrAbsent[Fraction] = None``."""

Count = Annotated[int, Field(ge=0)]
Positive = Annotated[int, Field(ge=1)]
Amount = Annotated[float, Field(ge=0)]
AboveZero = Annotated[float, Field(gt=0)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Interval = Annotated[list[float], Field(min_length=2, max_length=2)]
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
