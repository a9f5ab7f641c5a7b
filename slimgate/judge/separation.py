"""Which of several models can be told apart by a metric on the same gate rows: every pair, then groups.

Each pair is tested as a variant beside its teacher is, paired by row, with a two-sided p-value of "both have
the same true value". By Holm's correction over all pairs, a wrong "better" anywhere has a chance of at most
5 %. A group is a largest set of models of which no two can be told apart; a model may be in several.

Source: Piepho 2004, J. Comput. Graph. Stat. 13:456-466, for the groups (insert and absorb).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations

import numpy as np

from slimgate.judge.decision import ALPHA
from slimgate.judge.metrics.base import Metric, value_of
from slimgate.judge.parts import PairFacts, SeparationFacts
from slimgate.judge.quality import judge_quality
from slimgate.judge.slices import adjust_by_holm
from slimgate.judge.verdict import QualityJudgement
from slimgate.outcomes import Outcomes


def separate(metric: Metric, models: Mapping[str, Outcomes], *, seed: int = 0) -> SeparationFacts | None:
    """The pairs and groups of two or more models, the best first; None where the metric has no interval.

    Raises MeasureError where the models do not have the same rows, or the metric does not compare them.
    """
    values = {name: value_of(metric, found) for name, found in models.items()}
    sign = -1 if metric.higher_is_better else 1
    names = sorted(values, key=lambda name: sign * values[name])
    tested, p_values = [], []
    for better, worse in combinations(names, 2):
        # the worse one in the teacher's place, so that the p-value is of "the better one is no better"
        judged = judge_quality(metric, models[worse], models[better], (), seed=seed)
        if judged.interval is None or judged.p_at_least is None:
            return None
        tested.append((better, worse, judged))
        p_values.append(min(1.0, 2 * judged.p_at_least(0.0)))
    adjusted = adjust_by_holm(np.array(p_values)).tolist()
    pairs = [_pair(*one, p) for one, p in zip(tested, adjusted, strict=True)]
    return SeparationFacts(
        metric=metric.name,
        unit=tested[0][2].unit,
        n=tested[0][2].n,
        values={name: values[name] for name in names},
        pairs=pairs,
        groups=groups_of(names, [(one.better, one.worse) for one in pairs if one.separable]),
    )


def _pair(better: str, worse: str, judged: QualityJudgement, p_holm: float) -> PairFacts:
    low, high = judged.interval or (0.0, 0.0)
    return PairFacts(
        better=better,
        worse=worse,
        by_points=0.0 - judged.drop_points,
        interval=(0.0 - high, 0.0 - low),
        p_holm=p_holm,
        separable=p_holm <= ALPHA,
    )


def groups_of(names: Sequence[str], apart: Iterable[tuple[str, str]]) -> list[list[str]]:
    """The largest sets of names of which no two are apart; sets and names in the order of `names`."""
    found = [frozenset(names)]
    for one, other in apart:
        split = [
            part
            for group in found
            for part in ((group - {one}, group - {other}) if {one, other} <= group else (group,))
        ]
        found = [group for group in dict.fromkeys(split) if not any(group < larger for larger in split)]
    place = {name: at for at, name in enumerate(names)}
    return sorted(
        (sorted(group, key=place.__getitem__) for group in found), key=lambda group: [place[n] for n in group]
    )
