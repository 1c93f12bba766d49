"""A member of the state of a model in C."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Member:
    """A whole number, or an array of them."""

    kind: str
    """Of C: uint32_t, snnas_count, ..."""
    name: str
    extents: tuple[int, ...] = ()
    """Of an array, none to two."""

    @property
    def declared(self) -> str:
        return f"{self.kind} {self.name}{''.join(f'[{n}]' for n in self.extents)};"

    @property
    def cleared(self) -> str:
        """A line that makes it 0 in the state ``t``."""
        at = dict(zip("kj", self.extents, strict=False))
        loops = "".join(f"for (uint32_t {k} = 0; {k} < {n}u; {k}++) " for k, n in at.items())
        return f"    {loops}t->{self.name}{''.join(f'[{k}]' for k in at)} = 0;\n"
