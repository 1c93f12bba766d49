"""Register widths of the Loihi neuron and synapse, and Loihi 1's resources per core and chip.

Sources: widths as in Lava 0.10 ``fixed_pt`` models (lava/proc/lif/models.py: uv_bitwidth, decay_shift, vth_shift,
act_shift and the documented ``precision``); per-core resources Davies et al. 2018, IEEE Micro 38(1), p. 86-92.
Lava does not enforce these widths on a CPU; ``Program.verify`` does.
"""

from __future__ import annotations

DECAY_BITS = 12
DECAY_ONE = 1 << DECAY_BITS  # dv = 4096 would forget all of v in a step; the register ends at 4095
DECAY_MAX = DECAY_ONE - 1
NO_MEMORY = DECAY_MAX  # du: a current that keeps nothing of the last step's (Lava decays it by du + 1)
STATE_SHIFT = 6  # thresholds and synaptic input are shifted left by 6 into the 24-bit state
STATE_LIMIT = 1 << 23  # u wraps beyond +-2**23, v is clipped to +-(2**23 - 1)
THRESHOLD_MAX = (1 << 17) - 1
BIAS_MANTISSA_MAX = (1 << 12) - 1
BIAS_EXPONENT_MAX = 7
CURRENT_MAX = (1 << 15) - 1  # a_in: 16-bit signed, in weight units
WEIGHT_BITS = 8  # of a stored weight, unless a program says fewer (a synapse format of Loihi has its own width)
WEIGHT_WIDTHS = (8, 6, 4)
WEIGHT_MIN, WEIGHT_MAX = -128, 127
WEIGHT_EXPONENT_MAX = 7


def weight_range(bits: int) -> tuple[int, int]:
    """The least and the largest weight of so many bits, the sign included."""
    return -(1 << bits - 1), (1 << bits - 1) - 1
