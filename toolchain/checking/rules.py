"""What ``snnas check`` checks: one rule per code. ``snnas explain`` and docs/check.md print this table.

A code never changes its meaning; new ones are added. Groups stand in the order in which they are run. Status of a
breach: invalid (exit 3), failed (1), unsupported (4), or warned (0; 1 with --strict).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from hw_sim.errors import UsageError, did_you_mean

Severity = Literal["invalid", "failed", "unsupported", "warned"]

GROUPS = {
    "SN1": "file and schema",
    "SN2": "topology and portability",
    "SN3": "equivalence with the recording",
    "SN4": "budgets",
    "SN5": "drift against the baseline",
    "SN6": "determinism",
}


@dataclass(frozen=True, slots=True)
class Rule:
    """title: what must hold. severity: what a breach usually is. why and mend: the long text."""

    code: str
    title: str
    severity: Severity
    why: str
    mend: str

    @property
    def group(self) -> str:
        return GROUPS[self.code[:3]]

    def __str__(self) -> str:
        head = f"{self.code}  {self.title}\ngroup: {self.group}; a breach is: {self.severity}"
        return f"{head}\n\nWhy: {self.why}\nMend: {self.mend}"


_RULES = (
    # ------------------------------------------------------------------------------------------- file and schema
    Rule(
        "SN101", "the file is there and can be read", "invalid",
        "A truncated, empty or mistyped file is read to its end before anything in it is believed: HDF5 by a guarded "
        "child process, .npz and .onnx against the sizes that they declare.",
        "Write the file again with the tool that made it; check that the pipeline fetched it whole (git lfs pull).",
    ),
    Rule(
        "SN102", "its format version is one that this version reads", "invalid",
        "A file of a newer snnas may mean something else by the same names; reading it anyway would be a guess.",
        "Upgrade snnas in the pipeline to the version that wrote the file, or write the file again with this one.",
    ),
    Rule(
        "SN103", "the export folder is whole", "invalid",
        "manifest.json lists the files of an export; without one of them the export cannot be run or proved.",
        "Export again, or put the whole folder (not only model.nir) where the check finds it.",
    ),
    Rule(
        "SN104", "every file has the hash that the manifest records", "invalid",
        "A file that differs from what was exported was damaged or edited. A hash finds damage; it is no signature: "
        "who writes the manifest again too is found by the runs of SN3xx.",
        "Export again, or restore the file.",
    ),
    Rule(
        "SN105", "the file has the structure of its format", "invalid",
        "Types, fields, names and metadata are those of NIR, of ONNX, or of snnas's own formats.",
        "Write the file again with nir >= 1.0 or snnas export; the detail names the field.",
    ),
    Rule(
        "SN106", "every node or operator is one that is taken", "unsupported",
        "Other readers silently turn nodes that they do not know into the identity, which changes every spike behind "
        "it. An ONNX operator of a foreign domain needs a plug-in that no pipeline has, and a control-flow operator "
        "(If, Loop, Scan) hides a graph that is not checked.",
        "Lower the node before the export (docs/nir.md lists what is taken), or leave it out.",
    ),
    Rule(
        "SN107", "every parameter is finite", "invalid",
        "One NaN weight makes a membrane NaN, and v > threshold is then False for ever: the neuron is silent and "
        "nothing says so. NIR's own checker lets NaN through.",
        "Find where training diverged; export the last finite checkpoint.",
    ),
    Rule(
        "SN108", "every time constant fits the timestep", "invalid",
        "A tau of 0 or below is no leak, and an Euler step with tau < dt overshoots. Tools disagree on units (s, ms, "
        "timesteps); such a tau is most often one in another unit.",
        "Give tau in seconds, or name the writer's convention (--convention, --dt, --decay; snnas whose finds it).",
    ),
    Rule(
        "SN109", "a bias has one value per output", "invalid",
        "NIR's own checker accepts a bias of any length; readers broadcast it, cut it or crash.",
        "Correct the bias in the tool that wrote the graph.",
    ),
    Rule(
        "SN110", "parameters have shapes that fit one another", "invalid",
        "Rank of weights, groups that divide the channels, neuron parameters of one shape, sizes within bounds.",
        "Correct the parameter that the detail names.",
    ),
    Rule(
        "SN111", "one input and one output", "invalid",
        "Two Output nodes give some readers a tuple in place of a sum, and NIR adds an Input where one is missing.",
        "Join them into one node; add the missing one.",
    ),
    Rule(
        "SN112", "no edge is listed twice", "invalid",
        "Readers disagree whether a double edge doubles the current.",
        "List the edge once and scale the weights.",
    ),
    Rule(
        "SN113", "no edge and no node hangs in the air", "invalid",
        "An edge to nowhere, a node that nothing feeds or reads, or an input that NIR added by itself for such a node: "
        "part of the network was lost on the way.",
        "Connect the node or remove it.",
    ),
    Rule(
        "SN114", "node names survive every reader", "warned",
        "HDF5 reads / as a path, and torch readers turn . into _, so that two names may become one.",
        "Rename the node: letters, digits and underscores.",
    ),
    Rule(
        "SN115", "nothing outside the file is read", "invalid",
        "ONNX external data, HDF5 links and paths in a manifest can point at any file of the machine that runs the "
        "check (../../etc/passwd). They are refused before they are opened.",
        "Save the model with its data inside (onnx.save without save_as_external_data).",
    ),
    Rule(
        "SN116", "opset and IR version are within bounds", "invalid",
        "Below opset 16 the LIF's function cannot be written; above what the installed onnx knows, nothing can be "
        "verified. snnas writes opset 20, IR 10, which runtimes in use support.",
        "Export with opset 20 and IR 10, or upgrade onnx and onnxruntime.",
    ),
    Rule(
        "SN117", "the program keeps its own rules and registers", "invalid",
        "Widths of weights, thresholds, leaks and biases, a schedule without missing relays, unique names.",
        "Export again; do not edit program.npz.",
    ),
    Rule(
        "SN118", "what the check needs is installed", "unsupported",
        "The base install reads .nir and programs. An .onnx needs onnx and onnxruntime.",
        "pip install 'snnas[onnx]'.",
    ),
    Rule(
        "SN119", "an ONNX model says how it is run", "invalid",
        "One timestep with explicit state means nothing until the metadata key snnas says which output feeds which "
        "input, which are the spikes, and how many timesteps there are.",
        "Export with snnas export --target onnx; keep metadata_props in later conversions.",
    ),
    # ---------------------------------------------------------------------------------- topology and portability
    Rule(
        "SN201", "edges stand in topological order", "warned",
        "Norse runs edges in the order of the file: in a shuffled one nearly every spike changes, without an error.",
        "Write edges in topological order; snnas export GRAPH.nir does it.",
    ),
    Rule(
        "SN202", "every cycle says which of its edges waits a timestep", "invalid",
        "NIR has no delayed edge. In a cycle without a declared one, readers choose by node order, and order changes "
        "on every read and write.",
        "Name the edge with --delayed SRC:DST, put in a Delay node, or keep the snnas metadata.",
    ),
    Rule(
        "SN203", "every cycle holds a spiking neuron", "invalid",
        "A loop of linear nodes alone is an integrator that no synapse can express, or an equation without a solution.",
        "Put a neuron into the loop, or cut it open.",
    ),
    Rule(
        "SN204", "shapes agree along every edge", "invalid",
        "Shapes are inferred by snnas's own arithmetic: NIR's are wrong for kernels that are not square, for groups "
        "and for padding 'same' with a stride.",
        "Correct the shape that the detail names, or put a Flatten node between the two.",
    ),
    Rule(
        "SN205", "a delayed edge is an edge of the graph", "invalid",
        "Metadata that name a missing edge belong to another graph, or the graph was edited after them.",
        "Write the graph again, or name the right edge with --delayed SRC:DST.",
    ),
    Rule(
        "SN206", "the graph keeps to what every reader runs alike", "warned",
        "norse ignores r of an LIF and drops Scale, Delay, Threshold, AvgPool2d and LI; snntorch takes dt = 1e-4 and "
        "v_reset = 0; nirtorch chooses the delayed edge of a cycle by node order.",
        "Fold r into the weights, reset to 0, one threshold and tau per layer; or accept that the graph is for snnas.",
    ),
    Rule(
        "SN207", "the program is the graph's", "failed",
        "The graph is compiled again: populations, leaks and the geometry of every synapse must be those of "
        "program.npz. Integer weights may differ (calibration, fine-tuning); they are judged by their spikes, SN303. "
        "A lone graph must compile; where it cannot, that is a warning: it may be meant for another target.",
        "Export again; model.nir and program.npz are of different networks.",
    ),
    Rule(
        "SN208", "no input overflows a register", "failed",
        "Interval bounds over every admissible input: the synaptic input fits 16 bits, the current 24, the "
        "membrane is not clipped. Lava does not stop where they are exceeded, it computes something else.",
        "Export again; every program of snnas export is proved. A weight, exponent or bias was changed since.",
    ),
    # ---------------------------------------------------------------------------- equivalence with the recording
    Rule(
        "SN301", "there is a recording, and it fits", "invalid",
        "Inputs and spikes recorded once are what every later run is compared with. A lone graph without one is a "
        "warning: nothing says what it should do.",
        "Make one: snnas check GRAPH --record auto (--data FILE.npz for samples and labels of yours).",
    ),
    Rule(
        "SN302", "the graph gives the recorded spikes", "failed",
        "The float graph, run on the recorded input (a .nir by snnas's NumPy interpreter in float64, an .onnx by "
        "onnxruntime on one thread, unoptimised), must fire as it did: no spike is tolerated.",
        "The detail names the first node, timestep and neuron. If the change is meant, record again.",
    ),
    Rule(
        "SN303", "the program gives the recorded spikes", "failed",
        "The integer program, simulated on the recorded input, must fire as it did when Lava agreed with it.",
        "Export again; the detail names the first population, timestep and neuron.",
    ),
    Rule(
        "SN304", "the host injects the recorded currents", "failed",
        "Bit-exactness starts at the host stage: an analogue input becomes integer currents there.",
        "Export again; the host's weights or scale were changed.",
    ),
    Rule(
        "SN305", "the answers are the recorded ones", "failed",
        "Every spike is equal but the readout is not: its weights or biases were changed.",
        "Export or record again.",
    ),
    Rule(
        "SN306", "the graph is the one that was recorded", "failed",
        "A change too small for the recorded input, such as a threshold moved by one float32, fires no other spike "
        "there and may elsewhere. The recording keeps a digest of every parameter, so that no change goes unseen; "
        "metadata and the file's bytes may differ.",
        "If the change is meant, record again: snnas check GRAPH --record auto --force.",
    ),
    Rule(
        "SN307", "the manifest's figures are what is measured again", "failed",
        "Neurons, cores and chips are counted again; accuracy, activity, energy and latency must be those of "
        "report.json, whose hash is recorded. Limits are judged by these figures.",
        "Export again; do not edit figures.",
    ),
    Rule(
        "SN308", "the ONNX model and the NIR graph fire alike", "failed",
        "Both are the same deployed network, run by two independent programs.",
        "Export again; where float32 rounds a sum across a threshold, with --float64.",
    ),
    Rule(
        "SN309", "the recording makes every neuron layer fire", "warned",
        "What never fires is not compared: a recording in which a layer is silent proves nothing about what follows.",
        "Record on real samples: --record auto --data FILE.npz.",
    ),
    # --------------------------------------------------------------------------------------------------- budgets
    Rule(
        "SN401", "accuracy is above its limit", "failed",
        "Of the program on target, on the recorded or exported samples; the recording needs labels.",
        "Train longer, quantise with more bits, or lower the limit knowingly.",
    ),
    Rule(
        "SN402", "the spiking activity rate is within its limit", "failed",
        "Spikes per neuron and timestep on target, OR and relay neurons left out.",
        "Train with a lower --target-sar, or raise the limit.",
    ),
    Rule(
        "SN403", "spikes per inference are within their limit", "failed",
        "Spikes of all neurons of the program per sample.",
        "Fewer timesteps, fewer neurons or a lower activity.",
    ),
    Rule(
        "SN404", "synaptic operations per inference are within their limit", "failed",
        "Each spike counts once for every synapse that it reaches.",
        "Fewer spikes, or a smaller fan-out.",
    ),
    Rule(
        "SN405", "energy is within its limit", "failed",
        "The upper end of the band of the named profile; what it does not price is not in it.",
        "A smaller or quieter network; snnas report shows the bill.",
    ),
    Rule(
        "SN406", "memory and parameters are within their limits", "failed",
        "Memory: the program's weights at their stored width, and 24 bits of state per neuron.",
        "Fewer channels, or --bits 4.",
    ),
    Rule(
        "SN407", "neurons, cores and chips are within their limits", "failed",
        "As placed on the chip; a network that does not fit has no such figure, which fails too.",
        "Fewer channels; snnas estimate gives advice where it does not fit.",
    ),
    Rule(
        "SN408", "latency is within its limit", "failed",
        "The upper end of the band of one inference, batch 1.",
        "Fewer timesteps, a shallower network, or no backward edges (they lengthen the period).",
    ),
    # --------------------------------------------------------------------------------- drift against the baseline
    Rule(
        "SN501", "no figure is worse than the baseline allows", "failed",
        "Only worse counts: accuracy down, cost up, by more than --tolerance (0 where none is given).",
        "Mend the regression; if it is meant, write the baseline again with --update-baseline, and commit it.",
    ),
    Rule(
        "SN502", "the baseline can be compared with", "failed",
        "A baseline that cannot be read, or a figure of it that is no longer there, would hide a regression.",
        "Write it again: --update-baseline.",
    ),
    Rule(
        "SN503", "the baseline was measured on the same samples", "warned",
        "Activity and energy depend on the samples; on others they differ without any change of the network.",
        "Write the baseline again after recording again.",
    ),
    # ----------------------------------------------------------------------------------------------- determinism
    Rule(
        "SN601", "a second run gives equal spikes", "failed",
        "Whatever is not equal twice cannot be compared with a recording at all.",
        "A fault of snnas or of the runtime; please report it with the file.",
    ),
    Rule(
        "SN602", "order and batch size of the samples change nothing", "failed",
        "State that leaks from one sample into the next, or a batch that changes a sum's order, shows here.",
        "A fault of snnas or of the runtime; please report it with the file.",
    ),
    Rule(
        "SN603", "compiling twice gives the same program, byte for byte", "failed",
        "The program's hash is what caches, manifests and reviews go by.",
        "A fault of snnas; please report it with the file.",
    ),
)  # fmt: skip

RULES = {rule.code: rule for rule in _RULES}


def find(code: str) -> Rule:
    """The rule of a code, in any case; UsageError names a near one."""
    wanted = code.strip().upper()
    if wanted not in RULES:
        raise UsageError(
            f"{code[:40]!r} is no code of a rule{did_you_mean(wanted, RULES)}; snnas explain lists all of them"
        )
    return RULES[wanted]
