"""The search of a run with MSE-NAS: evolution over genomes of motifs; killed at any moment, it resumes."""

from __future__ import annotations

import time
from typing import Any

from toolchain.narration import Narrator, counted
from toolchain.restoring import dataset_of
from toolchain.runs import Run
from toolchain.scoring_batch import copies_note, scoring_batch
from toolchain.searching import conclude
from toolchain.seeds import stream, torch_seed

BATCHES = 2  # the fitness is a mean over so many


def search(run: Run, narrator: Narrator) -> None:
    """Finds the genome of a run; what its log already holds is not evaluated again."""
    import torch

    from search.methods import mse_nas
    from search.mse_nas.config import MseConfig
    from search.mse_nas.encoding import GenomeSpace
    from search.mse_nas.rdm import RdmScorer

    if run.genotype.exists():
        return
    config = run.config()
    seed, method = int(config["seed"]), config["method"]
    device = str(config["versions"]["device"])
    data = dataset_of(run)
    network = MseConfig.from_json(run.network_json(), where=str(run.path / "run.toml"))
    drawn = torch.from_numpy(scoring_batch(data, seed, BATCHES * int(method["batch"])))
    size = len(drawn) // BATCHES
    batches = [drawn[k * size : (k + 1) * size].to(device) for k in range(BATCHES)]
    note = copies_note(data, BATCHES * int(method["batch"]), len(drawn))
    if note:
        narrator.say(f"  {note}")
    population, generations = int(method["population"]), int(method["generations"])
    log = run.search_log
    log.mend()
    seen = log.read()
    begun, done = time.perf_counter(), sum(r.get("event") == "evaluation" for r in seen)
    total = population * generations
    if done:
        narrator.say(f"  {done} of {counted(total, 'evaluation')} are taken over from the log")
    with narrator.progress(f"evolving {population} genomes over {generations} generations") as advance:

        def record(entry: dict[str, Any]) -> None:
            nonlocal done
            log.append(entry)
            done += entry.get("event") == "evaluation"
            advance(done, total)

        result = mse_nas.run(
            GenomeSpace(len(network.motif_cells)),
            RdmScorer(network, batches, seed=torch_seed(seed, "supernet")),
            log=record,
            resume=seen,
            rng=stream(seed, "mse_nas"),
            population=population,
            generations=generations,
        )
    conclude(run, result, narrator, time.perf_counter() - begun, resumed=bool(seen))
