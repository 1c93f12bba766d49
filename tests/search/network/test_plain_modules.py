"""A network in another package's own modules: the same spikes, step by step; and it comes back as a graph."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import snnas  # noqa: E402
from snnas.hw_sim.errors import UnsupportedError  # noqa: E402
from snnas.search.network.plain_modules import to_snntorch, to_spikingjelly  # noqa: E402
from tests.networks import images, random_network  # noqa: E402

T = 4
PACKAGES = {"spikingjelly": to_spikingjelly, "snntorch": to_snntorch}
NETWORKS = {
    "pruned, max-pool": ("lightsnn", {}),
    "mean-pool": ("snasnet", {}),
    "batch norm in the head": ("lightsnn", {"head": "bn_lif"}),
    "linear head": ("lightsnn", {"head": "linear"}),
}


def network(name: str, seed: int = 1) -> Any:
    space, sizes = NETWORKS[name]
    return random_network(space, seed, timesteps=T, **sizes)


@torch.no_grad()
def fired(net: Any, names: list[str], x: Any) -> tuple[dict[str, Any], Any]:
    """Spikes {LIF: (T, B, ...)} of a module of one timestep, and its answers."""
    found: dict[str, list[Any]] = {name: [] for name in names}
    for name in names:
        kept = found[name]
        net.get_submodule(name).register_forward_hook(lambda _m, _i, out, kept=kept: kept.append(out))
    total = sum(net(x) for _ in range(T)) / T
    return {name: torch.stack(steps) for name, steps in found.items()}, total


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("package", PACKAGES)
def test_spikes_are_the_networks(package: str, name: str) -> None:
    pytest.importorskip(package, reason=f"{package} is not installed")
    ours = network(name)
    spikes: dict[str, Any] = {}
    x = torch.from_numpy(images(32))
    with torch.no_grad():
        logits = ours(x, spikes=spikes)
    theirs, total = fired(PACKAGES[package](ours.layers()), list(spikes), x)
    assert min(float(s.mean()) for s in spikes.values()) > 0.01
    for lif, steps in spikes.items():
        assert int((theirs[lif].reshape(steps.shape) != steps).sum()) == 0, lif
    torch.testing.assert_close(total, logits, rtol=1e-5, atol=1e-5)


def test_it_is_plain_and_trains_on() -> None:
    """Every timestep at once, and gradients at every weight; no module is of ours."""
    functional = pytest.importorskip("spikingjelly.activation_based.functional", reason="spikingjelly is not installed")
    net = to_spikingjelly(network("pruned, max-pool").layers())
    assert {type(m).__module__.split(".")[0] for m in net.children()} == {"spikingjelly"}
    assert "snnas" not in net.code
    functional.set_step_mode(net, "m")
    x = torch.from_numpy(images(8)).expand(T, 8, 1, 8, 8)
    net.train()(x).sum().backward()
    assert all(p.grad is not None and bool(p.grad.abs().sum() > 0) for n, p in net.named_parameters() if "conv" in n)


def test_it_comes_back() -> None:
    pytest.importorskip("spikingjelly", reason="spikingjelly is not installed")
    ours = network("pruned, max-pool")
    x = images(32)
    model = snnas.from_torch(to_spikingjelly(ours.layers()), x, timesteps=T)
    with torch.no_grad():
        expected = ours(torch.from_numpy(x)).numpy() * T
    np.testing.assert_allclose(model.run(x), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("package", PACKAGES)
def test_a_backward_edge_is_refused(package: str) -> None:
    pytest.importorskip(package, reason=f"{package} is not installed")
    nets = (random_network("lightsnn", seed, backward=True, timesteps=T) for seed in range(9))
    net = next(net for net in nets if any(layer["op"] == "delay" for layer in net.layers()))
    with pytest.raises(UnsupportedError, match=r"layer cell1_n\d_delay: a backward edge reads the timestep before"):
        PACKAGES[package](net.layers())


def test_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "snntorch", None)
    with pytest.raises(UnsupportedError, match="pip install snntorch"):
        to_snntorch([])
