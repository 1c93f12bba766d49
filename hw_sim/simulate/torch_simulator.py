"""Runs a program in torch, on a CPU or a GPU: the spikes of ``simulator.py``, bit for bit, much faster.

Samples go through ``torch_engine`` in blocks that a last-level cache holds; what is asked for decides what is kept.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from snnas.hw_sim import kernels
from snnas.hw_sim.entries import Entries, Matrix, columns_in, product
from snnas.hw_sim.errors import UnsupportedError, UsageError
from snnas.hw_sim.host_stage import integer_stages
from snnas.hw_sim.program import INPUT, Program
from snnas.hw_sim.readout import late, of_counts, of_currents
from snnas.hw_sim.simulate.simulator import Trace, host_currents
from snnas.hw_sim.simulate.torch_engine import Block, Engine, spatial
from snnas.hw_sim.simulate.torch_maps import hwc

if TYPE_CHECKING:
    from torch import Tensor

Result = TypeVar("Result")

BLOCK_BYTES = {"cpu": 8 << 20, "cuda": 1 << 30}  # of one population's folded input: what a last-level cache holds


@dataclass(frozen=True, slots=True)
class Tally:
    """A run without its spikes. counts: {population: int64 (B, T)}; last: {population: bool (B, C, H, W)}, at T - 1."""

    counts: dict[str, np.ndarray]
    last: dict[str, np.ndarray]
    logits: np.ndarray

    @property
    def predictions(self) -> np.ndarray:
        return self.logits.argmax(axis=1)


class TorchSimulator:
    """A program made ready for ``device``.

    compile: fuse the neuron updates with torch.compile; where that does not work, a warning says why, ``compiled`` is
    False and the eager updates stay.
    """

    def __init__(self, program: Program, *, device: str = "cpu", compile: bool = False) -> None:
        self.program, self.device = program, device
        self.engine = Engine(program, device)
        self._shapes = {p.id: spatial(p.shape) for p in program.populations}
        self._largest = max(p.size for p in program.populations)
        place = BLOCK_BYTES.get(device.split(":")[0], BLOCK_BYTES["cpu"])
        self.block = max(1, place // (4 * program.timesteps * self._largest))  # samples
        self._readings = [
            (part, self._weights(columns_in(part.weight, hwc(program.population(part.src).shape))))
            for part in program.readout.readings
        ]
        self.compiled = False
        if compile:
            self._compile()

    def run(self, *, currents: dict[str, np.ndarray] | None = None, spikes_in: np.ndarray | None = None) -> Trace:
        """``simulator.simulate``. The spikes are views of (B, T, H, W, C) arrays: copy what needs another order."""
        import torch

        batch, steps = _samples(currents, spikes_in), self.program.timesteps
        sizes = {p.id: p.size for p in self.program.populations}
        whole = {n: torch.empty((batch, steps, k), dtype=torch.bool, device=self.device) for n, k in sizes.items()}

        def finish(block: Block, part: slice) -> np.ndarray:
            block.out = {name: spikes[part] for name, spikes in whole.items()}
            return self._logits(block.run())

        logits = self._blocks(currents or {}, spikes_in, batch, finish)
        images = {n: s.cpu().numpy().reshape(batch, steps, *self._shapes[n]) for n, s in whole.items()}
        return Trace(spikes={n: i.transpose(0, 1, 4, 2, 3) for n, i in images.items()}, logits=np.concatenate(logits))

    def tally(self, *, currents: dict[str, np.ndarray] | None = None, spikes_in: np.ndarray | None = None) -> Tally:
        """Spike counts, the last timestep's spikes and logits: nothing else leaves the device, or is kept on it."""

        def finish(block: Block, part: slice) -> Tally:
            counts: dict[str, np.ndarray] = {}
            last: dict[str, np.ndarray] = {}

            def note(name: str, s: Tensor) -> None:
                counts[name] = _row_counts(s)
                last[name] = s[:, -1].reshape(-1, *self._shapes[name]).cpu().numpy().transpose(0, 3, 1, 2)

            return Tally(counts, last, self._logits(block.run(note)))

        parts = self._blocks(currents or {}, spikes_in, _samples(currents, spikes_in), finish)
        return Tally(
            counts={p.id: np.concatenate([t.counts[p.id] for t in parts]) for p in self.program.populations},
            last={p.id: np.concatenate([t.last[p.id] for t in parts]) for p in self.program.populations},
            logits=np.concatenate([t.logits for t in parts]),
        )

    def run_input(
        self,
        x: np.ndarray,
        *,
        batch: int | None = None,
        memory_bytes: int = 1 << 30,
        full: bool = True,
        advance: Callable[[int, int], None] | None = None,
    ) -> Iterator[tuple[Trace | Tally, dict[str, np.ndarray]]]:
        """Runs samples in chunks, as ``simulator.simulate_input``: each chunk's result and the currents that drove it.

        batch: samples per chunk; by default as many as ``memory_bytes`` hold. full: traces, else tallies.
        advance: told ``(done, total)`` samples.
        """
        program = self.program
        size = batch or self.samples_within(memory_bytes, full=full)
        stages = integer_stages(program) if program.host_integers is not None else None
        for start in range(0, len(x), size):
            part = x[start : start + size]
            currents: dict[str, np.ndarray] = {}
            spikes_in = None
            if program.input_kind == "analogue":
                currents = host_currents(program, part, stages)
            else:
                if program.input_kind == "counts" and part.max(initial=0) > 1:
                    raise UnsupportedError(
                        f"an input count of {part.max():g}: a synapse carries one spike per timestep; bin the events "
                        "more finely, or clip the counts to 1"
                    )
                spikes_in = part > 0
            run = self.run if full else self.tally
            yield run(currents=currents, spikes_in=spikes_in), currents
            if advance is not None:
                advance(min(start + size, len(x)), len(x))

    def samples_within(self, memory_bytes: int, *, full: bool) -> int:
        """How many samples a chunk may hold: its spikes, its host currents with their float64 windows, one block."""
        program = self.program
        steps = program.timesteps
        frames = steps if program.input_kind == "analogue" else 1
        windows = sum(
            int(np.prod(h.map.weight.shape[1:])) * int(np.prod(program.population(h.dst).shape[1:]))
            for h in program.host
        )
        driven = sum(program.population(name).size for name in {h.dst for h in program.host})
        sample = 8 * frames * (windows + 3 * driven) + 4 * steps * int(np.prod(program.input_shape))
        sample += sum(p.size for p in program.populations) * (2 * steps if full else 1)
        block = self.block * steps * self._largest * 16
        return int(np.clip((memory_bytes - block) // max(sample, 1), 1, 1 << 14))

    # ---------------------------------------------------------------------------------------------------- inner parts

    def _blocks(
        self,
        currents: dict[str, np.ndarray],
        spikes_in: np.ndarray | None,
        batch: int,
        finish: Callable[[Block, slice], Result],
    ) -> list[Result]:
        """``finish`` of each block of samples, in order.

        On a CPU blocks go to one Python thread per core, each of which computes alone: torch's own threads would meet
        after every pass over a megabyte, which costs more than it saves.
        """
        import torch

        largest = {n: int(np.abs(c).max(initial=0)) for n, c in currents.items()}
        fused = {p.id: self.engine.constants(p, largest.get(p.id, 0)) for p in self.program.populations}

        def work(start: int) -> Result:
            part = slice(start, min(start + self.block, batch))
            with torch.inference_mode():
                block = Block(
                    engine=self.engine,
                    samples=part.stop - part.start,
                    currents={n: self._placed(c[part]) for n, c in currents.items()},
                    fused=fused,
                    spikes={} if spikes_in is None else {INPUT: self._placed(spikes_in[part])},
                )
                return finish(block, part)

        starts = range(0, batch, self.block)
        threads = min(torch.get_num_threads(), len(starts))
        if self.device == "cpu" and threads > 1 and not self.compiled:
            with alone(threads) as pool:
                return list(pool.map(work, starts))
        cuda = torch.backends.cuda.matmul
        tf32, cuda.allow_tf32 = cuda.allow_tf32, False  # 10 bits of mantissa would round
        try:
            return [work(start) for start in starts]
        finally:
            cuda.allow_tf32 = tf32

    def _placed(self, x: np.ndarray) -> Tensor:
        """(B, T, C, H, W) -> (B, T, N) on the device, in (H, W, C) order."""
        import torch

        moved = torch.from_numpy(np.ascontiguousarray(x)).to(self.device)
        return moved.permute(0, 1, 3, 4, 2).flatten(2).contiguous()

    def _weights(self, matrix: Matrix) -> Tensor | Entries:
        """Float64 on the device; of entries, which are few and summed by NumPy, as they are."""
        import torch

        if isinstance(matrix, Entries):
            return matrix
        return torch.from_numpy(matrix.astype(np.float64)).to(self.device)

    def _logits(self, spikes: dict[str, Tensor]) -> np.ndarray:
        import torch

        r, steps = self.program.readout, self.program.timesteps
        total: np.ndarray = np.zeros((), np.int64)
        for part, weight in self._readings:
            seen = spikes[part.src]
            if r.counts_spikes:  # below T * N * 128 < 2**53: float64 is exact
                counts = seen[:, : max(steps - part.distance, 0)].sum(dim=1).to(torch.float64)
                total = total + _brought(counts, weight)
            else:
                total = total + late(_brought(seen.to(torch.float64), weight), part.distance)
        return of_counts(r, total, steps) if r.counts_spikes else of_currents(r, total)

    def _compile(self) -> None:
        import torch

        try:
            f = kernels.fused(1024, 4, 1, current=8, bias=0, steps=2)
            assert f is not None
            with torch.inference_mode(), warnings.catch_warnings():
                warnings.simplefilter("ignore")  # torch's own, about its own parts
                steps = _stepping(torch.compile(kernels.fused_step, dynamic=True))
                v = torch.zeros(2, 8, device=self.device)
                steps(v, v.new_ones(2, 2, 8), None, v.new_empty((2, 2, 8), dtype=torch.bool), f)
        except Exception as error:  # inductor's failures have no common class
            reason = " ".join(str(error).split())[:160]
            warnings.warn(f"torch.compile does not work here ({reason}); running eagerly", stacklevel=3)
            return
        self.engine.fused, self.compiled = steps, True


def _brought(x: Tensor, weight: Tensor | Entries) -> np.ndarray:
    """``x @ weight.T``, int64; x: float64 (..., N)."""
    import torch

    if isinstance(weight, Entries):
        return product(x.to(torch.int64).cpu().numpy(), weight)
    return np.asarray((x @ weight.T).to(torch.int64).cpu().numpy())


def _stepping(step: Callable[..., None]) -> Callable[..., None]:
    """``kernels.fused_steps`` from a compiled ``kernels.fused_step``."""

    def steps(v: Tensor, u: Tensor | None, constant: Tensor | None, spikes: Tensor, f: kernels.Fused) -> None:
        import torch

        out, threshold = spikes.view(torch.uint8), v.new_full((), f.threshold)
        for t in range(out.shape[1]):
            step(v, None if u is None else u[:, t], constant, out[:, t], threshold, f._replace(threshold=0))

    return steps


@contextlib.contextmanager
def alone(threads: int) -> Iterator[ThreadPoolExecutor]:
    """A pool whose threads use one core each; the caller's own number of threads stays as it is."""
    import torch

    before = torch.get_num_threads()
    with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        try:
            yield pool
        finally:
            torch.set_num_threads(before)  # the number is also what threads started later begin with


def _samples(currents: dict[str, np.ndarray] | None, spikes_in: np.ndarray | None) -> int:
    if spikes_in is not None:
        return len(spikes_in)
    if not currents:
        raise UsageError(
            "the program is driven by neither currents nor spikes; give what host_currents returns, or spikes_in"
        )
    return len(next(iter(currents.values())))


def _row_counts(spikes: Tensor) -> np.ndarray:
    """Spikes per sample and timestep, int64 (B, T). NumPy counts the bytes of a row 20 times as fast as torch."""
    import torch

    if spikes.device.type != "cpu":
        return torch.count_nonzero(spikes, dim=2).cpu().numpy()
    rows = spikes.numpy()
    return np.array([[np.count_nonzero(row) for row in sample] for sample in rows], dtype=np.int64)
