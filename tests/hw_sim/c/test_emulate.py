"""Images of both cores in the emulator; skipped, with the reason, where compiler or emulator is missing."""

from dataclasses import replace

import numpy as np
import pytest

from snnas.export.formats.c import compare
from snnas.hw_sim.c import compilers, emulate
from snnas.hw_sim.early_exit import rule_of, stops
from snnas.hw_sim.errors import GateError
from snnas.toolchain.models.in_c import ending_early, prepare
from snnas.toolchain.output.c import costs
from tests.c_programs import random_variant, samples
from tests.programs import random_program


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


MARGIN = {"mode": "confidence", "level": 0.9, "margin": 3000, "chosen_on": 10}


def test_what_an_early_exit_saves_is_counted(core) -> None:
    program = replace(random_program(0, kind="spikes"), meta={"early_exit": MARGIN})
    x = np.random.default_rng(0).random((4, program.timesteps, *program.input_shape)) < 0.4
    c = prepare(program, x)
    image = run(c, core)
    wanted = stops(program, rule_of(program), c.trace.spikes)
    assert image.ends.tolist() == list(map(list, zip(wanted.timesteps, wanted.predictions, strict=True)))
    assert (wanted.timesteps[:2] < program.timesteps).any(), "nothing ends early: nothing is tested"
    whole, asked = image.instructions[:, 1], image.early
    per_step = whole / program.timesteps
    assert (asked > 0.5 * per_step * wanted.timesteps[:2]).all()
    assert (asked[wanted.timesteps[:2] < program.timesteps] < whole[wanted.timesteps[:2] < program.timesteps]).all()
    silent = prepare(replace(program, meta={}), x)
    plain = run(silent, core)
    assert (plain.ends, plain.early) == (None, None)
    assert (plain.instructions == image.instructions).all(), "questions are counted apart"
    assert plain.functions == image.functions
    found = ending_early(c, image, core)
    assert found["timesteps"] == wanted.timesteps[:2].mean()
    with pytest.raises(GateError, match="end samples differently"):
        ending_early(c, replace(image, ends=image.ends + 1), core)
    shown = {"core": core.name, "missing": None, "counted": 2, "instructions": 9.0, "compiler": "cc", "flash_bytes": 1}
    rows = list(costs({"cores": [shown | {"state_bytes": 1, "stack_bytes": 1, "ending_early": found}]}))
    assert rows[1][:2] == ("  ending early", f"{found['instructions']:,.0f}")
