"""Images of both cores in the emulator; skipped, with the reason, where compiler or emulator is missing."""

from dataclasses import replace

import pytest

from snnas.export.formats.c import compare
from snnas.hw_sim.c import compilers, emulate
from snnas.hw_sim.errors import GateError
from snnas.toolchain.models.in_c import prepare
from tests.c_programs import random_variant, samples


@pytest.fixture(params=sorted(compilers.CORES))
def core(request):
    found = compilers.CORES[request.param]
    for there, why in (compilers.cross(found), compilers.emulator()):
        if there is None:
            pytest.skip(why)
    return found


def run(c, core, model=None):
    compiler, python = compilers.cross(core)[0], compilers.emulator()[0]
    return emulate.emulate(model or c.model, c.given, core, compiler, python, counted=2)


def test_an_image_does_what_the_program_does(core) -> None:
    program = random_variant(3)  # recurrent, few bits, analogue
    c = prepare(program, samples(program))
    image = run(c, core)
    found = compare(c.plan, c.trace, image.ran)
    assert found.equal, found.first
    assert image.instructions.shape == (2, 3)
    neurons = sum(u.population.size for u in c.plan.units) * program.timesteps
    assert (image.instructions[:, 1] > 5 * neurons).all()  # a neuron's update takes more than that
    assert 2_000 < image.flash < 64_000
    state = 4 * sum(u.population.size for u in c.plan.units if not u.forgets)
    assert state < image.state < 2 * state
    assert 0 < image.stack < 4096
    silent = replace(c, given=c.given * 0)
    assert run(silent, core).instructions.sum() < image.instructions.sum()


def test_a_model_that_calls_libc_is_refused(core) -> None:
    program = random_variant(3)
    c = prepare(program, samples(program))
    source = c.model.source.replace("    t->step++;", "    t->step++;\n    abort();")
    calling = replace(c.model, source="void abort(void);\n" + source)
    with pytest.raises(GateError, match="the model calls abort"):
        run(c, core, calling)
