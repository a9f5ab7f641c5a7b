"""The budget on all tasks together: a sample counts once, however many epochs it has."""

from __future__ import annotations

import numpy as np
import pytest

from slimgate.judge.budget_kinds import QualityBudget
from slimgate.logs.budgets import LogBudgets
from slimgate.logs.rules import Rules
from slimgate.logs.verdicts import judge_logs
from slimgate.plugins.reader import Log, Row, TaskLog, name_epoch

HARD, EASY, EPOCHS = 400, 250, 4


def make_log(name: str, lost: int, *, epochs: int = EPOCHS) -> Log:
    """A hard task with one epoch, in which `lost` samples are wrong, and an easy task with several."""
    hard = [Row(f"h{at}", {"acc": float(at >= lost)}) for at in range(HARD)]
    easy = [
        Row(name_epoch(f"e{at}", epoch) if epoch > 1 else f"e{at}", {"acc": 1.0}, cluster=f"e{at}")
        for at in range(EASY)
        for epoch in range(1, epochs + 1)
    ]
    tasks = {
        "hard": TaskLog(lambda: iter(hard), {"acc": True}),
        "easy": TaskLog(lambda: iter(easy), {"acc": True}),
    }
    return Log("mine", name, tasks)


@pytest.mark.parametrize("epochs", [1, EPOCHS])
def test_epochs_do_not_dilute_what_another_task_lost(epochs: int) -> None:
    budgets = LogBudgets(measured=("acc",), pooled=(QualityBudget("drop_points", 2.0),))
    logs = make_log("base", 0, epochs=epochs), make_log("int8", 32, epochs=epochs)
    pooled = judge_logs(*logs, budgets, Rules()).pooled
    assert pooled is not None
    assert len(pooled.ids) == HARD + EASY
    assert pooled.judged.drop_points == pytest.approx(100 * 32 / (HARD + EASY))
    assert (pooled.worse, pooled.better, pooled.counts.judged) == (32, 0, HARD + EASY)
    assert pooled.judged.verdict != "PASS"


def test_a_sample_counts_with_the_mean_of_its_epochs() -> None:
    def easy(right: float) -> Log:
        log = make_log("x", 0)
        rows = list(log.tasks["easy"].rows())
        changed = [
            Row(row.id, {"acc": right if at < 2 else 1.0}, cluster=row.cluster) for at, row in enumerate(rows)
        ]
        return Log("mine", f"{right}", {**log.tasks, "easy": TaskLog(lambda: iter(changed), {"acc": True})})

    budgets = LogBudgets(measured=("acc",), pooled=(QualityBudget("drop_points", 2.0),))
    pooled = judge_logs(easy(1.0), easy(0.0), budgets, Rules()).pooled
    assert pooled is not None
    assert np.sort(pooled.target)[0] == 0.5  # two of its four epochs
    assert pooled.judged.drop_points == pytest.approx(100 * 0.5 / (HARD + EASY))
