"""NIR with other tools, each in a process and environment of its own: theirs to us, and ours to them.

``SNNAS_<TOOL>_PYTHON`` names an interpreter with the tool (and nir, nirtorch); ``make oracles`` makes them all. What
was measured with them stands in docs/whose.md.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from snnas.export.compiler.compile import compile_graph
from snnas.export.compiler.fold import fold
from snnas.export.dialects.steps import to_graph
from snnas.export.executors import interpreter
from snnas.export.formats.nir_file import write_nir
from snnas.export.graph.waiting_edges import read_choices
from snnas.hw_sim.errors import UnsupportedError
from snnas.hw_sim.simulate import simulator
from snnas.toolchain.models.find_convention import Verdict, detect
from snnas.toolchain.models.recording import Recording, read_recording
from tests.networks import images, random_network
from tests.oracles.nir_peers import WRITERS, worker

pytestmark = pytest.mark.oracle
NETWORKS, SEED, RIGHT = 20, 1, 19


@pytest.fixture(scope="module", params=WRITERS)
def theirs(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, list[Path]]:
    """The tool's name, and the networks that it wrote, each with its recording beside it."""
    folder = tmp_path_factory.mktemp(request.param)
    worker(request.param, "write", folder, NETWORKS, SEED)
    return request.param, sorted(folder.glob("*.nir"))


def examined(path: Path) -> tuple[Verdict, Recording, dict]:
    graphs = read_choices(path)
    recording = read_recording(path.with_suffix(".npz"), next(iter(graphs.values())))
    return detect(graphs, recording), recording, graphs


def test_the_detective_is_right_or_says_that_it_does_not_know(theirs: tuple[str, list[Path]]) -> None:
    tool, paths = theirs
    assert len(paths) == NETWORKS
    right = 0
    for path in paths:
        verdict, recording, _ = examined(path)
        assert len(recording.x) <= 8
        assert verdict.status != "none", (path, verdict.headline)
        assert tool in {r.dialect.tool for r in verdict.fitting}, (path, verdict.headline)
        right += verdict.status == "named"
    assert right >= RIGHT


def test_their_graphs_run_on_the_program_or_are_refused_by_name(theirs: tuple[str, list[Path]]) -> None:
    """Float: every spike as recorded. Integer: under 2 % of the last layer's spikes differ, with a soft reset, which
    forgets no error, under 10 %. Refusals name the node.
    """
    tool, paths = theirs
    ran, refusals = 0, []
    for path in paths:
        verdict, recording, graphs = examined(path)
        row = next(r for r in verdict.fitting if r.dialect.tool == tool)
        last = list(recording.spikes)[-1]
        try:
            graph = to_graph(graphs[row.delayed], row.dialect)
            run = interpreter.run(graph, recording.x, recording.timesteps)
            for name, spikes in recording.spikes.items():
                np.testing.assert_array_equal(run.spikes[name], spikes > 0, err_msg=f"{path} {name}")
            kind = "spikes" if set(np.unique(recording.x)) <= {0, 1} else "analogue"
            program = compile_graph(
                graph, timesteps=recording.timesteps, input_kind=kind, spikes=run.spikes, soft_reset=True
            )
        except UnsupportedError as error:
            refusals.append(str(error))
            continue
        place = next(group for group, node in program.meta["node_of"].items() if node == last)
        x = recording.x.reshape(*recording.x.shape[:2], *program.input_shape)
        found = np.concatenate([trace.spikes[place] for trace, _ in simulator.simulate_input(program, x)])
        limit = 0.1 if any(p.taken for p in program.populations) else 0.02
        assert (found.reshape(recording.spikes[last].shape) != recording.spikes[last]).mean() < limit
        ran += 1
    assert ran + len(refusals) == NETWORKS
    assert all(why.startswith("node ") for why in refusals)
    assert ran >= {"norse": 20, "spikingjelly": 20, "snntorch": 13, "sinabs": 7, "rockpool": 5}[tool]


def run_there(tool: str, tmp_path: Path, space: str, seed: int) -> None:
    graph, x = fold(random_network(space, seed).layers()), images(4, seed)
    timesteps = 5
    frames = np.repeat(x[:, None], timesteps, axis=1)
    write_nir(tmp_path / "m.nir", graph)
    np.savez(tmp_path / "m.npz", x=frames)
    worker(tool, "read", tmp_path)
    assert not (tmp_path / "m.error").exists(), (tmp_path / "m.error").read_text()
    ours = interpreter.run(graph, x, timesteps)
    with np.load(tmp_path / "m.out.npz") as found:
        assert set(found.files) == {"output", *(f"spikes.{n}" for n in ours.spikes)}
        for name, spikes in ours.spikes.items():
            theirs = found[f"spikes.{name}"].reshape(spikes.shape)
            np.testing.assert_array_equal(theirs, spikes, err_msg=f"{name}, margin {ours.margin:g}")
        np.testing.assert_allclose(found["output"].reshape(ours.output.shape), ours.output, atol=1e-5)
    assert any(len(graph.sources(n)) > 1 for n in graph.nodes) or seed not in (0, 4)
    assert sum(int(s.sum()) for s in ours.spikes.values()) > 100


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("tool", ["snntorch", "norse"])
def test_every_spike_of_our_graphs_with_skips_and_max_pools(tool: str, seed: int, tmp_path: Path) -> None:
    run_there(tool, tmp_path, "lightsnn", seed)


@pytest.mark.parametrize("seed", range(5))
def test_every_spike_of_our_graphs_with_average_pools(seed: int, tmp_path: Path) -> None:
    """In snntorch; norse 1.1.0 has no AvgPool2d and stops with a KeyError."""
    run_there("snntorch", tmp_path, "snasnet", seed)
