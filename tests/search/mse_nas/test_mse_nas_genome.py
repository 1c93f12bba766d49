import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snnas.hw_sim.errors import InvalidFileError, UsageError
from snnas.search.mse_nas.config import MseConfig, reductions_for
from snnas.search.mse_nas.encoding import BLOCK, GenomeSpace, expressed
from snnas.search.mse_nas.genome import Genome, MotifCell
from snnas.search.mse_nas.motifs import EXCITATORY, IN, INHIBITORY, MOTIFS, NAMES

spaces = st.builds(GenomeSpace, st.integers(1, 5))


def genomes():
    return st.builds(lambda space, seed: space.random(np.random.default_rng(seed)), spaces, st.integers(0, 9999))


@given(genomes())
def test_json_and_vectors_come_back_equal(genome: Genome) -> None:
    assert Genome.from_json(genome.to_json()) == genome
    space = GenomeSpace(len(genome.cells))
    assert space.decode(space.encode(genome)) == genome
    assert Genome.from_json(genome.to_json()).architecture_id == genome.architecture_id
    assert json.loads(genome.to_json())["space"] == genome.space == "mse_nas"


@given(spaces, st.integers(0, 9999), st.data())
def test_a_gene_is_silent_exactly_where_no_synapse_reads_it(space: GenomeSpace, seed: int, data: st.DataObject) -> None:
    genes = space.draw(np.random.default_rng(seed))
    genome = space.decode(genes)
    cell, place = data.draw(st.integers(0, space.cells - 1)), data.draw(st.integers(1, BLOCK - 1))
    changed = genes.copy()
    changed[cell * BLOCK + place] ^= 1
    read = place in expressed(genome.cells[cell].motif, genome.fan_in)
    assert (space.decode(changed).architecture_id != genome.architecture_id) == read


@settings(max_examples=30)
@given(spaces, st.integers(0, 9999))
def test_every_gene_is_drawn_over_its_whole_range(space: GenomeSpace, seed: int) -> None:
    rng = np.random.default_rng(seed)
    drawn = np.stack([space.draw(rng) for _ in range(200)])
    assert (drawn.min(0) == 0).all()
    assert (drawn.max(0) == space.sizes - 1).all()


def test_the_motifs_are_those_of_the_papers() -> None:
    assert NAMES == ("FE", "FI", "FbI", "LI", "MI")
    assert [len(m.outputs) for m in MOTIFS.values()] == [2, 3, 3, 5, 2]
    assert [len(m.edges(3)) for m in MOTIFS.values()] == [4, 6, 6, 12, 8]
    inhibited = {m.name: [e.name for e in m.edges(2) if e.sign == INHIBITORY] for m in MOTIFS.values()}
    assert inhibited == {
        "FE": [],
        "FI": ["C->D"],
        "FbI": ["C->Bi"],
        "LI": ["M->O1", "M->O2"],
        "MI": ["B->C", "C->Bi"],
    }
    assert [n.version_of for n in MOTIFS["FbI"].nodes] == [None, None, "B", None]
    assert MOTIFS["FbI"].nodes[-1].edges[0].source == "Bi"  # what is listed behind a back edge reads the new version


@pytest.mark.parametrize("name", NAMES)
def test_no_node_is_inhibited_alone_and_no_motif_has_a_cycle(name: str) -> None:
    motif, seen = MOTIFS[name], {IN}
    for node in motif.nodes:
        signs = [edge.sign for edge in node.edges]
        assert EXCITATORY in signs or node.version_of is not None
        assert {edge.source for edge in node.edges} <= seen
        seen.add(node.name)
    replaced = {node.version_of for node in motif.nodes}
    assert set(motif.outputs) == {node.name for node in motif.nodes} - replaced  # the newest versions, all of them


GOOD = Genome(2, (MotifCell("FE", (3, 5, 3)),))


@pytest.mark.parametrize(
    ("fan_in", "motif", "kernels", "message"),
    [
        (4, "FE", (3, 5, 3), "fan_in = 4 .* 2 or 3"),
        (2, "FbL", (3, 5, 3), "unknown motif 'FbL' .* did you mean 'FbI'"),
        (2, "FE", (3, 5), "2 kernels in motif cell 1 .* expected 3"),
        (2, "FE", (3, 5, 7), "kernel 7 of B->C .* 3 or 5"),
    ],
)
def test_what_is_not_a_genome_is_refused(fan_in: int, motif: str, kernels: tuple[int, ...], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Genome(fan_in, (MotifCell(motif, kernels),))


def changed(**values) -> str:
    return json.dumps({**GOOD.plain(), **values})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("[]", "expected an object"),
        (changed(space="lightsnn"), "lightsnn"),
        (changed(version=True), "format, version and space"),
        (changed(fan_in=True), "fan_in True .* 2 or 3"),
        (changed(extra=1), "'extra'"),
        (changed(cells=[]), "1 to 64"),
        (changed(cells=[{"motif": "LL", "kernels": {}}]), r"'LL' at .*cells\[0\]"),
        (changed(cells=[{"motif": "FE", "kernels": {"in1->B": 3, "in2->B": 3}}]), "kernels lacks B->C"),
        (changed(cells=[{"motif": "FE", "kernels": {"in1->B": 3, "in2->B": 3, "B->C": 4}}]), "kernel 4"),
        (changed(cells=[{"motif": "FE", "kernels": {"in1->B": 3, "in2->B": 3, "B->C": [5]}}]), r"kernel \[5\]"),
    ],
)
def test_files_that_are_wrong_say_what_and_where(text: str, message: str) -> None:
    with pytest.raises(InvalidFileError, match=message) as caught:
        Genome.from_json(text, where="here.json")
    assert "here.json" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_space_refuses_what_is_not_its_own() -> None:
    space = GenomeSpace(1, motifs=("FE", "MI"), fan_ins=(2,))
    rng = np.random.default_rng(0)
    assert {space.random(rng).cells[0].motif for _ in range(50)} == {"FE", "MI"}
    for genome in (Genome(3, (MotifCell("FE", (3,) * 4),)), Genome(2, (MotifCell("FI", (3,) * 5),))):
        with pytest.raises(UsageError, match="expected"):
            space.encode(genome)
    with pytest.raises(UsageError, match="gene vector"):
        space.decode(np.zeros(3, dtype=np.int64))
    with pytest.raises(UsageError, match="motifs"):
        GenomeSpace(1, motifs=("FE", "FE"))


def test_the_configuration_comes_back_and_names_what_is_wrong() -> None:
    config = MseConfig(input_shape=(3, 32, 32), classes=10)
    assert MseConfig.from_json(config.to_json()) == config
    assert config.motif_cells == (1, 3, 6)
    assert [config.width(n) // config.channels for n in range(1, 7)] == [1, 2, 2, 4, 8, 8]
    for wrong, message in (
        ({"reductions": (2, 2)}, "reductions"),
        ({"reductions": (1, 2, 3, 4, 5, 6)}, "not of all"),
        ({"reductions": (7,)}, "reductions"),
        ({"tau": 1.0}, "tau"),
        ({"channels": True}, "channels"),
        ({"input_shape": (3, 32)}, "input_shape"),
        ({"input_kind": "sound"}, "input_kind"),
    ):
        with pytest.raises(UsageError, match=message):
            MseConfig(**{"input_shape": (3, 32, 32), "classes": 10, **wrong})
    with pytest.raises(InvalidFileError, match=r"channels = '16' .*net\.json"):
        MseConfig.from_json(config.to_json().replace('"channels": 16', '"channels": "16"'), where="net.json")


def test_reductions_leave_four_pixels_a_side() -> None:
    assert reductions_for((3, 32, 32), 6) == (2, 4, 5)  # as in the release
    assert reductions_for((1, 8, 8), 4) == (2,)
    assert reductions_for((1, 5, 40), 6) == ()
    assert reductions_for((3, 64, 64), 1) == ()
