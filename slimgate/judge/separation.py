"""Which of several models differ in a metric on the same gate rows: every pair, then groups.

Each pair is tested as a variant is tested with its teacher, paired by row, with a two-sided p-value of "both
have the same true value". By Holm's correction over all pairs, the chance of any wrong "better" is at most 5
%, as far as the p-values hold. A group is a largest set of models in which no pair is shown to differ; a
model may be in several.

A resampled metric takes seconds a pair, so each model is tested only with the best model. The best model is
chosen on the same rows, so the correction is still that over all pairs. With c crossings in n resamples the
p-value is (1 + c) / (1 + n), never 0; 2,000 of them are too few for the pairs of ten models.

Sources: Piepho 2004, J. Comput. Graph. Stat. 13:456-466, for the groups (insert and absorb); Davison and
Hinkley 1997, Bootstrap Methods and their Application, section 4.2, for the p-value.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations

import numpy as np

from slimgate.budgets.base import Unit
from slimgate.judge.decision import ALPHA
from slimgate.judge.evidence import count_resamples
from slimgate.judge.metrics.base import Metric, compute_value
from slimgate.judge.quality import judge_quality
from slimgate.judge.random_weights import CELL_RESAMPLES
from slimgate.judge.slices import adjust_by_holm
from slimgate.judge.verdict import QualityJudgement
from slimgate.outcomes import Outcomes
from slimgate.results.quality import PairFacts, SeparationFacts

# Ten models are 45 pairs; more would cost seconds, and each pair takes power from the others. Few resamples
# resolve the first level of 15 pairs, but not that of 45.
_MOST, _MOST_OF_FEW_RESAMPLES = 10, 6


def count_comparable_models(metric: Metric) -> int:
    """How many models can be compared at once."""
    count = count_resamples(metric)
    return _MOST if count is None or count >= CELL_RESAMPLES else _MOST_OF_FEW_RESAMPLES


def separate_models(metric: Metric, models: Mapping[str, Outcomes]) -> SeparationFacts | None:
    """The pairs and groups of two or more models, the best first; None if the metric has no interval.

    For a resampled metric it has the pairs with the best model, and no groups.
    Raises MeasureError if the models do not have the same rows, or the metric does not compare them.
    """
    values = {name: compute_value(metric, outcomes) for name, outcomes in models.items()}
    sign = -1 if metric.higher_is_better else 1
    names = sorted(values, key=lambda name: sign * values[name])
    all_pairs, resamples = list(combinations(names, 2)), count_resamples(metric)
    tested, p_values = [], []
    for better, worse in all_pairs if resamples is None else [(names[0], name) for name in names[1:]]:
        # the worse model in the teacher's place, so that the p-value is that of "the better one is no
        # better"
        judged = judge_quality(metric, models[worse], models[better], ())
        if judged.interval is None or judged.p_at_least is None:
            return None
        tested.append((better, worse, judged))
        p_values.append(_double_p_value(judged.p_at_least(0.0), resamples))
    # a pair without a test counts as a pair without a shown difference
    adjusted = adjust_by_holm(np.array(p_values + [1.0] * (len(all_pairs) - len(tested)))).tolist()
    pairs = [_make_pair(*pair, p) for pair, p in zip(tested, adjusted, strict=False)]
    _, _, first = tested[0]
    apart = [(pair.better, pair.worse) for pair in pairs if pair.separable]
    return SeparationFacts(
        metric=metric.name,
        unit=first.unit,
        n=first.n,
        values={name: values[name] for name in names},
        pairs=pairs,
        groups=list_unseparated_groups(names, apart) if resamples is None else [],
    )


def _double_p_value(p_value: float, resamples: int | None) -> float:
    """Twice a one-sided p-value; a p-value of resamples counts one crossing more than there was."""
    if resamples is not None:
        p_value = (1 + resamples * p_value) / (1 + resamples)
    return min(1.0, 2 * p_value)


def _make_pair(better: str, worse: str, judged: QualityJudgement, p_holm: float) -> PairFacts:
    low, high = judged.interval or (0.0, 0.0)
    return PairFacts(
        better=better,
        worse=worse,
        by_points=_reverse_drop(judged.drop_points, judged.unit),
        interval=(_reverse_drop(high, judged.unit), _reverse_drop(low, judged.unit)),
        p_holm=p_holm,
        separable=p_holm <= ALPHA,
    )


def _reverse_drop(drop: float, unit: Unit) -> float:
    """The drop of the worse model from the better one, given that of the better one from the worse one.

    In percent that is another ratio: 20 is 50 % less than 40, and 40 is 100 % more than 20.
    """
    return 100 * (1 / (1 + drop / 100) - 1) if unit == "percent" else 0.0 - drop


def list_unseparated_groups(names: Sequence[str], apart: Iterable[tuple[str, str]]) -> list[list[str]]:
    """The largest sets of names without a pair in `apart`; sets and names in the order of `names`."""
    groups = [frozenset(names)]
    for better, other in apart:
        split = [
            part
            for group in groups
            for part in ((group - {better}, group - {other}) if {better, other} <= group else (group,))
        ]
        groups = [group for group in dict.fromkeys(split) if not any(group < larger for larger in split)]
    place = {name: at for at, name in enumerate(names)}
    return sorted(
        (sorted(group, key=place.__getitem__) for group in groups),
        key=lambda group: [place[n] for n in group],
    )
