"""Several seeds of one variant: how much builds differ, apart from how well the rows measure each build."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite

import numpy as np

from slimgate.errors import MeasureError
from slimgate.judge.decision import Z_ALPHA
from slimgate.judge.verdict import QualityJudgement
from slimgate.results.quality import BuildsFacts


def build_spread(
    seeds: Sequence[int], drops_points: Sequence[float], *, sampling_se_points: float | None
) -> BuildsFacts:
    """The spread of the builds' drops. Raises MeasureError if seeds repeat or do not match the drops."""
    if not seeds or len(seeds) != len(drops_points):
        raise MeasureError(
            f"{len(seeds)} seeds and {len(drops_points)} drops, expected the same number of both, at "
            "least one"
        )
    if len(set(seeds)) < len(seeds):
        raise MeasureError(f"seeds {list(seeds)} repeat: equal seeds build the same weights")
    if not all(map(isfinite, drops_points)):
        raise MeasureError(f"drops {list(drops_points)} are not all finite")
    sd = float(np.std(drops_points, ddof=1)) if len(seeds) > 1 else None
    mean = float(np.mean(drops_points))
    return BuildsFacts(
        seeds=list(seeds),
        drops_points=list(drops_points),
        mean_points=mean,
        sd_points=sd,
        sampling_se_points=sampling_se_points,
    )


def sampling_se_points(judgement: QualityJudgement) -> float | None:
    """The standard error that the judgement's 90 % interval implies; None without an interval."""
    if judgement.interval is None:
        return None
    low, high = judgement.interval
    return (high - low) / (2 * Z_ALPHA)
