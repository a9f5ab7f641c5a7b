"""Checks whether compression is real: compares each step's claims with the artifact that it made.

A step lists its claims in `claims`:

| claim              | holds if, compared with the artifact that the step started from                   |
|--------------------|-----------------------------------------------------------------------------------|
| "smaller"          | the files needed to predict have fewer bytes                                      |
| "fewer_parameters" | there are fewer parameters, as after a structured pruning                         |
| "sparser"          | fewer parameters are other than zero                                              |
| "faster"           | the duel with the teacher shows it: each workload's speed-up is wholly above 1    |
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from slimgate.plugins.step import CLAIMS
from slimgate.plugins.workloads import format_workload
from slimgate.record.build import ClaimFacts

_COUNTED = {
    "smaller": ("bytes", "bytes"),
    "fewer_parameters": ("parameters", "parameters"),
    "sparser": ("nonzero_parameters", "parameters other than zero"),
}


def check_step_claims(
    step: str, claims: Iterable[str], before: Mapping[str, int | None], after: Mapping[str, int | None]
) -> list[ClaimFacts]:
    """Whether each claim holds. before, after: manifests of the two artifacts.

    held is None if a number is not known; for "faster", until the variant has been timed.
    """
    return [_check_count(step, claim, before, after) for claim in CLAIMS if claim in claims]


def _check_count(
    step: str, claim: str, before: Mapping[str, int | None], after: Mapping[str, int | None]
) -> ClaimFacts:
    if claim not in _COUNTED:
        return ClaimFacts(step=step, claim=claim, held=None, message="not timed yet")
    key, unit = _COUNTED[claim]
    was, now = before[key], after[key]
    if was is None or now is None:
        return ClaimFacts(step=step, claim=claim, held=None, message=f"{unit}: not known")
    return ClaimFacts(step=step, claim=claim, held=now < was, message=f"{was:,} -> {now:,} {unit}")


def check_speed_claims(
    claims: Iterable[ClaimFacts], speedups: Mapping[str, tuple[float, float]]
) -> list[ClaimFacts]:
    """The claims, with those of speed checked against the duels. speedups: workload -> claimed interval."""
    return [_check_speed(claim, speedups) if claim.claim == "faster" else claim for claim in claims]


def _check_speed(claim: ClaimFacts, speedups: Mapping[str, tuple[float, float]]) -> ClaimFacts:
    if not speedups:
        return claim
    intervals = "; ".join(
        f"{format_workload(workload)}: {low:.2f}–{high:.2f}×" for workload, (low, high) in speedups.items()
    )
    holds = None
    if any(high < 1 for _, high in speedups.values()):
        holds = False
    elif all(low > 1 for low, _ in speedups.values()):
        holds = True
    return claim.replace(held=holds, message=f"speed against the teacher, {intervals}")
