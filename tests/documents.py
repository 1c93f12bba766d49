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


BANDS = {
    "cycles": {"low": 446200.0, "nominal": 624680.0, "high": 892400.0},
    "latency_ms": {"low": 5.5775, "nominal": 7.8085, "high": 11.155},
    "energy_uJ": {"low": 41.05, "nominal": 163.04, "high": 348.93},
    "evidence": "analytic",
}
COMPARED = {"missing": None, "spikes_compared": 100, "differing_spikes": 0, "differing_logits": 0}
ESTIMATED = {
    "flash_bytes": 15_000, "ram_bytes": 19_000, "instructions": {"low": 4e5, "nominal": 4.4e5, "high": 4.8e5},
}  # fmt: skip
# ``c`` of a report
IN_C: dict[str, Any] = {
    "populations": 3,
    "native": COMPARED | {"compiler": "cc: cc 12", "split_samples": 360, "split_differing_logits": 0},
    "cores": [
        COMPARED
        | {
            "core": core, "compiler": "zig cc: 0.17", "flash_bytes": flash, "state_bytes": 18_876, "stack_bytes": 144,
            "instructions": 446_200.0, "counted": 4, "estimated": ESTIMATED, "board": BANDS | {"profile": profile},
        }
        for core, flash, profile in (("cortex-m4", 15_710, "stm32l412"), ("rv32imc", 14_122, "esp32c3"))
    ],
}  # fmt: skip
