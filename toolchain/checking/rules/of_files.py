"""SN1xx: what a file must be before anything in it is believed."""

from snnas.toolchain.checking.rules.rule import Rule
from snnas.toolchain.runs.extras import install

RULES = (
    Rule(
        "SN101", "the file is there and can be read", "invalid",
        "A truncated, empty or mistyped file is read to its end before anything in it is believed: HDF5 by a guarded "
        "child process, .npz and .onnx against the sizes that they declare. A git-lfs pointer is not the file.",
        "Write the file again with the tool that made it; check that the pipeline fetched it whole (git lfs pull).",
    ),
    Rule(
        "SN102", "its format version is one that this version reads", "invalid",
        "A file of a newer snnas may mean something else by the same names; reading it anyway would be a guess.",
        "Upgrade snnas in the pipeline to the version that wrote the file, or write the file again with this one.",
    ),
    Rule(
        "SN103", "the export folder is whole", "invalid",
        "manifest.json lists the files of an export; without one of them the export cannot be run or proved. A file of "
        "another target's export beside them, or one that it does not list, is compared with nothing.",
        "Export again, or put the whole folder (not only model.nir) where the check finds it, and nothing of another.",
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
        f"{install('onnx')}.",
    ),
    Rule(
        "SN119", "an ONNX model says how it is run", "invalid",
        "One timestep with explicit state means nothing until the metadata key snnas says which output feeds which "
        "input, which are the spikes, and how many timesteps there are.",
        "Export with snnas export --target onnx; keep metadata_props in later conversions.",
    ),
    Rule(
        "SN120", "run_lava.py is the script that this version ships", "failed",
        "It is run by hand and its verdict is believed: a line of it changed, and Lava agrees with anything. Another "
        "version of snnas may have had another script.",
        "Check with the version that wrote the export (the detail names it), or export again.",
    ),
)  # fmt: skip
