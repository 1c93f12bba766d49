"""SN2xx and SN3xx: what a graph, its program and its recording must be to one another."""

from snnas.toolchain.checking.rules.rule import Rule

RULES = (
    Rule(
        "SN201", "edges stand in topological order", "warned",
        "Norse runs edges in the order of the file: in a shuffled one nearly every spike changes, without an error.",
        "Write edges in topological order; the model.nir of snnas export GRAPH.nir has them so.",
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
        "Fold r into the weights, reset to 0, one threshold and tau per layer; or accept that the graph is for snnas: "
        "this fails with --portable alone.",
    ),
    Rule(
        "SN207", "the program is the graph's", "failed",
        "The graph is compiled again: populations, leaks and the geometry of every synapse must be those of "
        "program.npz. Integer weights may differ (calibration, fine-tuning); they are judged by SN211 and SN303. "
        "A lone graph must compile; where it cannot, that is a warning: it may be meant for another target.",
        "Export again; model.nir and program.npz are of different networks. A lone graph that resets by subtraction "
        "has a program with --system generic.",
    ),
    Rule(
        "SN208", "no input overflows a register", "failed",
        "Interval bounds over every admissible input: the synaptic input fits 16 bits, the current 24. Lava does not "
        "stop where they are exceeded, it computes something else. Of populations that the program says are observed, "
        "the recorded input is asked alone.",
        "Export again; what snnas export compiles is proved or says observed (--ranges proved: all of it). A weight, "
        "exponent or bias was changed since.",
    ),
    Rule(
        "SN209", "weights have 4 bits left at least", "warned",
        "One scale serves all weights into a population. Where a register that must not overflow, or another synapse's "
        "much larger weights, hold it down, small weights become few steps or 0, and no spike says why. A population "
        "whose weights are exact as they are is not meant.",
        "Export with samples that calibrate (--data, --calibration) and --ranges auto; bring the population's weights "
        "nearer to one another; snnas diagnose says what it costs.",
    ),
    Rule(
        "SN210", "a lone graph can be deployed on the target", "failed",
        "What snnas export refuses of a graph whatever its samples (a reset by subtraction on Loihi, a maximum over "
        "currents, a neuron that no chip has) needs no data to be found. That its program fits cores and registers is "
        "checked with a recording.",
        "Change the graph as the detail says, or name its target with --system; where it is meant for another one, "
        "--ignore SN210.",
    ),
    Rule(
        "SN211", "the program's numbers are those that the graph compiles to", "failed",
        "model.nir is compiled again with the samples of calibration.npz: every weight, exponent, threshold, bias and "
        "scale of program.npz must be the one that comes out. A program that was fine-tuned differs on purpose: so "
        "many weights must differ as report.json says, and of every program the errors must be those that it recorded. "
        "An older export keeps no such samples: with --trust-report its weights are held to an RMS error of "
        "1 step per synapse, which a few wrong ones pass.",
        "Export again; program.npz was changed, or is of another graph.",
    ),
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
        "The detail names the first node, timestep and neuron. If the change is meant, record again: snnas check GRAPH "
        "--record auto --force.",
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
        "Export again, or record again: snnas check GRAPH --record auto --force.",
    ),
    Rule(
        "SN306", "the graph is the one that was recorded", "failed",
        "A change too small for the recorded input, such as a threshold moved by one float32, fires no other spike "
        "there and may elsewhere. The recording keeps a digest of every parameter, and the "
        "timesteps and input kind that the file says, so that no change goes unseen; "
        "other metadata and the file's bytes may differ.",
        "If the change is meant, record again: snnas check GRAPH --record auto --force. Samples, labels and the way "
        "the graph is read are those of the recording; to change them too, add --new-recording.",
    ),
    Rule(
        "SN307", "the manifest's figures are what is measured again", "failed",
        "Neurons, cores and chips are counted again; the manifest's tables must be those of report.json. Where a limit "
        "or a baseline judges figures, accuracy, activity, energy and latency are measured again too; they must be the "
        "report's where the export holds all of its samples. Limits are judged by what is measured, not by the report.",
        "Export again, with --force where it is said to be up to date; do not edit figures.",
    ),
    Rule(
        "SN308", "the ONNX model and the NIR graph fire alike", "failed",
        "Both are the same deployed network, run by two independent programs.",
        "Export again; where float32 rounds a sum across a threshold, with --float64.",
    ),
    Rule(
        "SN309", "the recording makes every neuron layer fire", "warned",
        "What never fires is not compared: a recording in which a layer is silent proves nothing about what follows. "
        "Where nothing fires that is read, every answer is the same whatever comes in: that has failed.",
        "Record on real samples: --record auto --data FILE.npz --new-recording. Of an export: train or export again.",
    ),
    Rule(
        "SN310", "the answers tell samples apart", "failed",
        "Where every prediction is a tie, or every sample has the same answers, the lowest class is taken each time: "
        "an accuracy is then the share of that class, and no gate on it holds anything. Without labels: a warning.",
        "Find what is silent and why: snnas simulate GRAPH names the likely cause (an IF graph read with dt = 1e-4: "
        "--dt 1 or --convention; event counts read as x / 255; a threshold out of reach). Then record or export again.",
    ),
    Rule(
        "SN311", "graph and program fire alike but for rounding", "failed",
        "On the recorded input, at most 60 % of a population's spikes are missing on the other side (to 26 % are usual "
        "at 4 bits, 85 % of another network), and at least half of the samples are classified alike. Where more are "
        "missing and every number is the graph's (SN211), each population is run by itself, driven by the graph's "
        "spikes: where none differs by more than rounding, this warns that rounding adds up from layer to layer. "
        "Recorded spikes that were made again with a program prove the program alone.",
        "Export again; snnas diagnose names the first population that parts, and why.",
    ),
    Rule(
        "SN312", "the samples that limits are judged on are the caller's", "failed",
        "Who writes an export chooses its samples and labels, and may choose easy or silent ones: a limit on accuracy, "
        "activity, energy or latency that is met on them says nothing. --data brings the caller's own (a file, or a "
        "named set's test split); a baseline pins them by their digest; --trust-report takes the folder's.",
        "--data FILE.npz or --data digits; or snnas check FOLDER --update-baseline once, reviewed and committed, then "
        "--baseline; --trust-report where the export is your own.",
    ),
    Rule(
        "SN313", "the C is what the program gives", "failed",
        "Of an export with --target c: model.c, its test with the recorded spikes and all beside them, written again "
        "from program.npz and compared byte for byte; so what check says of the program holds for the C.",
        "Export again; a model.c that was edited by hand is nobody's program. An export of another version is checked "
        "there.",
    ),
    Rule(
        "SN314", "an early exit is what the report says of it", "failed",
        "Of an export with --early-exit: its rule ends the inferences of stimulus.npz once more. Exact may change no "
        "answer. Mean timesteps, answers that change, accuracy and the energy that is left are the report's where all "
        "its samples are here; of fewer, the interval of the answers that stay meets the report's.",
        "Export again; the margin, the rule or a figure was changed, or the program was after them.",
    ),
    Rule(
        "SN315", "the ONNX model is what the graph gives", "failed",
        "Of an export with --target onnx: operators, numbers, inputs, outputs and metadata of model.onnx, written "
        "again from model.nir and compared one by one. Spikes on a few samples (SN308) say nothing of a readout in "
        "another order, or of a weight that fires nothing else there. encoder.onnx, of signals, byte for byte.",
        "Export again; a model.onnx that was edited by hand is nobody's graph. An export of another version is checked "
        "there.",
    ),
    Rule(
        "SN316", "the netx file is what the program gives", "failed",
        "Of an export of anybody's graph that lava-dl's netx can hold: model.net, written again from program.npz; "
        "layers, weights, biases and thresholds are compared one by one.",
        "Export again; a model.net that was edited by hand is nobody's program. An export of another version is "
        "checked there.",
    ),
)  # fmt: skip
