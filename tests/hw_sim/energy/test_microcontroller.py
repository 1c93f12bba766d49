"""Time and energy of instructions, by value; microcontrollers as systems; profiles that do not fit them."""

import pytest

from snnas.hw_sim.energy.microcontroller import bill_of, cycles_of, latency_of
from snnas.hw_sim.energy.profile import Band, load_profile
from snnas.hw_sim.errors import InvalidFileError, UnsupportedError
from snnas.hw_sim.map.system import CORES, UNLIMITED, load_system

MILLION = Band(low=9e5, nominal=1e6, high=1.1e6)


def test_ends_are_multiplied_end_by_end() -> None:
    profile = load_profile("stm32l412")
    each, time, energy = (profile.constants[k] for k in ("cycles.instruction", "time.cycle", "energy.cycle"))
    assert cycles_of(MILLION, profile).high == pytest.approx(1.1e6 * each.high)
    found = latency_of(MILLION, profile, 4)
    assert found.inference_us.nominal == pytest.approx(1e6 * each.value * time.value * 1e-3)
    assert found.step_us.low == pytest.approx(9e5 * each.low * time.low * 1e-3 / 4)
    assert found.throughput.low == pytest.approx(1e6 / found.inference_us.high)
    bill = bill_of(MILLION, profile)
    assert bill.total is not None
    assert bill.total.low == pytest.approx(9e5 * each.low * energy.low * 1e-6)
    assert bill.evidence == "analytic"
    assert not bill.partial


def test_a_chip_of_neurons_prices_no_instructions() -> None:
    with pytest.raises(UnsupportedError, match=r"profile loihi1 prices no microcontroller .*stm32l412"):
        bill_of(MILLION, load_profile("loihi1"))


@pytest.mark.parametrize("name", CORES)
def test_a_microcontroller_holds_all_neurons_on_one_core(name) -> None:
    system = load_system(name)
    assert system.core == name
    assert 0 < system.ram < system.flash < UNLIMITED
    assert system.compartments == UNLIMITED
    assert system.soft_reset


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('core = "z80"', "core is 'z80'; expected one of cortex-m4, rv32imc"),
        ('core = "rv32imc"', "limits.flash.value is None"),
        ('core = "rv32imc"\n[limits.flash]\nvalue = 0.5', "limits.flash.value is 0.5"),
    ],
)
def test_a_bad_file_is_named(text, words, tmp_path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(InvalidFileError, match=words):
        load_system(str(path))
