"""The report's slices before and after: every model on every slice, and the gap in one line."""

from __future__ import annotations

import re

from support.report_sections import find_section, format_all_sections
from support.sample_record import make_sample_record, make_slice_facts, make_variant

from slimgate.record.run import RunRecord
from slimgate.results.behaviour import BehaviourFacts, SliceFacts, SliceGapFacts


def make_slice(
    value: str, teacher: float, student: float, n: int = 200, column: str = "length"
) -> SliceFacts:
    drop = 100 * (teacher - student)
    return make_slice_facts(column, value, n, drop, (drop - 1, drop + 1), teacher=teacher, variant=student)


def gap(teacher: float, student: float, few_rows: int = 0, column: str = "length") -> SliceGapFacts:
    return SliceGapFacts(
        metric="accuracy",
        column=column,
        slices=2,
        few_rows=few_rows,
        teacher_points=teacher,
        variant_points=student,
    )


def record_of(**facts: BehaviourFacts) -> RunRecord:
    sample = make_sample_record()
    models = [make_variant(name, behaviour=behaviour) for name, behaviour in facts.items()]
    return sample.model_copy(update={"variants": [sample.variants[0], *models]})


LONG, SHORT = "10 to 17 words", "5 to 9 words"
BOTH = record_of(
    int8=BehaviourFacts(
        slices=[make_slice(LONG, 0.90, 0.88), make_slice(SHORT, 0.78, 0.729)], slice_gaps=[gap(12.0, 15.1)]
    ),
    pruned=BehaviourFacts(
        slices=[make_slice(SHORT, 0.78, 0.50), make_slice(LONG, 0.90, 0.80)], slice_gaps=[gap(12.0, 30.0)]
    ),
)


def test_each_variant_has_one_line_about_its_gap() -> None:
    text = find_section(format_all_sections(BOTH), "Slices, the largest drop first")
    assert "Gap between slices of length: teacher 12.0 points, int8 15.1." in text
    assert "Gap between slices of length: teacher 12.0 points, pruned 30.0." in text


def test_every_model_is_beside_the_teacher_on_every_slice() -> None:
    text = find_section(format_all_sections(BOTH), "Slices of teacher and variants")
    rows = [re.sub(" +", " ", line) for line in text.splitlines() if line.startswith("|")]
    assert rows[0] == "| model | 5 to 9 words (200 rows) | 10 to 17 words (200 rows) | gap, points |"
    assert rows[2:] == [
        "| teacher | 0.780 | 0.900 | 12.0 |",
        "| int8 | 0.729 | 0.880 | 15.1 (+3.1) |",
        "| pruned | 0.500 | 0.800 | 30.0 (+18.0) |",
    ]


def test_slices_of_few_rows_are_marked_and_said_to_be_left_out() -> None:
    facts = BehaviourFacts(
        slices=[make_slice("a", 0.9, 0.9), make_slice("b", 0.8, 0.7), make_slice("c", 0.1, 0.9, n=20)],
        slice_gaps=[gap(10, 20, 1)],
    )
    text = format_all_sections(record_of(x=facts))
    assert "teacher 10.0 points, x 20.0 (1 of few rows left out)." in text
    assert "c (20 rows, few)" in find_section(text, "Slices of teacher and variants")


def test_columns_of_many_values_have_the_line_alone() -> None:
    slices = [make_slice(f"v{k}", 0.9, 0.8) for k in range(13)]
    text = format_all_sections(record_of(x=BehaviourFacts(slices=slices, slice_gaps=[gap(1.0, 2.0)])))
    assert "Slices of teacher and variants" not in text
    assert "Gap between slices of length" in text


def test_a_record_of_before_says_nothing_of_gaps() -> None:
    text = format_all_sections(
        record_of(x=BehaviourFacts(slices=[make_slice("a", 0.9, 0.8), make_slice("b", 0.8, 0.8)]))
    )
    assert "Gap between" not in text
    assert "Slices of teacher and variants" not in text
