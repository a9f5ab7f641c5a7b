"""Size: exact, so a plain comparison."""

from __future__ import annotations

from slimgate.judge.verdict import BudgetVerdict, Verdict


def judge_compression(
    teacher_bytes: int, variant_bytes: int, minimum: float, reason: str | None
) -> BudgetVerdict:
    """PASS where teacher / variant reaches `minimum`. Bytes are those of the files needed to predict."""
    holds = teacher_bytes >= minimum * variant_bytes
    verdict = Verdict.PASS if holds else Verdict.FAIL
    return BudgetVerdict(kind="compression_min", limit=minimum, verdict=verdict, reason=reason, n_needed=None)
