"""Searches, trains and exports from Python, as small as it gets: python search_and_export.py [FOLDER]"""

import sys
from pathlib import Path

from snnas.toolchain.exporting import ExportOptions, export_run
from snnas.toolchain.output.stderr import Narrator
from snnas.toolchain.searching import SearchOptions, begin_search, find_network

folder = Path(sys.argv[1] if len(sys.argv) > 1 else "runs")
narrator = Narrator()
options = SearchOptions(dataset="digits", channels=8, hidden=64, timesteps=3, batch=16, epochs=4)
run = begin_search(folder, None, options, "examples/search_and_export.py")
find_network(run, narrator)
report = export_run(run, ExportOptions(samples=4), narrator)

accuracy, energy = report["accuracy"], report["energy_uJ"]["total"]
print(f"{run.path}")
print(f"accuracy: {accuracy['training']:.1%} in training, {accuracy['on_target']:.1%} on target")
print(f"energy: {energy['low']:.1f} .. {energy['nominal']:.1f} .. {energy['high']:.1f} uJ, estimated")
print(f"spikes that differ: {report['checks']['nir_differing_spikes']} in NIR")
print(f"Lava: {report['checks']['lava_differing_spikes']} differ ({report['checks']['lava']})")
