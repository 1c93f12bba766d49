"""What is said of a model without an emulator, against a compiler's sizeof and a program's counts."""

import subprocess
from dataclasses import replace

import numpy as np
import pytest

from snnas.export.formats.c import c_model, gather, host, loops, plan
from snnas.export.formats.c.footprint import SIZES, footprint
from snnas.export.formats.c.work import connection, parts, rate_of, work
from snnas.hw_sim.c import compilers
from snnas.hw_sim.host_stage import with_integers
from snnas.hw_sim.linear import fan_out
from snnas.hw_sim.map.mapping import map_program
from snnas.hw_sim.map.system import load_system
from snnas.hw_sim.program import INPUT, LinearMap, Pool
from snnas.hw_sim.simulate.counter import Counter
from snnas.hw_sim.simulate.simulator import simulate_input
from snnas.toolchain.models.microcontroller import instructions_of, place, priced
from tests.c_programs import every_map, overflowing, random_variant, read_otherwise, samples


@pytest.mark.parametrize(
    "program",
    [
        random_variant(3),
        with_integers(random_variant(3)),
        every_map(0, (2, 7, 6)),
        overflowing(5, True),
        read_otherwise(random_variant(2), "max", seed=4),
    ],
)
def test_the_state_is_what_a_compiler_makes_of_it(program, tmp_path) -> None:
    compiler, why = compilers.native()
    if compiler is None:
        pytest.skip(why)
    model = c_model(plan(program))
    (tmp_path / "model.h").write_text(model.header)
    main = '#include <stdio.h>\n#include "model.h"\nint main(void) { printf("%u", (unsigned)sizeof(snnas_state)); }\n'
    (tmp_path / "main.c").write_text(main)
    out = tmp_path / "size"
    subprocess.run([*compiler.command, "-I", str(tmp_path), str(tmp_path / "main.c"), "-o", str(out)], check=True)
    said = subprocess.run([str(out)], capture_output=True, check=True).stdout
    assert footprint(model, "cortex-m4").state == int(said)


def test_constants_are_the_bytes_of_the_arrays() -> None:
    program = random_variant(2)
    model = c_model(plan(program))
    lines = [line for line in model.source.splitlines() if line.startswith("static const ")]
    found = sum(
        SIZES[line.split()[2]] * int(line.split("[")[1].split("]")[0]) for line in lines if "place[32]" not in line
    )
    held = footprint(model, "cortex-m4")
    assert held.constants == found
    assert held.flash > found


@pytest.mark.parametrize(("kernel", "stride", "pad"), [(3, 1, 1), (3, 2, 1), (2, 2, 0), (5, 3, 2)])
def test_windows_per_pixel_are_what_the_map_reaches(kernel, stride, pad) -> None:
    source = (1, 9, 8)
    m = LinearMap(kind="conv", weight=np.ones((1, 1, kernel, kernel), np.int8), stride=(stride, stride), pad=(pad, pad))
    down, across = loops.of_map(m, source)
    assert down * across * 72 == pytest.approx(fan_out(m, source).sum())


def test_work_follows_the_spikes_and_the_measured_rates_choose() -> None:
    program = random_variant(3)
    quiet, loud = ({p.id: rate for p in program.populations} for rate in (0.0, 0.5))
    made = plan(program)
    silent, heard = (sum(n for k, n in work(made, r).items() if k.startswith("four_")) for r in (quiet, loud))
    assert silent == 0 < heard
    assert work(made, quiet)["neuron"] == work(made, loud)["neuron"]
    assert sum(work(made, loud).values()) > sum(work(made, quiet).values())
    first = program.populations[0].id
    for given, expected in ((0.25, 0.25), ("much", gather.RATE), (7.0, gather.RATE), (None, gather.RATE)):
        known = plan(replace(program, meta={**program.meta, "rates": {first: given}}))
        at = next(u.index for u in known.units if u.population.id == first)
        assert rate_of(known, at) == expected


def counted(program, system):
    x = samples(program)
    mapping, device = place(program, system)
    counter = Counter(program, mapping)
    for trace, currents in simulate_input(program, x):
        spikes_in = x > 0 if program.input_kind != "analogue" else None
        counter.add(trace, currents=currents or None, spikes_in=spikes_in)
    return mapping, device, counter.result()


def test_a_program_that_leaves_flash_does_not_fit_and_gets_no_joule() -> None:
    program = with_integers(random_variant(3))
    system = load_system("cortex-m4")
    mapping, device, counts = counted(program, system)
    found = priced(program, counts, mapping, device, None)
    assert mapping.fits
    assert found.device is not None
    assert found.device.instructions == instructions_of(program, counts, "cortex-m4")
    tight = replace(system, flash=device.footprint.flash - 1)
    mapping, device, counts = counted(program, tight)
    assert [m.resource for m in mapping.misfits] == ["flash"]
    assert not mapping.fits
    assert map_program(program, tight).fits  # it is the C that does not fit


@pytest.mark.parametrize("window", [host.WINDOW, 4])
def test_windows_or_matrix_is_decided_once(window, monkeypatch) -> None:
    """The text and the counts of a host stage go by the same decision."""
    monkeypatch.setattr(host, "WINDOW", window)
    made = plan(with_integers(random_variant(1)))
    written, counted = host.host(made).functions, work(made, {})
    assert ("uint32_t window[" in written) == (counted["pair"] > 0) == (window > 4)
    assert ("i_h0[k]" in written) == (counted["entry_host"] > 0) == (window == 4)


def test_pools_behind_the_weights_are_counted_window_by_window() -> None:
    pool = Pool((2, 2), (2, 2))
    m = LinearMap(kind="pooled_conv", weight=np.ones((3, 2, 1, 1), np.int8), post=(pool,))
    unit = next(u for u in plan(random_variant(3)).units if u.connections)
    connection = replace(unit.connections[0], map=m)
    found = loops.pooled(unit, connection, (2, 6, 6), 0.1)
    assert found["pooled"] == 3 * 36  # each sum lies in one window
    assert found["pooled_place"] == 3 * 9
    assert found["pooled_row"] == 3 * 9 * 2


def test_spikes_sent_at_the_end_never_arrive_behind_a_delay() -> None:
    made = next(
        p for p in map(plan, map(random_variant, range(40))) if any(c.distance for u in p.units for c in u.connections)
    )
    rates = {u.population.id: 0.25 for u in made.units} | {INPUT: 0.25}
    counted = {function: (times, once) for function, times, once in parts(made, rates)}
    for u in made.units:
        for c in u.connections:
            times, once = counted[f"synapse_{c.index}"]
            assert times == made.program.timesteps - c.distance
            assert once == connection(made, u, c, 0.25), "as many in each timestep as the source sends"


def test_a_late_readout_is_read_in_fewer_timesteps() -> None:
    made = plan(read_otherwise(random_variant(2), "max", seed=4))
    steps = made.program.timesteps
    called = {function: times for function, times, _ in parts(made, {u.population.id: 0.25 for u in made.units})}
    assert [late for _, _, late in made.readings] == [0, 1]
    assert (called["read_0"], called["read_1"]) == (steps, steps - 1)
