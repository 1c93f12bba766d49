"""The C of an export folder: what its program and its recorded samples give, written once more."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from snnas.export.formats.c import texts_of
from snnas.export.formats.c.encoder import SOURCES as ENCODER
from snnas.hw_sim.c.compilers import CORES
from snnas.hw_sim.errors import brief
from snnas.hw_sim.files import read_text
from snnas.hw_sim.program import Program
from snnas.toolchain.checking.findings import Book, amount_of, written_otherwise
from snnas.toolchain.checking.said import unlike
from snnas.toolchain.checking.samples import Samples
from snnas.toolchain.models.in_c import InC, board_of, estimated_of, prepare


def check_c(book: Book, program: Program, recorded: Samples, report: Mapping[str, Any], *, older: str | None) -> None:
    """SN313: every file is, byte for byte, what this version writes; the recorded spikes of golden.c among them.

    SN307: what the report estimates of each core is what the cost model gives. What was counted there is claimed.
    older: the version, where it took the program's word for how often populations rest, or estimated nothing.
    """
    c = prepare(program, recorded.x)
    texts = texts_of(c.plan, c.model, c.given, c.trace)
    held = {name: book.subject / name for name in (*texts, *ENCODER)}  # an encoder that no program asks for, too
    other = [name for name, path in held.items() if (read_text(path) if path.is_file() else None) != texts.get(name)]
    problem = f"not what program.npz and its recorded samples give: {', '.join(other)}; export again" if other else None
    if other and older is not None:
        problem = f"{', '.join(other)}: not the C of this snnas; {written_otherwise(older)}"
    place = book.subject / (other[0] if other else "model.c")
    book.judge("SN313", "C", problem, f"{amount_of(len(texts), 'file')} as written again", place)
    if other and older is not None:
        return  # its figures are as old
    said = [core for core in report.get("c", {}).get("cores", ()) if core["core"] in CORES]
    whole = unlike(report.get("c"), {"populations": len(c.plan.units)}, "c")
    told = (unlike(core, _made(c, core, older=older is not None), f"c.{core['core']}") for core in said)
    wrong = whole or next(filter(None, told), None)
    if wrong and older is not None:
        wrong = f"of an older version, which priced a core otherwise ({wrong}); snnas export --force"
    named = [core["core"] for core in report.get("c", {}).get("cores", ())]
    if sorted(named) != sorted(CORES) and not (older is not None and said):
        wrong = f"report.json has figures of {', '.join(map(brief, named)) or 'no core'}, expected of "
        wrong += f"{', '.join(CORES)}, each once; export again"
    good = f"estimates for {amount_of(len(said), 'core')} as made again"
    book.judge("SN307", "figures of C", wrong, good, book.subject / "report.json")


def _made(c: InC, said: Mapping[str, Any], *, older: bool) -> dict[str, Any]:
    """What of a core's figures follows from the program, and from the instructions that were counted."""
    made, taken = {"estimated": estimated_of(c, said["core"])}, said["instructions"]
    band: dict[str, float] = (
        made["estimated"]["instructions"] if taken is None else {end: taken for end in ("low", "nominal", "high")}
    )
    made["board"] = board_of(said["core"], band)
    return {name: value for name, value in made.items() if name in said or not older}
