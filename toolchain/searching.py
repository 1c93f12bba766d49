"""The search of a run: from its configuration to a genotype; killed at any moment, it resumes."""

from __future__ import annotations

import time
from typing import Any

from hw_sim.errors import GateError
from toolchain.files import write_text
from toolchain.narration import Narrator
from toolchain.restoring import dataset_of
from toolchain.runs import Run
from toolchain.seeds import stream, torch_seed
from toolchain.starting import resolve_device


def use_device(run: Run, device: str | None) -> None:
    """Go on with a search on ``device``, or on the one it was started on; UsageError where torch cannot use it."""
    config = run.config()
    before = config["versions"]["device"]
    config["versions"]["device"] = resolve_device(device or before)
    if config["versions"]["device"] != before:
        run.write_config(config)


def search(run: Run, narrator: Narrator) -> None:
    """Finds the genotype of a run; what its log already holds is not evaluated again."""
    import torch

    from search.batched import BatchedScorer
    from search.depth_time import DepthTimeScorer
    from search.guards import Finding
    from search.methods import Choices, lightsnn, snasnet
    from search.network_config import NetworkConfig
    from search.space import get
    from search.supernet import Supernet

    if run.genotype.exists():
        return
    config = run.config()
    seed, method = int(config["seed"]), config["method"]
    device = str(config["versions"]["device"])
    data = dataset_of(run)
    network = NetworkConfig.from_json(run.network_json(), where=str(run.path / "run.toml"))
    space = get(str(method["space"]))
    supernet = Supernet(space, network, backward=bool(method["backward"]), seed=torch_seed(seed, "supernet")).to(device)
    size = min(int(method["batch"]), len(data.x_train))
    batch = torch.from_numpy(data.x_train[stream(seed, "proxy").permutation(len(data.x_train))[:size]]).to(device)
    log = run.search_log
    log.mend()
    backward, draws = bool(method["backward"]), int(method.get("candidates", 0))
    if method["name"] == "snasnet":
        # The draws are made twice: here to know how many differ, and by the search.
        total = len(snasnet.distinct(space, draws, stream(seed, "snasnet"), backward=backward))
    else:
        edges, ops = len(space.edges(backward=backward)), len(space.ops)
        total = edges * (ops * (ops + 1) // 2 - 1) + 1
    seen = log.read()
    done = sum(r.get("event") == "evaluation" for r in seen)
    begun = time.perf_counter()
    with narrator.progress(f"searching {space.name}: {total} evaluations") as advance:

        def record(entry: dict[str, Any]) -> None:
            nonlocal done
            log.append(entry)
            done += entry.get("event") == "evaluation"
            advance(done, total)

        def inspect(choices: Choices) -> tuple[Finding, ...]:
            return supernet.inspect(batch, choices)

        # A run of before the option was scored by SAHD.
        score = DepthTimeScorer(supernet, batch) if method.get("proxy") == "snnas" else BatchedScorer(supernet, batch)
        shared: dict[str, Any] = {"log": record, "resume": seen, "backward": backward, "inspect": inspect}
        if method["name"] == "snasnet":
            rng = stream(seed, "snasnet")
            result = snasnet.run(space, score, candidates=draws, rng=rng, **shared)
        else:
            result = lightsnn.run(space, score, **shared)
    seconds = time.perf_counter() - begun
    for guard in result.guards:
        narrator.say(f"  guard {guard.get('guard', guard.get('name'))}: {guard.get('text', guard)}")
    if result.refused:
        raise GateError(
            f"search: the network found, {result.genotype.architecture_id}, gives the same output for every sample of "
            f"the batch, expected one that depends on its input; search again with another --seed or a larger --batch"
        )
    silent = sum(rate == 0 for rate in result.firing.values())
    narrator.say(
        f"  found {result.genotype.architecture_id} in {seconds:.1f} s; {silent} of {len(result.firing)} layers silent"
    )
    config["search"] = {
        "seconds": round(seconds, 3),
        "evaluations": result.evaluations,
        "score": result.score,
        "silent_layers": silent,
        "guards": len(result.guards),
        "architecture": result.genotype.architecture_id,
        "resumed": bool(seen),
    }
    run.write_config(config)
    write_text(run.genotype, result.genotype.to_json())
