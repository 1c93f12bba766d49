"""Which documents there are, and the record of each; a record is imported when it is asked for."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, get_args

from snnas.hw_sim.errors import UsageError, did_you_mean

if TYPE_CHECKING:
    from snnas.toolchain.results.record import Document

# name: where its record is, beneath records/
RECORDS = {
    "attestation": "check:Attestation",
    "bench.conformance": "bench.conformance:ConformanceBench",
    "bench.deploy": "bench.deploy:DeployBench",
    "bench.foreign": "bench.conformance:ForeignBench",
    "bench.gpu": "bench.gpu:GpuBench",
    "bench.search": "bench.search:SearchBench",
    "bench.simulate": "bench.simulate:SimulateBench",
    "bench.train": "bench.train:TrainBench",
    "calibrate": "calibrate:CalibrationFit",
    "calibrate.plan": "calibrate:CalibrationPlan",
    "check": "check:Check",
    "checks": "check:Checks",
    "data": "machine:DataSetList",
    "data.fetch": "machine:DataSetFetched",
    "diagnose": "diagnose:Diagnosis",
    "doctor": "machine:Doctor",
    "estimate": "estimate:Estimate",
    "export.onnx": "onnx:OnnxExport",
    "lava.setup": "machine:LavaSetUp",
    "leaderboard": "leaderboard:LeaderboardRow",
    "leaderboard.files": "leaderboard:RowFiles",
    "report": "report:Report",
    "report.comparison": "comparison:Comparison",
    "report.html": "comparison:PageWritten",
    "rules": "check:RuleList",
    "run": "run:RunShown",
    "runs": "runs:RunList",
    "runs.pack": "runs:RunPacked",
    "runs.remove": "runs:RunsRemoved",
    "schemas": "machine:SchemaList",
    "simulate": "simulate:Simulation",
    "whose": "whose:ConventionsFound",
}


def document(name: str) -> type[Document]:
    """The record of the document called ``name``, with or without ``snnas.`` and version; UsageError: there is none."""
    plain = name.removeprefix("snnas.").split("/")[0]
    if plain not in RECORDS:
        raise UsageError(f"no schema {name[:80]!r}; snnas schema lists them{did_you_mean(plain, RECORDS)}")
    module, _, record = RECORDS[plain].partition(":")
    found: type[Document] = getattr(import_module(f"snnas.toolchain.results.records.{module}"), record)
    return found


def title(record: type[Document]) -> str:
    """Name and version: snnas.report/1."""
    (said,) = get_args(record.model_fields["schema_"].annotation)
    return str(said)
