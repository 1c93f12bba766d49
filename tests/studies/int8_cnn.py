"""A digits network in C beside an int8 CNN of about its accuracy: python -m tests.studies.int8_cnn RUN

Both go through the same compilers and the same emulator. The CNN is convolution, ReLU, max-pool twice, and a matrix:
dense loops over int8 weights and uint8 activations with 32-bit sums, requantised by a shift, its loops ordered for a
compiler (a pixel's channels side by side). The spiking network runs as it is exported, and with all thresholds scaled,
which changes how often it fires; nothing is trained again.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, Any

import numpy as np
import typer

from snnas.export.formats.c.packing import array
from snnas.export.formats.program_file import read_program
from snnas.hw_sim.c import compilers, emulate
from snnas.hw_sim.c.model import CModel
from snnas.hw_sim.errors import SnnasError, UnsupportedError
from snnas.hw_sim.limits import THRESHOLD_MAX
from snnas.hw_sim.program import Program
from snnas.toolchain import runs
from snnas.toolchain.cli.options import AsJson, RunsDir
from snnas.toolchain.data.load import load
from snnas.toolchain.models.in_c import prepare
from tests.studies.command import main, numbers, tell

SCHEMA = "snnas.study.int8_cnn/1"
COUNTED = 8

HEADER = """#ifndef MODEL_H
#define MODEL_H
#include <stdint.h>
#define SNNAS_TIMESTEPS 1u
#define SNNAS_CLASSES {classes}u
#define SNNAS_POPULATIONS 1u
#define SNNAS_FRAME {frame}u
typedef uint8_t snnas_value;
typedef struct {{ uint8_t one[{one}], other[{other}]; int32_t sums[{classes}]; }} snnas_state;
void snnas_init(snnas_state *state);
void snnas_step(snnas_state *state, const snnas_value *frame);
void snnas_logits(const snnas_state *state, int64_t *logits);
#ifdef SNNAS_TRACE
void snnas_trace(uint32_t population, const uint32_t *spikes);
#endif
#endif
"""

CONV = """static void conv{n}(const uint8_t *x, uint8_t *out)
{{
    for (int32_t y = 0; y < {h}; y++)
        for (int32_t q = 0; q < {w}; q++) {{
            int32_t sum[{o}];
            for (int32_t o = 0; o < {o}; o++) sum[o] = b{n}[o];
            for (int32_t ky = y == 0 ? 1 : 0; ky < (y == {h} - 1 ? 2 : 3); ky++)
                for (int32_t kx = q == 0 ? 1 : 0; kx < (q == {w} - 1 ? 2 : 3); kx++)
                    for (int32_t c = 0; c < {c}; c++) {{
                        const int32_t v = x[((y + ky - 1) * {w} + q + kx - 1) * {c} + c];
                        const int8_t *w = w{n} + ((ky * 3 + kx) * {c} + c) * {o};
                        for (int32_t o = 0; o < {o}; o++) sum[o] += v * w[o];
                    }}
            for (int32_t o = 0; o < {o}; o++) {{
                const int32_t v = sum[o] < 0 ? 0 : sum[o] >> {shift};
                out[(y * {w} + q) * {o} + o] = (uint8_t)(v > 255 ? 255 : v);
            }}
        }}
}}

static void pool{n}(const uint8_t *x, uint8_t *out)
{{
    for (int32_t y = 0; y < {h} / 2; y++)
        for (int32_t q = 0; q < {w} / 2; q++)
            for (int32_t c = 0; c < {o}; c++) {{
                const uint8_t *p = x + (2 * y * {w} + 2 * q) * {o} + c;
                const uint8_t a = p[0] > p[{o}] ? p[0] : p[{o}];
                const uint8_t b = p[{w} * {o}] > p[{w} * {o} + {o}] ? p[{w} * {o}] : p[{w} * {o} + {o}];
                out[(y * {w} / 2 + q) * {o} + c] = a > b ? a : b;
            }}
}}

"""

REST = """void snnas_init(snnas_state *t)
{{
    for (int32_t k = 0; k < {classes}; k++) t->sums[k] = 0;
}}

void snnas_step(snnas_state *t, const snnas_value *frame)
{{
    conv0(frame, t->one);
    pool0(t->one, t->other);
    conv1(t->other, t->one);
    pool1(t->one, t->other);
    for (int32_t c = 0; c < {classes}; c++) t->sums[c] = b2[c];
    for (int32_t k = 0; k < {flat}; k++)
        for (int32_t c = 0; c < {classes}; c++) t->sums[c] += t->other[k] * w2[k * {classes} + c];
#ifdef SNNAS_TRACE
    {{
        const uint32_t none = 0;
        snnas_trace(0, &none);
    }}
#endif
}}

void snnas_logits(const snnas_state *t, int64_t *logits)
{{
    for (int32_t c = 0; c < {classes}; c++) logits[c] = t->sums[c];
}}
"""


@dataclass(frozen=True, slots=True)
class Layer:
    """weight int8, of a convolution (3, 3, in, out), of the matrix (in, out); bias int32; shift of a sum."""

    weight: np.ndarray
    bias: np.ndarray
    shift: int


def trained(data: Any, channels: tuple[int, int], epochs: int, seed: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Weights and biases of the float CNN."""
    import torch
    from torch import nn
    from torch.nn import functional

    torch.manual_seed(seed)
    a, b = channels
    net = nn.Sequential(nn.Conv2d(1, a, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(a, b, 3, padding=1),
                        nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(4 * b, data.classes))  # fmt: skip
    x, y = torch.from_numpy(data.x_train.astype(np.float32)), torch.from_numpy(data.y_train)
    best = torch.optim.Adam(net.parameters(), lr=0.01)
    rate = torch.optim.lr_scheduler.CosineAnnealingLR(best, epochs)
    for _ in range(epochs):
        for part in torch.randperm(len(x)).split(64):
            best.zero_grad()
            functional.cross_entropy(net(x[part]), y[part]).backward()
            best.step()
        rate.step()
    layers = [net[0], net[3], net[7]]
    return [m.weight.detach().numpy() for m in layers], [m.bias.detach().numpy() for m in layers]


def quantised(weights: list[np.ndarray], biases: list[np.ndarray], x: np.ndarray) -> list[Layer]:
    """Each layer to int8 by its largest weight, its activations to uint8 by a shift that the samples x need."""
    layers, scale = [], 255.0
    now = x.transpose(0, 2, 3, 1) * 255
    for n, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
        unit = 127 / np.abs(weight).max()
        whole = np.rint(weight * unit).astype(np.int64)
        whole = whole.transpose(2, 3, 1, 0) if n < 2 else _by_pixel(whole)
        layer = Layer(whole, np.rint(bias * unit * scale).astype(np.int64), 0)
        if n < 2:
            sums = _conv(np.rint(now).astype(np.int64), layer)
            shift = max(0, int(np.ceil(np.log2(np.quantile(sums.max(axis=(1, 2, 3)), 0.99) / 255))))
            layer = replace(layer, shift=shift)
            now, scale = _pooled(_activation(sums, shift)), scale * unit / 2**shift
        layers.append(layer)
    return layers


def answers(layers: list[Layer], x: np.ndarray) -> np.ndarray:
    """What the C computes, int64 (N, classes)."""
    now = np.rint(x.transpose(0, 2, 3, 1) * 255).astype(np.int64)
    for layer in layers[:2]:
        now = _pooled(_activation(_conv(now, layer), layer.shift))
    return now.reshape(len(x), -1) @ layers[2].weight + layers[2].bias


def _by_pixel(weight: np.ndarray) -> np.ndarray:
    """(classes, C H W) to (H W C, classes); 2 x 2 pixels are left."""
    classes, n = weight.shape
    return weight.reshape(classes, n // 4, 4).transpose(2, 1, 0).reshape(n, classes)


def _conv(x: np.ndarray, layer: Layer) -> np.ndarray:
    n, h, w, _ = x.shape
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    windows = [padded[:, ky : ky + h, kx : kx + w] @ layer.weight[ky, kx] for ky in range(3) for kx in range(3)]
    return np.asarray(sum(windows) + layer.bias).reshape(n, h, w, -1)


def _activation(sums: np.ndarray, shift: int) -> np.ndarray:
    return np.minimum(np.maximum(sums, 0) >> shift, 255)


def _pooled(x: np.ndarray) -> np.ndarray:
    n, h, w, c = x.shape
    return x.reshape(n, h // 2, 2, w // 2, 2, c).max(axis=(2, 4))


def cnn_in_c(layers: list[Layer], side: int) -> CModel:
    """The CNN behind the interface of an exported model."""
    (_, _, _, a), (_, _, _, b) = layers[0].weight.shape, layers[1].weight.shape
    flat, classes = layers[2].weight.shape
    sizes = {"classes": classes, "frame": side * side, "one": side * side * a, "other": (side // 2) ** 2 * max(a, b)}
    source = '#include "model.h"\n\n'
    for n, layer in enumerate(layers):
        source += array("int8_t", f"w{n}", layer.weight) + array("int32_t", f"b{n}", layer.bias)
    for n, (c, o, extent) in enumerate(((1, a, side), (a, b, side // 2))):
        source += CONV.format(n=n, h=extent, w=extent, c=c, o=o, shift=layers[n].shift)
    source += REST.format(classes=classes, flat=flat)
    return CModel(header=HEADER.format(**sizes), source=source, timesteps=1, classes=classes, frame=side * side,
                  value=np.uint8, words=(1,))  # fmt: skip


def scaled(program: Program, factor: float) -> Program:
    """All thresholds of neurons, times a factor."""
    populations = tuple(
        replace(p, vth=min(THRESHOLD_MAX, max(1, round(p.vth * factor)))) if p.role == "neuron" else p
        for p in program.populations
    )
    return replace(program, populations=populations)


def measure(
    run: str, folder: Any, factors: tuple[float, ...], channels: tuple[int, int], epochs: int, seed: int
) -> dict[str, Any]:
    """Both sides: accuracy on the test split, and of COUNTED samples the mean of the instructions."""
    data = load("digits", seed=0)
    x, y = data.x_test, data.y_test
    layers = quantised(*trained(data, channels, epochs, seed), data.x_train[:256])
    made, found = cnn_in_c(layers, 8), answers(layers, x)
    given = np.rint(x * 255).astype(np.uint8).reshape(len(x), 1, -1)[:COUNTED]
    rows = [{"what": "int8 CNN", "accuracy": float((found.argmax(axis=1) == y).mean()), "sar": None,
             **_emulated(made, given, found[:COUNTED])}]  # fmt: skip
    program = read_program(runs.find(runs.directory(folder), run).export("c") / "program.npz")
    for factor in factors:
        rows.append(_spiking(scaled(program, factor), x, y, factor))
    return {"schema": SCHEMA, "run": run, "channels": list(channels), "samples": len(x), "rows": rows}


def _spiking(program: Program, x: np.ndarray, y: np.ndarray, factor: float) -> dict[str, Any]:
    c, few = prepare(program, x), prepare(program, x[:COUNTED])
    neurons = [p for p in program.populations if p.role == "neuron"]
    fired = sum(int(c.trace.spikes[p.id].sum()) for p in neurons)
    slots = sum(p.size for p in neurons) * program.timesteps * len(x)
    hits = float((c.trace.predictions == y).mean())
    figures = _emulated(few.model, few.given, few.trace.logits)
    return {"what": f"spiking, thresholds x {factor:g}", "accuracy": hits, "sar": fired / slots, **figures}


def _emulated(model: CModel, given: np.ndarray, wanted: np.ndarray) -> dict[str, Any]:
    python, why = compilers.emulator()
    found: dict[str, Any] = {}
    for core in compilers.CORES.values():
        compiler, reason = compilers.cross(core)
        if python is None or compiler is None:
            raise UnsupportedError(why if python is None else reason)
        image = emulate.emulate(model, given, core, compiler, python, counted=len(given))
        if not np.array_equal(image.ran.logits, wanted):
            raise SnnasError(f"{core.name}: the image's answers are not those expected")
        taken = float(image.instructions.sum(axis=1).mean())
        found[core.name] = {"instructions": taken, "flash": image.flash, "ram": image.ram}
    return found


def _print(result: dict[str, Any]) -> None:
    print(f"digits, {result['samples']} test samples; CNN of {result['channels']} channels")
    print(f"{'':28} accuracy    SAR     M4 instr  flash    RAM   RV32 instr")
    for r in result["rows"]:
        m, v = r["cortex-m4"], r["rv32imc"]
        sar = "      " if r["sar"] is None else f"{r['sar']:.4f}"
        figures = f"{m['instructions']:>10,.0f} {m['flash']:>6,} {m['ram']:>6,} {v['instructions']:>10,.0f}"
        print(f"{r['what']:28} {r['accuracy']:.2%}   {sar} {figures}")


def command(
    run: Annotated[str, typer.Argument(help="A run on digits that was exported with --target c.")],
    runs_dir: RunsDir = None,
    factors: Annotated[str, typer.Option(help="Of all thresholds.")] = "1,1.5,0.7",
    channels: Annotated[str, typer.Option(help="Of the CNN's two convolutions.")] = "4,8",
    epochs: Annotated[int, typer.Option(min=1, help="Of the CNN's training.")] = 40,
    seed: Annotated[int, typer.Option(min=0, help="Of the CNN's weights.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Instructions, flash and memory of a spiking network and of an int8 CNN, through one compiler and emulator."""
    a, b = numbers(channels, "--channels", "4,8")
    result = measure(run, runs_dir, tuple(float(f) for f in factors.split(",")), (a, b), epochs, seed)
    tell(result, as_json, _print, good=True)


if __name__ == "__main__":
    main(command)
