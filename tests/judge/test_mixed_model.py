"""The error of a drop over several runs, beside that of a mixed model."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm
from statsmodels.formula.api import mixedlm

from slimgate.judge.contrast import make_drop_contrast
from slimgate.judge.mean_evidence import PairedMeans
from slimgate.judge.over_runs import RunScores, combine_runs

DROP = make_drop_contrast(higher_is_better=True)


@pytest.mark.filterwarnings("ignore:The MLE may be on the boundary")
def test_the_error_is_that_of_a_mixed_model() -> None:
    """statsmodels fits rows and runs as crossed random effects, by restricted maximum likelihood."""
    rng, runs, rows = np.random.default_rng(3), 4, 20
    quality = 0.5 + rng.normal(0, 0.1, rows) + rng.normal(0, 0.08, (2, 1, rows)) - [[[0.0]], [[0.03]]]
    scores = quality + rng.normal(0, 0.06, (2, runs, 1)) + rng.normal(0, 0.05, (2, runs, rows))
    side, run, row = np.indices(scores.shape).reshape(3, -1)
    table = {"all": 0 * row, "side": side, "run": side * runs + run, "row": row, "cell": side * rows + row}
    effects = {name: f"0 + C({name})" for name in ("row", "cell", "run")}
    frame = pd.DataFrame({**table, "score": scores.ravel()})
    fitted = mixedlm("score ~ side", frame, groups="all", vc_formula=effects).fit()

    base, target = scores.mean(axis=1)
    rows_of_means = PairedMeans(base, target, np.ones(rows), None, (0.0, 1.0), 1.0)
    result = combine_runs(rows_of_means, RunScores(*scores))
    assert result.compute_value(DROP) == pytest.approx(-fitted.params["side"])
    assert result.compute_standard_error(DROP) == pytest.approx(fitted.bse["side"], rel=0.01)
    low, high = result.compute_bounds(DROP, 0.05)
    # the bounds are wider: Student's for few runs, those of the worst row for few rows
    assert (high - low) / 2 > norm.ppf(0.95) * fitted.bse["side"]
