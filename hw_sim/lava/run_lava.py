"""Runs a program in Lava's stock ``fixed_pt`` processes and compares every spike with the recorded ones.

    python run_lava.py [FOLDER] [--samples N] [--out OUT] [--quiet] [--parent PID]

FOLDER (default: where this file lies) holds ``program.npz`` (the integer network) and ``golden.npz`` (recorded inputs
and spikes). This file stands alone: Python 3.10, lava-nc 0.10 (with the numpy and scipy that it brings), nothing else.
Exit codes: 0 every spike equal, 1 some differ, 2 wrong usage or files, 70 Lava itself failed.

What is built, and why it is exact (facts measured on lava-nc 0.10.0):

* A population is a ``LIFReset`` of shape (W, H, C); with du = 4095, the default, u is the input of the step,
  ``a << 6``.
* Every synapse process (``Conv``, ``Dense``, ``Sparse``) takes one hardware step; direct connections and neurons take
  none. Timestep t of sample b of population p is therefore computed at hardware step
  ``LEAD + (b * (T + blank) + t) * P + depth[p]``; Lava counts from 1, so its time_step is one more.
* ``Conv`` ignores its weight exponent: it is multiplied in. It convolves, we correlate: kernels are flipped.
* ``Dense`` and ``Sparse`` drop the lowest bit of mixed-sign weights and clip to [-256, 255]: weights are stored shifted
  left by one with an exponent one lower. A matrix whose entries exceed int8 (overlapping pools, expanded) is split into
  digits of base 128, one ``Sparse`` each.
* Where the period exceeds 1, a neuron leaks on all P steps and receives input on one of them.
* Before each sample's first timestep the sources of delayed synapses are held silent by an inhibitory pulse, so that
  delayed spikes are 0 at t = 0.
"""

from __future__ import annotations

import os
import sys

if __name__ == "__main__":
    # A file beside this one (numpy.py, random.py) must not be imported in place of the real module.
    sys.path[:] = [p for p in sys.path if p and os.path.realpath(p) != os.path.dirname(os.path.realpath(__file__))]
    # Lava forks a process per population and synapse; threads inside each would only fight over the cores.
    for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(_name, "1")

import argparse
import contextlib
import importlib
import importlib.machinery
import json
import platform
import re
import shutil
import signal
import stat
import struct
import tempfile
import threading
import time
import types
import zipfile
import zlib
from dataclasses import dataclass
from typing import Any, Callable, Dict, List, Optional, Tuple

try:
    import numpy as np
except ImportError:
    if __name__ != "__main__":
        raise
    print(f"numpy is not installed for {sys.executable}; run it by a Python 3.10 with lava-nc==0.10.0", file=sys.stderr)
    sys.exit(2)

FORMAT = "snnas.program/2"
FORMAT_INTEGERS = "snnas.program/3"  # with a host stage in integers; here its currents are recorded in either case
FORMAT_ENTRIES = "snnas.program/4"  # with a readout by its entries, and a host stage of either kind
FORMAT_FINER = "snnas.program/5"  # with channels of different steps into a host stage in integers, and either readout
FORMATS = (FORMAT, FORMAT_INTEGERS, FORMAT_ENTRIES, FORMAT_FINER)
INPUT, CLOCK = "input", "clock"
LEAD = 2  # hardware steps before the first sample: room for what is driven one step ahead of a reader at depth 0
SILENCE_WEIGHT, SILENCE_EXPONENT = -192, 8  # -49152 weight units: beyond any input (32767) and bias (8190), and
# 49152 + 32767 stays below 131072, where u would wrap
BYTE_MAX = 127  # Lava keeps a Conv's kernel size, stride, padding and groups in int8
RUN_BYTES = 200_000_000  # input data of one Lava run; more samples go into further runs
LIMIT_BYTES = 2 << 30

Arrays = Dict[str, np.ndarray]
_HEADER = re.compile(
    r"\{'descr': '([<>|=]?)([biufSU])(\d{1,6})', 'fortran_order': (True|False), 'shape': \(([0-9, ]{0,200})\), \}\s*\n"
)


def imported(module: str, name: str) -> Any:
    """``module.name``, imported when it is needed: this file is also read where there is no Lava."""
    return getattr(importlib.import_module(module), name)


class BadFile(ValueError):
    """A file is not what its format promises; the text is one line."""


# ---------------------------------------------------------------------------------------------------- reading files


def read_npz(path: str, limit_bytes: int = LIMIT_BYTES, entries: int = 100_000, text: bool = False) -> Arrays:
    """The arrays of an .npz; BadFile where it is not one. Nothing is unpickled, nothing beyond the limit allocated.

    Each entry's npy header (shape and dtype) must agree with the entry's declared size, and the sizes' sum with the
    limit, before any memory is taken. text: leave entries of text alone, which are a person's, beside arrays.
    """
    try:
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode):
            raise BadFile("not a regular file")
        if status.st_size > limit_bytes:
            raise BadFile(f"{status.st_size} bytes; at most {limit_bytes} are read")
        with zipfile.ZipFile(path) as archive:
            return _read_entries(archive, limit_bytes, entries, text)
    except BadFile:
        raise
    except OSError as error:
        raise BadFile(error.strerror or "cannot be read") from None
    except (zipfile.BadZipFile, zlib.error, struct.error, EOFError, RuntimeError, ValueError, KeyError) as error:
        # RuntimeError: an encrypted entry; its subclass NotImplementedError: an unknown compression.
        raise BadFile(f"not a readable zip archive: {' '.join(str(error).split())[:120]}") from None
    except (OverflowError, MemoryError, IndexError, TypeError, AssertionError):
        raise BadFile("not a readable zip archive") from None


def _read_entries(archive: zipfile.ZipFile, limit_bytes: int, entries: int, text: bool) -> Arrays:
    infos = archive.infolist()
    if len(infos) > entries:
        raise BadFile(f"{len(infos)} entries; at most {entries} are read")
    total = sum(info.file_size for info in infos)
    if total > limit_bytes:
        raise BadFile(f"its arrays take {total} bytes; at most {limit_bytes} are read")
    arrays: Arrays = {}
    seen = set()
    for info in infos:
        name = info.filename[:-4] if info.filename.endswith(".npy") else ""
        if not name or name in seen or info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise BadFile(f"entry {info.filename[:80]!r} is unnamed, repeated, or compressed in an unknown way")
        seen.add(name)
        array = _read_array(archive, info, name, text)
        if array is not None:
            arrays[name] = array
    return arrays


def _read_array(archive: zipfile.ZipFile, info: zipfile.ZipInfo, name: str, text: bool) -> Optional[np.ndarray]:
    """The array of an entry; None of text, where that is left alone."""
    with archive.open(info) as stream:
        start = stream.read(8)
        if start[:6] != b"\x93NUMPY" or start[6:7] not in (b"\x01", b"\x02"):
            raise BadFile(f"entry {name!r} is not an .npy array")
        width = 2 if start[6] == 1 else 4
        length = int.from_bytes(stream.read(width), "little")
        if length > 10_000:
            raise BadFile(f"entry {name!r} has a header of {length} bytes; at most 10000 are read")
        match = _HEADER.fullmatch(stream.read(length).decode("latin-1"))
        if not match or (match.group(2) in "SU" and not text):
            raise BadFile(f"entry {name!r} has an unknown array header, or holds objects")
        order, kind, size, fortran, dims = match.groups()
        if kind in "SU":
            return None
        dtype = np.dtype(f"{order.replace('|', '')}{kind}{size}")
        shape = tuple(int(d) for d in dims.split(",") if d.strip())
        count = 1
        for d in shape:  # plain integers: a product of hostile sizes must not overflow
            count *= d
        if len(shape) > 8 or count * dtype.itemsize != info.file_size - 8 - width - length:
            raise BadFile(f"entry {name!r} declares shape {str(shape)[:80]}, which is not the size of its data")
        data = stream.read(count * dtype.itemsize)
        if len(data) != count * dtype.itemsize or stream.read(1):
            raise BadFile(f"entry {name!r} is cut short")
    flat = np.frombuffer(bytearray(data), dtype=dtype)
    return flat.reshape(shape, order="F" if fortran == "True" else "C")


def read_program(path: str) -> Tuple[Dict[str, Any], Arrays]:
    """program.json as a dict, and all arrays by name."""
    arrays = read_npz(path)
    if "program.json" not in arrays or arrays["program.json"].dtype != np.uint8:
        raise BadFile("it holds no program.json")
    try:
        program = json.loads(arrays["program.json"].tobytes().decode("utf-8"))
    except (ValueError, RecursionError):
        raise BadFile("program.json is not JSON") from None
    if not isinstance(program, dict) or program.get("format") not in FORMATS:
        raise BadFile(f"program.json is of none of the formats {', '.join(FORMATS)}")
    return program, arrays


# ----------------------------------------------------------------------------------------------- the hardware's time


@dataclass(frozen=True)
class Timing:
    """Which hardware step (0-based) computes which timestep: see the head of this file."""

    timesteps: int
    period: int
    blank: int
    depth: Dict[str, int]

    @property
    def interval(self) -> int:
        """Hardware steps from one sample to the next."""
        return (self.timesteps + self.blank) * self.period

    def steps(self, samples: int) -> int:
        """Hardware steps that a run of ``samples`` takes."""
        return int(self.at(samples - 1, self.timesteps - 1, max(self.depth.values()))) + 1

    def at(self, sample: Any, t: Any, depth: int) -> Any:
        return LEAD + sample * self.interval + t * self.period + depth

    def grid(self, samples: int, depth: int, distance: int = 0) -> np.ndarray:
        """(samples, T - distance): the steps at which what belongs to timestep t is due, t + distance < T."""
        return np.asarray(
            self.at(np.arange(samples)[:, None], np.arange(distance, self.timesteps)[None, :], depth), dtype=np.int64
        )


# --------------------------------------------------------------------------------------------------- sparse matrices


def conv_matrix(weight: np.ndarray, shape: Any, stride: Any, pad: Any, groups: int = 1) -> Tuple[Any, Tuple[int, ...]]:
    """A conv2d (torch's) as a CSR matrix (flattened target, flattened source), int64, and the target's (C, H, W).

    weight: (O, I/groups, kH, kW). shape: (C, H, W) of the source.
    """
    coo_matrix = imported("scipy.sparse", "coo_matrix")

    o, i, kh, kw = weight.shape
    _, h, w = shape
    out_h = (h + 2 * pad[0] - kh) // stride[0] + 1
    out_w = (w + 2 * pad[1] - kw) // stride[1] + 1
    # y, x: source row and column of each (kernel position, target position), and whether it lies inside
    y = np.arange(out_h)[None, :] * stride[0] - pad[0] + np.arange(kh)[:, None]
    x = np.arange(out_w)[None, :] * stride[1] - pad[1] + np.arange(kw)[:, None]
    inside = ((y >= 0) & (y < h))[:, None, :, None] & ((x >= 0) & (x < w))[None, :, None, :]
    ky, kx, oy, ox = np.nonzero(inside)
    source, target = y[ky, oy] * w + x[kx, ox], oy * out_w + ox
    first_input = np.arange(o) // (o // groups) * i
    rows = np.arange(o)[:, None, None] * (out_h * out_w) + target
    columns = (first_input[:, None] + np.arange(i)[None, :])[:, :, None] * (h * w) + source
    values = weight.astype(np.int64)[:, :, ky, kx]
    rows = np.broadcast_to(rows, values.shape)
    matrix = coo_matrix((values.ravel(), (rows.ravel(), columns.ravel())), shape=(o * out_h * out_w, shape[0] * h * w))
    return matrix.tocsr(), (o, out_h, out_w)


def synapse_matrix(synapse: Dict[str, Any], arrays: Arrays, shape: Tuple[int, ...]) -> Any:
    """A synapse as a CSR matrix over (C, H, W)-flattened neurons, int64, exponent not applied."""
    csr_matrix = imported("scipy.sparse", "csr_matrix")

    name, weight = synapse["id"], arrays[synapse["id"] + ".weight"]
    size = int(np.prod(shape))
    if synapse["kind"] == "dense":
        return csr_matrix(weight.astype(np.int64))
    if synapse["kind"] == "sparse":
        indptr = arrays[name + ".indptr"]
        rows = (weight.astype(np.int64), arrays[name + ".indices"], indptr)
        matrix = csr_matrix(rows, shape=(len(indptr) - 1, size))
        matrix.sum_duplicates()
        return matrix
    factors = []
    for pool in synapse["pre"]:
        ones = np.ones((shape[0], 1, *pool["kernel"]), dtype=np.int64)
        factor, shape = conv_matrix(ones, shape, pool["stride"], pool["pad"], shape[0])
        factors.append(factor)
    factor, shape = conv_matrix(weight, shape, synapse["stride"], synapse["pad"], synapse["groups"])
    factors.append(factor)
    for pool in synapse["post"]:
        ones = np.ones((shape[0], 1, *pool["kernel"]), dtype=np.int64)
        factor, shape = conv_matrix(ones, shape, pool["stride"], pool["pad"], shape[0])
        factors.append(factor)
    product = factors[0]
    for factor in factors[1:]:
        product = factor @ product
    return product.tocsr()


def digits(matrix: Any) -> List[Any]:
    """``matrix`` as a sum of ``digit[k] * 128**k`` whose entries all fit int8; zeros and empty digits left out."""
    parts = []
    rest = matrix.copy()
    rest.sum_duplicates()
    while rest.nnz:
        digit = rest.copy()
        fits = np.abs(rest.data).max() <= BYTE_MAX
        digit.data = rest.data if fits else ((rest.data + 64) & 127) - 64
        rest.data = (rest.data - digit.data) >> 7
        digit.eliminate_zeros()
        rest.eliminate_zeros()
        parts.append(digit)
    return parts


# ------------------------------------------------------------------------------------------------------ the network


def sink_classes(names: List[str], quarantine: str) -> Tuple[Any, Any]:
    """The recording Process with one in-port per population, and its model.

    Lava looks for a Process's model by *executing* every .py in the folder of the module that defines it (and cannot be
    told not to: the run configuration is asked only afterwards). These two classes therefore live in a module of
    their own that claims to lie in ``quarantine``, an empty folder, and nothing in the user's folder is executed.
    """
    implements = imported("lava.magma.core.decorator", "implements")
    requires = imported("lava.magma.core.decorator", "requires")
    PyLoihiProcessModel = imported("lava.magma.core.model.py.model", "PyLoihiProcessModel")
    PyInPort = imported("lava.magma.core.model.py.ports", "PyInPort")
    LavaPyType = imported("lava.magma.core.model.py.type", "LavaPyType")
    InPort = imported("lava.magma.core.process.ports.ports", "InPort")
    AbstractProcess = imported("lava.magma.core.process.process", "AbstractProcess")
    CPU = imported("lava.magma.core.resources", "CPU")
    LoihiProtocol = imported("lava.magma.core.sync.protocols.loihi_protocol", "LoihiProtocol")

    module = types.ModuleType("snnas_spike_sink")
    module.__spec__ = importlib.machinery.ModuleSpec(module.__name__, None)
    module.__file__ = os.path.join(quarantine, "snnas_spike_sink.py")
    sys.modules[module.__name__] = module
    ports = ["spikes_" + name for name in names]

    def create(self: Any, shapes: List[Tuple[int, ...]], files: List[str]) -> None:
        AbstractProcess.__init__(self, files=files)
        for port, shape in zip(ports, shapes, strict=True):
            setattr(self, port, InPort(shape=shape))

    def prepare(self: Any, params: Any) -> None:
        PyLoihiProcessModel.__init__(self, params)
        self.opened = None
        self.paths = params["files"]

    def run_spk(self: Any) -> None:
        """One row of packed bits (C, H, W order) per population and hardware step."""
        if self.opened is None:
            self.opened = [open(path, "wb", buffering=0) for path in self.paths]  # noqa: SIM115
        for port, file in zip(ports, self.opened, strict=True):
            fired = getattr(self, port).recv()
            with contextlib.suppress(OSError):  # it would hang Lava; the short file is noticed afterwards
                file.write(np.packbits(fired.transpose(2, 1, 0).ravel() != 0).tobytes())

    process = type(AbstractProcess)(
        "SpikeSink", (AbstractProcess,), {"__init__": create, "__module__": module.__name__}
    )
    body: Dict[str, Any] = {"__init__": prepare, "run_spk": run_spk, "__module__": module.__name__}
    body.update({port: LavaPyType(PyInPort.VEC_DENSE, np.int32) for port in ports})
    model = type("SpikeSinkModel", (PyLoihiProcessModel,), body)
    model = implements(proc=process, protocol=LoihiProtocol)(requires(CPU)(model))
    module.__dict__.update({"SpikeSink": process, "SpikeSinkModel": model})
    return process, model


def whc(array: np.ndarray) -> np.ndarray:
    """(C, H, W) -> (W, H, C), Lava's order."""
    return np.ascontiguousarray(array.transpose(2, 1, 0))


class Network:
    """The Lava processes of a program, driven with ``samples`` golden samples from ``start`` on."""

    def __init__(self, program: Dict[str, Any], arrays: Arrays, golden: Arrays, start: int, samples: int) -> None:
        self.program, self.arrays, self.golden = program, arrays, golden
        self.start, self.samples = start, samples
        self.timing = timing_of(program)
        self.steps = self.timing.steps(samples)
        self.shape: Dict[str, Tuple[int, ...]] = {p["id"]: tuple(p["shape"]) for p in program["populations"]}
        self.shape[INPUT] = tuple(program["input"]["shape"])
        self.shape[CLOCK] = (1, 1, 1)
        self.lif: Dict[str, Any] = {}
        self.sources: Dict[Tuple[str, int, int], Any] = {}  # (input or clock, reader's depth, distance) -> port
        self.processes = 0

    def count(self, process: Any) -> Any:
        self.processes += 1
        return process

    def build(self, sink_class: Any, files: List[str]) -> Any:
        """Builds and connects everything; the sink, through which the network is run."""
        populations = self.program["populations"]
        for p in populations:
            self.lif[p["id"]] = self.count(self.neurons(p))
        for name in sorted({h["dst"] for h in self.program["host"]}):
            self.inject(name)
        for s in self.program["synapses"]:
            self.connect(s)
        for name in sorted({s["src"] for s in self.program["synapses"] if s["distance"]} - {INPUT, CLOCK}):
            self.silence(name)
        shapes = [self.shape[p["id"]][::-1] for p in populations]
        sink = self.count(sink_class(shapes, files))
        for p in populations:
            self.lif[p["id"]].s_out.connect(getattr(sink, "spikes_" + p["id"]))
        return sink

    def neurons(self, p: Dict[str, Any]) -> Any:
        LIFReset = imported("lava.proc.lif.process", "LIFReset")

        if p.get("taken"):
            raise RuntimeError(f"population {p['id']}: its reset subtracts, which Lava's LIF does not; compile it anew")
        bias = self.arrays[p["id"] + ".bias"]
        shape = self.shape[p["id"]]
        return LIFReset(
            shape=shape[::-1],
            du=p.get("du", 4095),
            dv=p["dv"],
            vth=p["vth"],
            bias_mant=whc(np.broadcast_to(bias, shape)),
            bias_exp=p["bias_exponent"],
            reset_interval=self.timing.interval,
            reset_offset=LEAD + self.timing.depth[p["id"]] + 1,
        )

    def ring(self, shape: Tuple[int, ...], grid: np.ndarray, values: np.ndarray) -> Any:
        """The port of a source that sends ``values`` at the steps ``grid`` (any shape) and 0 at all others.

        values: (*grid.shape, C, H, W), or what broadcasts to it.
        """
        RingBuffer = imported("lava.proc.io.source", "RingBuffer")

        values = np.broadcast_to(values, (*grid.shape, *shape)).reshape(grid.size, *shape)
        data = np.zeros((*shape[::-1], self.steps), dtype=np.int32)
        data[..., grid.ravel()] = values.transpose(3, 2, 1, 0)
        return self.count(RingBuffer(data=data)).s_out

    def inject(self, name: str) -> None:
        """The host's current, straight into the population: no synapse, no delay."""
        current = self.golden["currents." + name][self.start : self.start + self.samples]
        grid = self.timing.grid(self.samples, self.timing.depth[name])
        self.ring(self.shape[name], grid, current).connect(self.lif[name].a_in)

    def source(self, s: Dict[str, Any]) -> Any:
        """The spikes that a synapse reads; input and clock are driven one step before their reader."""
        if s["src"] in self.lif:
            return self.lif[s["src"]].s_out
        depth, distance = self.timing.depth[s["dst"]], s["distance"]
        key = (s["src"], depth, distance)
        if key not in self.sources:
            values: np.ndarray = np.ones((1, 1, 1), dtype=np.int32)
            if s["src"] == INPUT:
                part = self.golden["input.spikes"][self.start : self.start + self.samples]
                values = (part != 0)[:, : self.timing.timesteps - distance]
            grid = self.timing.grid(self.samples, depth, distance) - 1
            self.sources[key] = self.ring(self.shape[s["src"]], grid, values)
        return self.sources[key]

    def connect(self, s: Dict[str, Any]) -> None:
        kind = s["kind"]
        if kind == "conv" and self.fits_conv(s):
            self.connect_conv(s)
        elif kind == "dense":
            self.connect_matrix(s, self.arrays[s["id"] + ".weight"].astype(np.int64), s["exponent"])
        else:
            matrix = synapse_matrix(s, self.arrays, self.shape[s["src"]])
            for k, digit in enumerate(digits(matrix)):
                self.connect_matrix(s, digit, s["exponent"] + 7 * k)

    def fits_conv(self, s: Dict[str, Any]) -> bool:
        """Whether Lava's int8 geometry holds it (128 groups would become -128)."""
        kernel = self.arrays[s["id"] + ".weight"].shape[2:]
        return bool(max(*kernel, *s["stride"], *s["pad"], s["groups"]) <= BYTE_MAX)

    def connect_conv(self, s: Dict[str, Any]) -> None:
        Conv = imported("lava.proc.conv.process", "Conv")

        weight = self.arrays[s["id"] + ".weight"].astype(np.int32) << s["exponent"]
        conv = Conv(
            weight=np.ascontiguousarray(weight[:, :, ::-1, ::-1].transpose(0, 3, 2, 1)),
            input_shape=self.shape[s["src"]][::-1],
            stride=tuple(s["stride"][::-1]),
            padding=tuple(s["pad"][::-1]),
            groups=s["groups"],
        )
        self.source(s).connect(self.count(conv).s_in)
        conv.a_out.connect(self.lif[s["dst"]].a_in)

    def connect_matrix(self, s: Dict[str, Any], matrix: Any, exponent: int) -> None:
        """A Dense or Sparse over C-order neurons, with the virtual ports that bring (W, H, C) there and back."""
        Dense = imported("lava.proc.dense.process", "Dense")
        Sparse = imported("lava.proc.sparse.process", "Sparse")
        SignMode = imported("lava.utils.weightutils", "SignMode")

        process = Dense if isinstance(matrix, np.ndarray) else Sparse
        weights = (matrix * 2).astype(np.int32)
        synapse = self.count(process(weights=weights, weight_exp=exponent - 1, sign_mode=SignMode.MIXED))
        self.source(s).transpose([2, 1, 0]).flatten().connect(synapse.s_in)
        shape = self.shape[s["dst"]]
        synapse.a_out.reshape(shape).transpose([2, 1, 0]).connect(self.lif[s["dst"]].a_in)

    def silence(self, name: str) -> None:
        """Keeps a population from firing at the timestep before each sample's first."""
        Dense = imported("lava.proc.dense.process", "Dense")
        SignMode = imported("lava.utils.weightutils", "SignMode")

        depth = self.timing.depth[name]
        key = ("silence", depth, 0)
        if key not in self.sources:
            grid = np.asarray(self.timing.at(np.arange(self.samples), -1, depth)) - 1
            self.sources[key] = self.ring((1, 1, 1), grid[grid >= 0], np.ones((1, 1, 1), dtype=np.int32))
        shape = self.shape[name][::-1]
        weights = np.full((int(np.prod(shape)), 1), SILENCE_WEIGHT, dtype=np.int32)
        pulse = self.count(Dense(weights=weights, weight_exp=SILENCE_EXPONENT, sign_mode=SignMode.MIXED))
        self.sources[key].flatten().connect(pulse.s_in)
        pulse.a_out.reshape(shape).connect(self.lif[name].a_in)


def timing_of(program: Dict[str, Any]) -> Timing:
    schedule = program["schedule"]
    return Timing(program["timesteps"], schedule["period"], schedule["blank"], schedule["depth"])


def samples_per_run(program: Dict[str, Any], samples: int) -> int:
    """How many samples fit one Lava run: its sources hold their data for every hardware step, as int32."""
    size = {p["id"]: int(np.prod(p["shape"])) for p in program["populations"]}
    depth = program["schedule"]["depth"]
    driven = sum(size[name] for name in {h["dst"] for h in program["host"]})
    readers = {(depth[s["dst"]], s["distance"]) for s in program["synapses"] if s["src"] == INPUT}
    driven += len(readers) * int(np.prod(program["input"]["shape"]))
    return max(1, min(samples, RUN_BYTES // max(1, 4 * driven * timing_of(program).interval)))


# ------------------------------------------------------------------------------------------------ running, comparing


@dataclass
class Run:
    """What was recorded. spikes: {population: uint8 (B, T, ceil(N / 8))}, packed."""

    spikes: Arrays
    steps: int = 0
    processes: int = 0
    build_seconds: float = 0.0
    run_seconds: float = 0.0


def run_all(
    program: Dict[str, Any], arrays: Arrays, golden: Arrays, samples: int, out: str, say: Callable[[str], None]
) -> Run:
    """Runs ``samples`` samples in as few Lava runs as memory allows."""
    per_run = samples_per_run(program, samples)
    result = Run(spikes={})
    parts: Dict[str, List[np.ndarray]] = {p["id"]: [] for p in program["populations"]}
    for start in range(0, samples, per_run):
        count = min(per_run, samples - start)
        for name, rows in run_once(program, arrays, golden, (start, count), out, result, say).items():
            parts[name].append(rows)
    result.spikes = {name: np.concatenate(rows) for name, rows in parts.items()}
    return result


def run_once(
    program: Dict[str, Any],
    arrays: Arrays,
    golden: Arrays,
    span: Tuple[int, int],
    out: str,
    result: Run,
    say: Callable[[str], None],
) -> Arrays:
    """One Lava run over ``span`` (first sample, how many): the packed spikes at each population's own steps."""
    RunSteps = imported("lava.magma.core.run_conditions", "RunSteps")
    Loihi2SimCfg = imported("lava.magma.core.run_configs", "Loihi2SimCfg")

    names = [p["id"] for p in program["populations"]]
    files = {name: os.path.join(out, "spikes." + name + ".bits") for name in names}
    began = time.perf_counter()
    quarantine = tempfile.mkdtemp(prefix="snnas-lava-")
    try:
        network = Network(program, arrays, golden, *span)
        process, model = sink_classes(names, quarantine)
        sink = network.build(process, [files[name] for name in names])
        say(f"built {network.processes} Lava processes; running {network.steps} hardware steps for {span[1]} samples")
        configuration = Loihi2SimCfg(select_tag="fixed_pt", exception_proc_model_map={process: model})
        try:
            sink.create_runtime(run_cfg=configuration)
            built = time.perf_counter()
            sink.run(condition=RunSteps(num_steps=network.steps), run_cfg=configuration)
            ran = time.perf_counter()
        finally:
            sink.stop()  # without it the interpreter hangs at exit
    finally:
        shutil.rmtree(quarantine, ignore_errors=True)
    result.steps += network.steps
    result.processes = network.processes
    result.build_seconds += built - began
    result.run_seconds += ran - built
    recorded: Arrays = {}
    for name in names:
        row = (int(np.prod(network.shape[name])) + 7) // 8
        data = np.fromfile(files[name], dtype=np.uint8)
        os.remove(files[name])
        if data.size != row * network.steps:
            wanted = row * network.steps
            raise RuntimeError(f"the sink recorded {data.size} bytes of {name}; expected {wanted}: is the disk full?")
        recorded[name] = data.reshape(network.steps, row)[network.timing.grid(span[1], network.timing.depth[name])]
    return recorded


def compare(recorded: np.ndarray, expected: np.ndarray, shape: Tuple[int, ...]) -> Tuple[int, Optional[Dict[str, Any]]]:
    """How many neuron-timesteps differ, and the first of them. recorded, expected: packed (B, T, ceil(N / 8))."""
    size = int(np.prod(shape))
    differs = np.unpackbits(np.bitwise_xor(recorded, expected).view(np.uint8), axis=-1, count=size)
    total = int(differs.sum(dtype=np.int64))
    if not total:
        return 0, None
    sample, t, neuron = (int(i) for i in np.unravel_index(int(differs.argmax()), differs.shape))
    place = [int(i) for i in np.unravel_index(neuron, shape)]
    return total, {"sample": sample, "timestep": t, "neuron": place}


def check_files(program: Dict[str, Any], arrays: Arrays, golden: Arrays) -> int:
    """How many samples the golden file holds; BadFile where it does not belong to the program."""
    timesteps, period = program["timesteps"], program["schedule"]["period"]
    wanted: Dict[str, Tuple[Tuple[int, ...], ...]] = {}
    if "early_exit" in program.get("meta", {}) and any("columns" in r for r in program["readout"]["readings"]):
        raise BadFile("it has an early exit, and a readout by its entries, which can have none")
    for p in program["populations"]:
        size = int(np.prod(p["shape"]))
        wanted["spikes." + p["id"]] = ((timesteps, (size + 7) // 8),)
        if period > 1 and arrays[p["id"] + ".bias"].any():
            raise BadFile(f"population {p['id']} has a bias, period {period} needs biases as clock synapses")
    for h in program["host"]:
        shape = tuple(next(p["shape"] for p in program["populations"] if p["id"] == h["dst"]))
        wanted["currents." + h["dst"]] = ((timesteps, *shape), (1, *shape))
    if any(s["src"] == INPUT for s in program["synapses"]):
        wanted["input.spikes"] = ((timesteps, *program["input"]["shape"]),)
    delayed = any(s["distance"] and s["src"] not in (INPUT, CLOCK) for s in program["synapses"])
    if delayed and program["schedule"]["blank"] < 1:
        raise BadFile("a program with delayed synapses needs a blank timestep between samples (schedule.blank)")
    counts = set()
    for name, shapes in wanted.items():
        if name not in golden:
            raise BadFile(f"it holds no {name}")
        if golden[name].shape[1:] not in shapes:
            raise BadFile(f"{name} has shape {golden[name].shape}; expected (samples, *{shapes[0]})")
        counts.add(len(golden[name]))
    if len(counts) != 1 or 0 in counts:
        raise BadFile(f"its arrays hold {sorted(counts)} samples; expected one number >= 1")
    return int(counts.pop())


def early_exit(program: Dict[str, Any], arrays: Arrays, spikes: Arrays) -> Optional[Dict[str, Any]]:
    """Where inferences could have ended by the program's rule, of packed spikes (B, T, bytes); None without a rule.

    What a network does after the exit changes nothing before it, so a run that is cut there gives the same answer.
    """
    rule = program.get("meta", {}).get("early_exit")
    if not isinstance(rule, dict) or rule.get("mode") not in ("exact", "confidence"):
        return None
    steps, readout = program["timesteps"], program["readout"]
    bias, scale = arrays["readout.bias"].astype(np.int64), 64 * arrays["readout.response"][0].astype(np.int64)
    sums: Any = 0
    gained: Any = 0  # (C, C): what class k may gain on class c in a timestep
    for part in readout["readings"]:
        weight = arrays[f"readout.{part['src']}.{part['distance']}"].astype(np.int64)
        fired = np.unpackbits(spikes[part["src"]], axis=-1, count=weight.shape[1]).astype(np.int64)
        sums = sums + (fired @ weight.T).cumsum(axis=1)
        scaled = weight * np.broadcast_to(scale, (len(weight),))[:, None]
        gained = gained + np.stack([np.maximum(scaled - row, 0).sum(axis=1) for row in scaled])
    answers = sums * scale + bias.sum(axis=0) * (steps if len(bias) == 1 else 1)
    taken = answers.argmax(axis=2)
    lead = np.take_along_axis(answers, taken[..., None], axis=2) - answers
    if rule["mode"] == "exact":
        left = (steps - np.arange(1, steps + 1))[None, :, None]
        settled = lead >= left * gained[taken] + (np.arange(answers.shape[2]) < taken[..., None])
    else:
        settled = lead >= int(rule["margin"])
    np.put_along_axis(settled, taken[..., None], True, axis=2)
    ends = settled.all(axis=2)
    ends[:, -1] = True
    first = ends.argmax(axis=1)
    changed = int((taken[np.arange(len(first)), first] != taken[:, -1]).sum())
    return {"mode": rule["mode"], "timesteps": [int(t) + 1 for t in first], "changed": changed}


def versions() -> Dict[str, str]:
    from importlib.metadata import PackageNotFoundError, version

    found = {"python": platform.python_version(), "numpy": np.__version__}
    try:
        found["lava"] = version("lava-nc")
    except PackageNotFoundError:
        found["lava"] = "unknown"
    return found


def write_atomically(path: str, write: Callable[[Any], None]) -> None:
    """``write(file)`` into a random name beside ``path``, then renamed: never half a file, and no link is followed."""
    part = f"{path}.{os.urandom(4).hex()}.part"
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o644), "wb") as file:
        write(file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(part, path)


def report(program: Dict[str, Any], golden: Arrays, run: Run, samples: int) -> Dict[str, Any]:
    populations: Dict[str, Any] = {}
    for p in program["populations"]:
        name, shape = p["id"], tuple(p["shape"])
        differing, first = compare(run.spikes[name], golden["spikes." + name][:samples], shape)
        compared = samples * program["timesteps"] * int(np.prod(shape))
        fired = int(np.unpackbits(run.spikes[name], axis=-1).sum(dtype=np.int64))
        populations[name] = {"differing": differing, "spikes": compared, "fired": fired, "first": first}
    return {
        "samples": samples,
        "hardware_steps": run.steps,
        "processes": run.processes,
        "differing_spikes": sum(r["differing"] for r in populations.values()),
        "spikes": sum(r["spikes"] for r in populations.values()),
        "per_population": populations,
        "build_seconds": round(run.build_seconds, 3),
        "run_seconds": round(run.run_seconds, 3),
        "versions": versions(),
    }


def parse(argv: Optional[List[str]]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="run_lava.py", description="Runs program.npz in Lava and compares every spike with golden.npz."
    )
    parser.add_argument("folder", nargs="?", default=os.path.dirname(os.path.abspath(__file__)))
    parser.add_argument("--samples", type=int, default=0, help="how many golden samples (default: all)")
    parser.add_argument("--out", default="", help="where results go (default: FOLDER/lava)")
    parser.add_argument("--quiet", action="store_true", help="print the verdict only")
    parser.add_argument("--parent", type=int, default=0, help="end, with all that was started, when this process does")
    options = parser.parse_args(argv)
    if options.samples < 0:
        parser.error(f"--samples {options.samples}: expected a number >= 1, or 0 for all")
    return options


def end_with(parent: int) -> None:
    """Ends the process group that this process leads when ``parent`` is gone: nobody is left to read a result."""
    group = os.getpid()
    while os.getppid() == parent:
        time.sleep(0.5)
    if os.fork() == 0:
        os.setsid()
        os.killpg(group, signal.SIGTERM)
        time.sleep(3.0)  # Lava's resource tracker unlinks its shared memory
        with contextlib.suppress(ProcessLookupError):
            os.killpg(group, signal.SIGKILL)
        os._exit(0)


def main(argv: Optional[List[str]] = None) -> int:
    options = parse(argv)
    out = options.out or os.path.join(options.folder, "lava")

    def say(text: str) -> None:
        if not options.quiet:
            print(text, flush=True)

    if options.parent:
        threading.Thread(target=end_with, args=(options.parent,), daemon=True).start()
    path = ""
    try:
        path = os.path.join(options.folder, "program.npz")
        program, arrays = read_program(path)
        path = os.path.join(options.folder, "golden.npz")
        golden = read_npz(path)
        available = check_files(program, arrays, golden)
        path = out
        os.makedirs(out, exist_ok=True)
    except (BadFile, OSError) as error:
        print(f"{path}: {error}", file=sys.stderr)
        return 2
    except (KeyError, TypeError, AttributeError, StopIteration, IndexError) as error:
        print(f"{path}: does not follow {FORMAT}: {type(error).__name__} {error}", file=sys.stderr)
        return 2
    samples = min(options.samples or available, available)
    try:
        imported("lava.proc.lif.process", "LIFReset")
    except ImportError as error:
        print(f"lava-nc is not installed for {sys.executable} ({error}); pip install lava-nc==0.10.0", file=sys.stderr)
        return 2
    try:
        run = run_all(program, arrays, golden, samples, out, say)
    except Exception as error:  # Lava raises many kinds; the first line of each says enough
        reason = " ".join(str(error).split())[:300]
        print(f"Lava failed: {type(error).__name__}: {reason}", file=sys.stderr)
        return 70
    result = report(program, golden, run, samples)
    ended = early_exit(program, arrays, run.spikes)
    if ended is not None:
        result["early_exit"] = ended
        mean = sum(ended["timesteps"]) / samples
        say(
            f"early exit ({ended['mode']}): {mean:.2f} of {program['timesteps']} timesteps, {ended['changed']} of "
            f"{samples} answers changed"
        )
    spikes = {"spikes." + name: rows for name, rows in run.spikes.items()}
    save: Any = np.savez_compressed
    write_atomically(os.path.join(out, "spikes.npz"), lambda file: save(file, **spikes))
    text = json.dumps(result, indent=1, sort_keys=True) + "\n"
    write_atomically(os.path.join(out, "result.json"), lambda file: file.write(text.encode("utf-8")))
    for name, r in result["per_population"].items():
        if r["differing"]:
            f = r["first"]
            place = f"sample {f['sample']}, timestep {f['timestep']}, neuron {tuple(f['neuron'])}"
            say(f"{name}: {r['differing']} of {r['spikes']} differ, first at {place}")
    verdict = "equal" if not result["differing_spikes"] else "DIFFERENT"
    print(
        f"{verdict}: {result['differing_spikes']} of {result['spikes']} spikes differ; {samples} samples, "
        f"{run.processes} processes, {run.steps} hardware steps, {run.run_seconds:.1f} s in Lava",
        flush=True,
    )
    return 1 if result["differing_spikes"] else 0


if __name__ == "__main__":
    sys.exit(main())
