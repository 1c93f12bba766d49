"""Searches, trains, exports and guards from Python, as small as it gets: python search_and_export.py [FOLDER]"""

import sys
from pathlib import Path

import snnas

folder = Path(sys.argv[1] if len(sys.argv) > 1 else "runs")
budget = {"energy_total": "90uJ"}  # the upper end of the band, for one inference on the chip
small = {"trainings": 8, "short_epochs": 2, "epochs": 4}
run = snnas.search_network("digits", budget=budget, runs_dir=folder, progress=True, **small)
export = run.export("lava", samples=4, progress=True)

report = export.report
accuracy, energy = report["accuracy"], report["energy_uJ"]["total"]
print(f"{run.path}")
print(f"accuracy: {accuracy['training']:.1%} in training, {accuracy['on_target']:.1%} on target")
print(f"energy: {energy['low']:.1f} .. {energy['nominal']:.1f} .. {energy['high']:.1f} uJ, estimated")
print(f"spikes that differ: {report['checks']['nir_differing_spikes']} in NIR")
print(f"Lava: {report['checks']['lava_differing_spikes']} differ ({report['checks']['lava']})")
print(f"gate: {'passed' if export.check(data='digits', max={'energy_total': '1mJ'}) else 'failed'}")
