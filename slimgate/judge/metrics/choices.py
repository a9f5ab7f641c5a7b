"""Multiple choice: the share of rows whose likeliest choice is right, as lm-evaluation-harness names it.

| name            | the likeliest choice is the one with the highest |
|-----------------|--------------------------------------------------|
| acc             | log-likelihood                                   |
| acc_norm        | log-likelihood per byte of its text in UTF-8     |
| acc_norm_tokens | log-likelihood per token                         |

lm-evaluation-harness divides acc_norm by characters, which gives the same for ASCII text. Long choices have
low likelihoods, so the three metrics differ if the choices differ in length.

task_score is the score of a document, from 0 to 1, by the metric that a task of lm-evaluation-harness
defines.
"""

from __future__ import annotations

from collections.abc import Mapping

from slimgate.judge.metrics.answers import make_mean_score
from slimgate.judge.metrics.base import Metric

NAMES = ("acc", "acc_norm", "acc_norm_tokens", "task_score")
METRICS: Mapping[str, Metric] = {name: make_mean_score(name) for name in NAMES}
