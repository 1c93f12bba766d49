"""Whole examples of the files that hold a record, and whether a printed document is as its record says."""

from __future__ import annotations

from typing import Any

from snnas.toolchain.results.documents import document

SHA = "0" * 64
BAND = {"low": 1.0, "nominal": 2.0, "high": 999.7}
NO_BAND = {"low": None, "nominal": None, "high": None}

REPORT: dict[str, Any] = {
    "schema": "snnas.report/1",
    "run": "r",
    "seed": 0,
    "dataset": "digits",
    "method": "lightsnn",
    "timesteps": 5,
    "search": {"seconds": 1.5, "evaluations": 31, "device": "cpu", "architecture": "0123456789ab"},
    "accuracy": {
        "training": 0.9,
        "nir": 0.9,
        "on_target": 0.8,
        "samples": 360,
        "interval": [0.7, 0.9],
        "flips": 3,
        "flips_to_wrong": 2,
        "flips_to_right": 1,
    },
    "sar": {"training": 0.1, "on_target": 0.2, "lightsnn": 0.1, "per_population": {}},
    "spikes_per_inference": {"training": 10.0, "on_target": 11.0, "overhead": 1.0},
    "synops_per_inference": 100.0,
    "latency_us": BAND,
    "energy_uJ": {"profile": "loihi1", "evidence": "simulated", "unpriced": ["host_mac"]}
    | {part: BAND for part in ("encode", "dynamic", "floor", "total")},
    "resources": {
        "parameters": 100,
        "neurons": 10,
        "overhead_neurons": 2,
        "synapses": 100,
        "cores": 1,
        "chips": 1,
        "weight_bits": 8,
        "fits": True,
        "misfits": [],
    },
    "schedule": {
        "period": 1,
        "depth": 4,
        "relays": {"populations": 0, "neurons": 0, "spikes_per_inference": 0.0, "synops_per_inference": 0.0},
    },
    "checks": {
        "fold_differing_spikes": 0,
        "nir_differing_spikes": 0,
        "nir_smallest_margin": 1e-6,
        "ranges_proved": 1,
        "ranges_populations": 1,
        "lava_samples": 0,
        "lava_differing_spikes": None,
        "lava_spikes_compared": None,
        "lava": "absent",
    },
    "finetune": None,
    "quantisation": {
        "lif": {
            "weight": 0.01,
            "threshold": 0.0,
            "leak": 0.0,
            "current_decay": 0.0,
            "bias": 0.0,
            "differing": 1,
            "spikes": 100,
        }
    },
    "ranges": {
        "lif": {
            "status": "proved",
            **{register: {"low": -5, "high": 5, "limit": 10, "margin": 0.5} for register in ("a", "u", "v")},
        }
    },
    "provenance": {"accuracy.training": "measured", "energy_uJ": "estimated"},
    "versions": {"python": "3.11", "device": "cpu"},
    "hashes": {"weights": SHA, "genotype": SHA, "data": SHA},
}

RUN: dict[str, Any] = {
    "name": "digits-lightsnn-001",
    "created_at": "2026-01-02T03:04:05.678+00:00",
    "command": "snnas search --dataset digits",
    "seed": 0,
    "data": {"name": "digits", "sha256": SHA, "train": 1000, "val": 200, "test": 360},
    "method": {"name": "lightsnn", "space": "lightsnn", "proxy": "sahd", "backward": False, "batch": 64},
    "network": {
        "input_shape": [1, 8, 8],
        "classes": 10,
        "input_kind": "analogue",
        "channels": 16,
        "timesteps": 5,
        "tau": 4 / 3,
        "threshold": 1.0,
        "cells": 2,
    },
    "train": {},
    "versions": {"device": "cpu", "python": "3.11"},
}
SEARCHED = {"seconds": 1.5, "evaluations": 31, "guards": 0, "architecture": "0123456789ab"}
TRAINED = {"seconds": 3.5, "best_epoch": 2, "validation_accuracy": 0.9, "validation_sar": 0.1, "device": "cpu"}


def hold_document(printed: dict[str, Any]) -> None:
    """Raises pydantic's ValidationError where a printed document is not as its record says."""
    document(printed["schema"]).model_validate(printed)
