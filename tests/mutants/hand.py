"""Faults made by hand, each once survived by the whole suite: text for text, and the test that kills it now.

    python -m tests.mutants.hand [NAME ...]     plants each in a copy of the tree, runs its test, says what survived

``test_hand`` holds that each still is one place of the code, so that none is lost when lines move.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
COPIED = ("snnas", "toolchain", "search", "export", "hw_sim", "tests", "examples", "pyproject.toml")
KILLERS = "tests/mutants/test_killed.py"


@dataclass(frozen=True, slots=True)
class Mutant:
    """old, new: text of ``path``; old stands there once. test: fails with new; None where nothing can: equivalent."""

    name: str
    path: str
    old: str
    new: str
    test: str | None
    equivalent: str = ""


MUTANTS = (
    Mutant("fill without a drain", "hw_sim/simulate/counter.py",
           "(schedule.total_depth - cells.depth) * drained", "0 * drained", "test_filling_and_draining"),
    Mutant("fill without a bias", "hw_sim/simulate/counter.py",
           "filling += cells.depth * int(cells.biased.sum()) * samples", "filling += 0", "test_filling_and_draining"),
    Mutant("a bill without its latency's evidence", "hw_sim/energy/price.py",
           'any(line.part == "floor" for line in lines):', "False:", "test_a_floor_is_as_good_as_its_latency"),
    Mutant("a chip too many", "hw_sim/map/mapping.py",
           "chips_used = -(-len(usage) // system.cores)", "chips_used = len(usage) // system.cores + 1",
           "test_cores_that_fill_a_chip_take_one"),
    Mutant("no core filled exactly", "hw_sim/map/mapping.py",
           "used[r] <= left", "used[r] < left",
           "test_a_core_is_filled_exactly"),
    Mutant("a swap counted twice", "hw_sim/map/placement.py",
           " + 2 * both[a] * cost[place[a], place]", "", "test_two_that_talk_gain_nothing_by_a_swap"),
    Mutant("an effective kernel without strides", "hw_sim/map/wiring.py",
           "size + (kernel - 1) * jump, jump * stride", "size + (kernel - 1) * jump, jump",
           "test_a_window_behind_strides"),
    Mutant("a box that cuts a group", "hw_sim/map/wiring.py",
           "return box[0] // out * into, -(-box[1] // out) * into", "return box[0] // out * into, box[1] // out * into",
           "test_a_box_across_groups_reads_both"),
    Mutant("u at 2**23 wraps", "hw_sim/kernels.py",
           "u - (u > STATE_LIMIT) * (2 * STATE_LIMIT)", "u - (u >= STATE_LIMIT) * (2 * STATE_LIMIT)", None,
           "2**23 less 2**24 is -2**23, which the next line takes back to 2**23 (test_u_at_its_end_survives)"),
    Mutant("a leak beyond float32", "hw_sim/kernels.py",
           "reach * odd < 2 * STATE_LIMIT", "reach * odd < 4 * STATE_LIMIT", "test_every_state_leaks_exactly"),
    Mutant("sums beyond float32", "hw_sim/simulate/simulator.py",
           "_largest_sum(s.map) < 1 << 24:", "_largest_sum(s.map) < 1 << 25:", "test_a_sum_that_float32_does_not_hold"),
    Mutant("counts beyond a byte", "hw_sim/simulate/torch_maps.py",
           "and counts <= 255:", "and counts <= 1 << 16:", "test_a_pool_of_more_than_a_byte_is_not_packed"),
    Mutant("a neuron at its threshold must fire", "export/compiler/ranges.py",
           "least > threshold\n", "least >= threshold\n", "test_a_membrane_at_its_threshold_has_not_fired"),
    Mutant("no rounding of the host's sums", "export/compiler/ranges.py",
           "(products + 8 * len(maps)) * 2.0**-52", "0 * products * 2.0**-52", "test_the_hosts_sums_may_round"),
    Mutant("a negative gain's ends as they come", "export/compiler/ranges.py",
           "low + np.minimum(*ends), high + np.maximum(*ends)", "low + ends[0], high + ends[1]",
           "test_a_negative_gain_turns_the_ends"),
    Mutant("factors between a pool and a matrix", "export/compiler/paths.py",
           " or (self.weighted is None and values.ndim == 1 and self.pre)", "", None,
           "a factor per pooled neuron goes into the matrix's columns before it is unpooled: the same product; where "
           "the guard sends it instead, it is multiplied out to the same weights. Without weights, lengths other than "
           "the channels are refused two lines on, and equal ones are the channels (test_a_factor_behind_a_pool)"),
    Mutant("half a readout's bias", "export/compiler/readout.py",
           "bias = 64 * whole * still", "bias = 32 * whole * still", "test_a_readouts_constant_is_worth_its_spikes"),
    Mutant("a late input is scheduled", "export/compiler/schedule.py",
           "[(k.src, k.dst, k.distance) for k in circuit.links if k.src not in (INPUT, CLOCK)]",
           "[(k.src, k.dst, k.distance) for k in circuit.links if k.src not in (INPUT, CLOCK) or k.distance]",
           "test_an_input_that_waits_is_no_population"),
)  # fmt: skip


def run(mutants: Iterable[Mutant], python: str = sys.executable) -> list[str]:
    """The names of those that their tests let live."""
    alive = []
    with tempfile.TemporaryDirectory() as name:
        tree = Path(name)
        for part in COPIED:
            source = ROOT / part
            if source.is_dir():
                ignored = shutil.ignore_patterns("__pycache__", "studies", "faults", "oracles")
                shutil.copytree(source, tree / part, symlinks=True, ignore=ignored)
            else:
                shutil.copy(source, tree / part)
        for m in mutants:
            file = tree / m.path
            whole = file.read_text()
            file.write_text(whole.replace(m.old, m.new))
            killed = m.test is None or not _passes(tree, f"{KILLERS}::{m.test}", python)
            file.write_text(whole)
            print(f"{'equivalent' if m.test is None else 'killed' if killed else 'SURVIVED'}  {m.name}", flush=True)
            alive += [] if killed else [m.name]
    return alive


def _passes(tree: Path, test: str, python: str) -> bool:
    environment = {**os.environ, "PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [python, "-m", "pytest", "-n", "0", "-q", "-x", "-p", "no:cacheprovider", test]
    done = subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True, check=False)
    if done.returncode not in (0, 1):
        raise SystemExit(f"{test}: pytest ended with {done.returncode}\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.returncode == 0


def main(names: Sequence[str]) -> int:
    known = {m.name for m in MUTANTS}
    if unknown := set(names) - known:
        raise SystemExit(f"{sorted(unknown)[0]!r}: expected some of {', '.join(sorted(known))}")
    alive = run(m for m in MUTANTS if not names or m.name in names)
    print(f"{len(alive)} survived")
    return int(bool(alive))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
