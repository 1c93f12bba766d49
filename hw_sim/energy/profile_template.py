"""The documented schema of an energy profile, as a TOML file to fill in."""

from __future__ import annotations

from snnas.hw_sim.energy.profile import BASES, UNITS

HEAD = """\
# An energy profile: the constants of one chip. Fill in what you measured or can cite, delete the rest: what a profile
# leaves out is listed as unpriced, never taken as zero. Use it with: snnas estimate MODEL --profile THIS_FILE.toml
#
# Each constant is a table [section.name] with
#   value, low, high  numbers >= 0 with low <= value <= high: the nominal figure and how far it may be off
#   unit              as given below; other units are refused, convert them
#   node, volt, year  process, supply voltage and year of the figure (all must be there)
#   basis             {bases} (strongest first); a bill's evidence is the weakest it used
#   source            where the figure comes from: a DOI, a report, a measurement and its date
#   note              optional
# Only per-operation terms: an all-in average of a whole chip holds the floor already and may not be mixed with them.
name = "{name}"
version = 1
scope = "per_term"
banner = ""  # printed with every bill; say here what the figures leave out
"""

ENTRY = """
# {meaning}
{mark}[{key}]
{mark}value = nan  # fill in
{mark}low = nan
{mark}high = nan
{mark}unit = "{unit}"
{mark}node = ""
{mark}volt = 0.0
{mark}year = 2026
{mark}basis = "measured"
{mark}source = ""
"""

MEANINGS = {
    "energy.synop": "one synaptic event, whatever its format; a format's own price below goes before it",
    "energy.synop_conv": "one synaptic event of a convolution (weights shared between positions)",
    "energy.synop_dense": "one synaptic event of a dense layer",
    "energy.synop_sparse": "one synaptic event of a sparse matrix",
    "energy.update_active": "one neuron on one hardware step on which input arrived or its state may be nonzero",
    "energy.update_idle": "one neuron on one hardware step on which nothing happened: it is touched all the same",
    "energy.spike_generation": "one spike, beside its messages",
    "energy.message": "one spike to one destination core",
    "energy.hop_ew": "one message, one tile east or west",
    "energy.hop_ns": "one message, one tile north or south",
    "energy.crossing": "one message that leaves its chip",
    "energy.host_mac": "one multiply-accumulate of the host stage (the layers before the first neuron)",
    "energy.host_comparison": "one comparison of two numbers by an encoder of signals, on the host",
    "energy.input_spike": "one spike that the host sends in",
    "energy.cycle": "one clock cycle of a microcontroller: amperes per hertz times volts",
    "power.idle": "each chip of the system, doing nothing",
    "power.run": "each chip in use, above idle, while any network runs",
    "time.synop": "one synaptic event",
    "time.update_active": "one active neuron on one hardware step",
    "time.update_idle": "one idle neuron on one hardware step",
    "time.message": "one message into a core",
    "time.barrier": "the synchronisation that ends a hardware step",
    "time.cycle": "one clock cycle of a microcontroller",
    "cycles.instruction": "clock cycles of an instruction of a microcontroller, the mean of what it executes",
}


def template(name: str) -> str:
    """The file's text: ``energy.synop`` to fill in, every other constant commented out."""
    entries = [
        ENTRY.format(key=key, unit=unit, meaning=MEANINGS[key], mark="" if key == "energy.synop" else "# ")
        for key, unit in UNITS.items()
    ]
    return HEAD.format(name=name, bases=", ".join(BASES)) + "".join(entries)
