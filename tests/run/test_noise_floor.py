"""The noise floor of answers: the teacher answers again in other batches and on other threads."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from pyarrow import csv

from fixtures.models.architectures import write_tiny
from fixtures.models.tiny import write_rows
from slimgate.outcomes import SAME_ANSWERS
from slimgate.results.checks import TEACHER
from slimgate.run.run import SuiteRun, change_batches
from slimgate.store.store import Store
from slimgate.suite.reader import load_suite
from slimgate.suite.suite import Suite

SUITE = """\
[suite]
title = "answers"
threads = 1
[task]
kind = "text_generation"
source = { name = "files", path = "rows.csv", real = false }
prompt = "text"
max_new_tokens = 6
splits = { train = 20, calibration = 4, selection = 8, gate = 24 }
[teacher]
model = "model"
[variants]
same = { steps = [{ cast = {} }] }
[budgets]
same_answers = { drop_points = 20.0 }
[measure]
batch_size = 8
"""


@pytest.fixture
def suite(tmp_path: Path) -> Suite:
    table = csv.read_csv(write_rows(tmp_path / "all.csv", 120)).select(["text"])
    csv.write_csv(table, tmp_path / "rows.csv")
    write_tiny(tmp_path / "model", "llama", causal=True, initializer_range=0.5)
    (tmp_path / "answers.toml").write_text(SUITE)
    return load_suite(tmp_path / "answers.toml", "answers.toml")


def test_the_teacher_answers_twice_and_a_variant_once(suite: Suite, tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    run = SuiteRun(suite, store, device="cpu")
    floor, variant = (run.measure_outcomes(name).column(SAME_ANSWERS) for name in (TEACHER, "same"))
    assert floor.mean() > 0.9  # 32 bits: rounding changes hardly an answer
    assert 0 <= variant.mean() <= 1
    assert len(list((tmp_path / "store").glob("outcomes/*"))) == 3
    again = SuiteRun(suite, store, device="cpu").measure_outcomes(TEACHER)
    assert (again.column(SAME_ANSWERS) == floor).all()


@pytest.mark.parametrize(("batch", "threads", "expected"), [(64, 4, (32, 2)), (1, 1, (2, 2)), (3, 2, (1, 1))])
def test_other_batches_and_threads(suite: Suite, batch: int, threads: int, expected: tuple[int, int]) -> None:
    measure = suite.measure.model_copy(update={"batch_size": batch})
    changed = change_batches(replace(suite, measure=measure, threads=threads))
    assert (changed.measure.batch_size, changed.threads) == expected
