"""tools.simulations.interim_verdicts: targets that are judged again and again without analyses."""

from __future__ import annotations

import numpy as np

from tools.simulations.interim_verdicts import count_passes_at_each_judgement


def test_each_further_judgement_passes_more_targets() -> None:
    rng = np.random.default_rng(0)
    shares = count_passes_at_each_judgement(rng, [500, 1000, 2000, 4000], psi=0.08, margin=0.02, runs=300)
    assert shares == sorted(shares)
    assert 0.02 < shares[0] < 0.08  # the 5 % of a single judgement
    assert shares[-1] > 0.09
