"""fixtures.simulations.extremes_verdicts in small: which made-up rows hold the error rate."""

from __future__ import annotations

import numpy as np
import pytest

from fixtures.simulations.damaged_rows import POPULATIONS
from fixtures.simulations.extremes_verdicts import RULES, Cell, in_force
from slimgate.metrics import load_metric
from slimgate.outcomes import Outcomes


def test_rows_that_lose_all_they_hold_seldom_pass_by_whole_rows_and_often_by_one_span() -> None:
    cell = Cell(POPULATIONS["spans, 1.7 a row"], psi=0.01, net=0.01, whole=True, seed=(0,))
    # all of the mean of 1.7 spans, 90 % of them right, in 1 % of the rows
    assert cell.drops["span_f1"] == pytest.approx(0.009, rel=0.02)
    passed = dict(zip(RULES, cell.passed(200, 200)["span_f1"], strict=True))
    assert passed["as judged"] <= 0.06
    assert passed["one unit"] > 0.12


def test_the_made_up_row_of_spans_has_the_size_of_the_row_that_a_span_meets() -> None:
    # sizes 1, 1 and 4: (1 + 1 + 16) / 6 = 3
    sizes = np.array([1.0, 1.0, 4.0])
    outcomes = Outcomes(
        np.array(["a", "b", "c"]),
        values={"spans_right": sizes, "spans_predicted": sizes, "spans_gold": sizes},
    )
    found = load_metric("span_f1").row_sums
    assert found is not None
    assert in_force(found, outcomes).tolist() == [[3.0, 3.0, 3.0], [0.0, 3.0, 3.0]]


def test_of_a_macro_average_it_is_the_row_that_the_rarest_label_meets() -> None:
    gold = np.array([[1.0, 0.0], [1.0, 1.0], [1.0, 0.0]])
    values = {f"{of}{name}": gold[:, k] for of in ("gold:", "said:") for k, name in enumerate("xy")}
    outcomes = Outcomes(np.array(["a", "b", "c"]), values=values)
    macro, micro = (load_metric(f"labels_f1_{of}").row_sums for of in ("macro", "micro"))
    assert macro is not None
    assert micro is not None
    assert in_force(macro, outcomes)[0].tolist() == [1.0, 1.0] * 3
    # rows of 1, 2 and 1 labels: x in all of them, y in two of four
    assert in_force(micro, outcomes)[0].tolist() == [1.0, 0.5] * 3
