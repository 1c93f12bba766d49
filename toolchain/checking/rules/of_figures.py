"""SN4xx to SN6xx: limits, the baseline, and doing the same twice."""

from snnas.toolchain.checking.rules.rule import Rule

RULES = (
    Rule(
        "SN401", "accuracy is above its limit", "failed",
        "Of the program on target, on the recorded or exported samples; the recording needs labels. Where an export "
        "holds fewer samples than its report speaks of, or fewer than 100 that nobody has pinned, the lower end of "
        "their 95 % interval is judged.",
        "Train longer, quantise with more bits, or lower the limit knowingly. Without a figure: record with labels.",
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
    Rule(
        "SN409", "flash, memory and instructions are within their limits", "failed",
        "Of the C on a microcontroller (--system cortex-m4 or rv32imc), estimated without a compiler: weights and "
        "state exactly, code and stack as fitted, instructions at the upper end of what the fit is off.",
        "Fewer channels or timesteps, --bits 4, or a quieter network; snnas export --target c measures them.",
    ),
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
        "SN503", "the baseline was measured on the same samples", "failed",
        "Accuracy, activity and energy depend on the samples; on others they differ without any change of the network, "
        "and easier ones hide a worse one. The baseline keeps a digest of samples and labels.",
        "Write the baseline again after recording again.",
    ),
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
