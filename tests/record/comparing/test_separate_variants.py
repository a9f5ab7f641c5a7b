"""A record's gated variants against each other, by the answers beside it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.releases import TEACHER, make_answers
from support.sample_record import make_record_of

from slimgate.judge import QualityBudget, judge_quality
from slimgate.judge.facts import make_quality_facts
from slimgate.judge.metrics import load_metric
from slimgate.record.comparing.separation import separate_variants
from slimgate.record.outcome_files import read_outcomes, write_outcomes
from slimgate.record.run import RunRecord, VariantRecord
from slimgate.run.result_keys import make_separation_key

ACCURACY = load_metric("accuracy")


MOST = 10


def record_with(folder: Path, **lost: int) -> RunRecord:
    """A record whose variants lost so many more rows of each label, and their answers in a folder."""
    teacher, models = make_answers(TEACHER), []
    (folder / "outcomes").mkdir()
    for name, more in lost.items():
        outcomes = make_answers({label: range(len(rows) + more) for label, rows in TEACHER.items()})
        judged = judge_quality(ACCURACY, teacher, outcomes, [QualityBudget("drop_points", 2.0)])
        quality = {"accuracy": make_quality_facts(judged, "", measured="2026-11-20T08:14:02Z")}
        models.append(VariantRecord(name=name, parent="teacher", quality=quality))
        write_outcomes(outcomes, folder / "outcomes" / f"{name}.parquet")
    return make_record_of(*models)


def test_gated_variants_are_compared_the_best_first(tmp_path: Path) -> None:
    record = record_with(tmp_path, bad=60, good=0, same=0)
    separation = separate_variants(record, tmp_path, to_key=make_separation_key)
    assert separation is not None
    assert (separation.metric, separation.n, separation.left_out) == ("accuracy", 8000, [])
    assert separation.groups == [["good", "same"], ["bad"]]
    assert separation.values["bad"] == pytest.approx(record.variant("bad").quality["accuracy"].value)


def test_what_does_not_gate_or_has_other_answers_is_left_out(tmp_path: Path) -> None:
    record = record_with(tmp_path, a=0, b=5, shown=9, old=7)
    write_outcomes(make_answers(TEACHER), tmp_path / "outcomes/old.parquet")  # of another run
    models = [
        model.model_copy(update={"gated": False, "reason": "to see"}) if model.name == "shown" else model
        for model in record.variants
    ]
    separation = separate_variants(
        record.model_copy(update={"variants": models}), tmp_path, to_key=make_separation_key
    )
    assert separation is not None
    assert (list(separation.values), separation.left_out, separation.other_answers) == (
        ["a", "b"],
        [],
        ["old"],
    )


def test_one_variant_is_not_compared(tmp_path: Path) -> None:
    assert separate_variants(record_with(tmp_path, alone=3), tmp_path, to_key=make_separation_key) is None


def test_of_many_variants_those_that_lost_least_are_compared(tmp_path: Path) -> None:
    record = record_with(tmp_path, **{f"v{k}": k for k in range(MOST + 2)})
    separation = separate_variants(record, tmp_path, to_key=make_separation_key)
    assert separation is not None
    assert separation.left_out == [f"v{MOST}", f"v{MOST + 1}"]
    assert len(separation.pairs) == MOST * (MOST - 1) // 2


def test_an_earlier_separation_stays_for_equal_answers(tmp_path: Path) -> None:
    record = record_with(tmp_path, a=0, b=5)
    models = [
        model.model_copy(update={"inputs_digests": {"quality": model.name}}) for model in record.variants
    ]
    record = record.model_copy(update={"variants": models})
    assert separate_variants(record, tmp_path, stopped=True, to_key=make_separation_key) is None
    separation = separate_variants(record, tmp_path, to_key=make_separation_key)
    assert separation is not None
    earlier = separation.model_copy(update={"note": "of the earlier run"})
    assert (
        separate_variants(record, tmp_path, earlier=earlier, stopped=True, to_key=make_separation_key)
        is earlier
    )
    changed = models[-1].model_copy(update={"inputs_digests": {"quality": "other"}})
    for other in (
        record.model_copy(update={"variants": [*models[:-1], changed]}),  # another recipe or code
        record_with_other_answers(record, tmp_path),
    ):
        again = separate_variants(other, tmp_path, earlier=earlier, to_key=make_separation_key)
        assert again is not None
        assert again.note is None
        assert (
            separate_variants(other, tmp_path, earlier=earlier, stopped=True, to_key=make_separation_key)
            is None
        )


def test_variants_whose_rows_are_not_paired_have_a_note(tmp_path: Path) -> None:
    record = record_with(tmp_path, a=0, b=5)
    file = tmp_path / "outcomes/b.parquet"
    answers = read_outcomes(file)
    write_outcomes(answers.take(np.arange(len(answers))[::-1]), file)
    separation = separate_variants(record, tmp_path, to_key=lambda metric, files: f"{metric} of {len(files)}")
    assert separation is not None
    assert (separation.n, separation.pairs, separation.left_out) == (0, [], ["a", "b"])
    assert separation.note is not None
    assert separation.note.startswith("outcomes are not paired: 8000 teacher rows and 8000 variant rows")
    assert separation.digest == "accuracy of 2"


def record_with_other_answers(record: RunRecord, folder: Path) -> RunRecord:
    """The record, with a model's file of answers written anew with one more value."""
    file = folder / "outcomes/a.parquet"
    outcomes = read_outcomes(file)
    write_outcomes(replace(outcomes, values={"seconds": np.ones(len(outcomes))}), file)
    return record
