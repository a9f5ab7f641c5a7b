"""The table of what only one kind of task has, beside each model's quality."""

from __future__ import annotations

from support.report_sections import find_section, format_all_sections, read_table
from support.sample_record import make_sample_record, make_variant

from slimgate.report.task_figures import make_figures_table
from slimgate.results.behaviour import BehaviourFacts, FigureFacts

HEADING = "Quality, and figures of this task alone"


def figures(teacher: float, value: float | None) -> BehaviourFacts:
    facts = FigureFacts(what="different words / words", teacher=teacher, variant=value)
    return BehaviourFacts(n=100, figures={"distinct_1": facts})


def test_every_model_has_a_line_with_its_quality_and_its_figures() -> None:
    sample = make_sample_record()
    models = [
        make_variant("gen-1", behaviour=figures(0.81, 0.52)),
        make_variant("gen-2", behaviour=figures(0.81, None)),
    ]
    record = sample.model_copy(update={"variants": [sample.variants[0], *models]})
    text = find_section(format_all_sections(record), HEADING)
    head, teacher, first, second = read_table(text)
    assert (head[0], head[-1]) == ("model", "distinct_1")
    assert (teacher[0], teacher[-1]) == ("teacher", "0.810")
    assert (first[0], first[-1]) == ("gen-1", "0.520")
    assert (second[0], second[-1]) == ("gen-2", "–")
    assert "accuracy" in head
    assert "- distinct_1: different words / words" in text


def test_without_such_figures_there_is_no_table() -> None:
    assert make_figures_table(make_sample_record()) == ""
