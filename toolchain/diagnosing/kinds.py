"""The kinds of fault, for machines: a closed set, which the schema of ``snnas diagnose`` publishes."""

from __future__ import annotations

from typing import Literal

# What is done to the weights of one synapse or host map, or to the readout's.
WeightKind = Literal[
    "channels transposed",
    "flattened otherwise",
    "input channels permuted",
    "kernel flipped",
    "kernel mirrored",
    "kernel rotated",
    "kernel transposed",
    "matrix transposed",
    "output channels permuted",
    "rows permuted",
    "scaled",
    "sign flipped",
    "synapse lost",
    "weights differ",
    "weights saturated",
    "wrong exponent",
]

Kind = (
    WeightKind
    | Literal[
        "bias lost",
        "bias saturated",
        "bias sign flipped",
        "bias wrong",
        "comparison",
        "delay added",
        "delay lost",
        "dt or tau wrong",
        "few bits left",
        "geometry",
        "host map added",
        "host map lost",
        "input range",
        "relay broken",
        "reset read wrongly",
        "synapse added",
        "synaptic tau wrong",
        "threshold off",
        "timesteps",
        "wrong role",
        "wrong scale",
        "wrong source",
    ]
)
