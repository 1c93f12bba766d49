"""The C of an export folder: what its program and its recorded samples give, written once more."""

from __future__ import annotations

from snnas.export.formats.c import texts_of
from snnas.hw_sim.files import read_text
from snnas.hw_sim.program import Program
from snnas.toolchain.checking.findings import Book, amount_of
from snnas.toolchain.checking.samples import Samples
from snnas.toolchain.models.in_c import prepare


def check_c(book: Book, program: Program, recorded: Samples) -> None:
    """SN313: every file is, byte for byte, what this version writes; the recorded spikes of golden.c among them."""
    c = prepare(program, recorded.x)
    texts = texts_of(c.plan, c.model, c.given, c.trace)
    held = {name: book.subject / name for name in texts}
    other = [name for name, path in held.items() if not path.is_file() or read_text(path) != texts[name]]
    problem = f"not what program.npz and its recorded samples give: {', '.join(other)}; export again" if other else None
    place = book.subject / (other[0] if other else "model.c")
    book.judge("SN313", "C", problem, f"{amount_of(len(texts), 'file')} as written again", place)
