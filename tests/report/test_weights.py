"""The precision of weights in the reports: a table, a claim that is not so, a teacher that is quantized."""

from __future__ import annotations

from support.report_sections import read_table
from support.sample_record import MEASURED, make_artifact, make_sample_record, make_variant

from slimgate.record.budgets import list_judged_budgets
from slimgate.record.build import WeightFacts
from slimgate.record.run import RunRecord
from slimgate.report.head import format_first_screen
from slimgate.report.html import render_html_report
from slimgate.report.markdown import format_suite_report
from slimgate.report.page.budgets import list_budgets
from slimgate.report.weights import make_weights_table
from slimgate.results.base import BudgetFacts, Verdict
from slimgate.results.figures import SizeFacts

FLOATS = WeightFacts(counts={"embeddings": {"float32": 100}, "mlp": {"float32": 900}}, quantized_share=0.0)
PACKED = WeightFacts(
    counts={"embeddings": {"float32": 100}, "mlp": {"int4": 882, "float32": 18}},
    quantized_share=0.98,
    claim="gptq, W4A16",
)
CLAIMED = FLOATS.model_copy(update={"claim": "awq, W4A16", "unmatched": ["re:.*qkv|x$"]})
QUANTIZED_TEACHER = "**The teacher is quantized itself** (gptq, W4A16): 98.0 % of the weights of its blocks"


def record_of(teacher: WeightFacts | None, student: WeightFacts | None) -> RunRecord:
    of_teacher = make_variant("teacher", artifact=make_artifact(4_000, 1_000, weights=teacher))
    budget = BudgetFacts(kind="quantized_share_min", limit=0.95, verdict=Verdict.FAIL, value=0.0)
    size = SizeFacts(compression=4.0, budgets=[budget], verdict=Verdict.FAIL, measured=MEASURED)
    of_student = make_variant("small", artifact=make_artifact(1_000, 1_000, weights=student), size=size)
    return make_sample_record(variants=[of_teacher, of_student])


def test_the_table_has_precisions_by_kind_of_layer() -> None:
    assert read_table(make_weights_table(record_of(FLOATS, PACKED))) == [
        ["variant", "claimed", "quantized in blocks", "mlp", "embeddings"],
        ["teacher", "–", "0.0 %", "float32", "float32"],
        ["small", "gptq, W4A16", "98.0 %", "int4 98.0 %, float32 2.0 %", "float32"],
    ]


def test_both_reports_have_the_table_but_not_for_floats() -> None:
    quantized = record_of(FLOATS, PACKED)
    assert "<b>Precision of the weights</b>, by kind of layer" in format_suite_report(quantized)
    assert "Precision of the weights" in render_html_report(quantized)
    for plain in (record_of(FLOATS, FLOATS), record_of(None, None)):
        assert make_weights_table(plain) == ""
        assert "Precision of the weights" not in format_suite_report(plain)


def test_a_wrong_claim_is_named_with_the_pattern() -> None:
    shown = format_first_screen(record_of(FLOATS, CLAIMED))
    assert (
        "**Not quantized**: small claims awq, W4A16, and no weight of its blocks has fewer than 16 bits; "
        r'"re:.\*qkv\|x\$" of its quantization_config matches no module.'
    ) in shown
    assert r'- small: "re:.\*qkv\|x\$" of its quantization_config' in make_weights_table(
        record_of(FLOATS, CLAIMED)
    )


def test_a_teacher_that_is_quantized_is_named_under_the_verdict() -> None:
    quantized = record_of(PACKED, PACKED)
    lines = [line for line in format_first_screen(quantized).splitlines() if line]
    assert lines[2].startswith(f"- {QUANTIZED_TEACHER}")
    page = render_html_report(quantized)
    assert page.index("The teacher is quantized itself") < page.index("What to ship")
    assert "quantized itself" not in format_first_screen(record_of(FLOATS, PACKED))


def test_the_budget_has_its_share_and_its_limit_in_words() -> None:
    model = record_of(FLOATS, CLAIMED).variant("small")
    [line] = list_budgets(model)
    assert (line.name, line.measured) == ("quantized weights", "0.0 % of the blocks' weights")
    assert line.limit == "at least 95 % of the blocks' weights quantized"
    [judged] = list_judged_budgets(model)
    assert (judged.subject, judged.measured) == ("size", 0.0)
