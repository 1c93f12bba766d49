"""The early exit as C: ``snnas_decided``, whether an inference may end (``hw_sim/early_exit.py``)."""

from __future__ import annotations

from snnas.export.formats.c.packing import array, smallest
from snnas.hw_sim.early_exit import Rule, rule_of, slack
from snnas.hw_sim.program import Program

DECLARED = """/* Whether the answer is settled: 1 once snnas_class will not change{how}. Ask after each timestep. */
#define SNNAS_EARLY_EXIT 1
uint32_t snnas_decided(const snnas_state *state);
"""


def declared(program: Program) -> str:
    """Of model.h; nothing of a program without a rule."""
    rule = rule_of(program)
    if rule is None:
        return ""
    how = "" if rule.mode == "exact" else f", as on {rule.level:g} of the samples that the margin was chosen on"
    return DECLARED.format(how=how)


def arrays(program: Program) -> tuple[str, ...]:
    """What class k can gain on class c in a timestep, of an exact rule."""
    rule = rule_of(program)
    if rule is None or rule.mode != "exact":
        return ()
    table = slack(program.readout)
    return (array(smallest(table)[1], "slack", table),)


def function(program: Program) -> str:
    """snnas_decided; nothing of a program without a rule."""
    rule = rule_of(program)
    return "" if rule is None else _function(rule, program.timesteps)


def _function(rule: Rule, timesteps: int) -> str:
    needs = f"INT64_C({rule.margin})"
    if rule.mode == "exact":
        needs = "(int64_t)left * slack[best * SNNAS_CLASSES + c] + (c < best ? 1 : 0)"
    return f"""uint32_t snnas_decided(const snnas_state *t)
{{
    int64_t logits[SNNAS_CLASSES];
    const uint32_t left = {timesteps}u - t->step, best = snnas_class(t);
    if (left == 0) return 1;
    if (t->step == 0) return 0;
    snnas_logits(t, logits);
    for (uint32_t c = 0; c < SNNAS_CLASSES; c++)
        if (c != best && logits[best] - logits[c] < {needs}) return 0;
    return 1;
}}
"""
