"""The report's section on which variants can be told apart, and the same in `slimgate compare`."""

from __future__ import annotations

from pathlib import Path

from support.sample_record import make_sample_record

from slimgate.record.comparing import compare
from slimgate.record.files import StoredRecord
from slimgate.record.run import format_record_json
from slimgate.report import format_suite_report
from slimgate.report.compare import format_release_comparison
from slimgate.report.separation import HEADING, format_separation
from slimgate.results.quality import BuildsFacts, PairFacts, SeparationFacts

FOUND = SeparationFacts(
    metric="accuracy",
    n=6000,
    values={"int8": 0.827, "distilled": 0.824, "student": 0.811},
    pairs=[
        PairFacts(
            better="int8", worse="distilled", by_points=0.3, interval=(-0.2, 0.8), p_holm=0.4, separable=False
        ),
        PairFacts(
            better="int8", worse="student", by_points=1.6, interval=(0.9, 2.3), p_holm=0.001, separable=True
        ),
        PairFacts(
            better="distilled",
            worse="student",
            by_points=1.3,
            interval=(0.6, 2.0),
            p_holm=0.01,
            separable=True,
        ),
    ],
    groups=[["int8", "distilled"], ["student"]],
)


def test_the_section_says_it_in_one_sentence_and_a_table() -> None:
    text = format_suite_report(make_sample_record(separation=FOUND))
    assert text.count(HEADING) == 1
    assert "**int8 cannot be told apart from distilled** by accuracy." in text
    lines = {line.split("|")[1].strip(): line for line in text.splitlines() if line.count("|") == 5}
    cells = {name: [cell.strip() for cell in lines[name].split("|")[2:5]] for name in FOUND.values}
    assert cells["int8"] == ["0.827", "a", "–"]
    assert cells["distilled"] == ["0.824", "a", "not separable, 0.3 points [-0.2, 0.8]"]
    assert cells["student"] == ["0.811", "b", "worse by 1.6 points [0.9, 2.3]"]
    assert "- distilled is better than student by 1.3 points [0.6, 2.0]" in text


def test_a_variant_between_two_groups_has_both_letters() -> None:
    groups = [["int8", "distilled"], ["distilled", "student"]]
    text = format_separation(FOUND.model_copy(update={"groups": groups}), HEADING)
    assert "| ab " in text


def test_variants_that_are_not_compared_are_named_with_a_reason() -> None:
    less = {"left_out": ["v11", "v12"], "other_answers": ["old"]}
    text = format_separation(FOUND.model_copy(update=less), HEADING)
    assert "Not compared: v11, v12 (more than 4 variants); old (no answers of this run)." in text
    why = SeparationFacts(metric="perplexity", n=0, left_out=["a", "b"], note="other tokens on 3 of 9 rows")
    assert (
        format_separation(why, HEADING)
        == f"{HEADING}\n\nNot compared by perplexity: other tokens on 3 of 9 rows"
    )


def test_one_group_is_one_sentence() -> None:
    text = format_separation(FOUND.model_copy(update={"groups": [[*FOUND.values]]}), HEADING)
    assert text == f"{HEADING}\n\nNo two of int8, distilled, student can be told apart by accuracy."


def test_pairs_with_the_best_alone_have_no_groups() -> None:
    text = format_separation(FOUND.model_copy(update={"groups": [], "pairs": FOUND.pairs[:2]}), HEADING)
    assert "Each is compared with int8 only, not with the others." in text
    assert "letter" not in text
    assert "| group" not in text


def test_what_grew_is_in_percent() -> None:
    (_, pair, _), values = FOUND.pairs, {"int8": 20.12, "student": 40.23}
    twice = pair.model_copy(update={"by_points": 99.95, "interval": (95.0, 105.0)})
    groups = [["int8"], ["student"]]
    changes = {"unit": "percent", "values": values, "pairs": [twice], "groups": groups}
    text = format_separation(FOUND.model_copy(update=changes), HEADING)
    assert "worse by 100.0 % [95.0, 105.0]" in text


def test_several_builds_are_said_to_be_compared_by_the_first(tmp_path: Path) -> None:
    words = "compares the builds of the first seed, not the methods"
    sample = make_sample_record(separation=FOUND)
    spread = BuildsFacts(
        seeds=[0, 1], drops_points=[0.5, 0.7], mean_points=0.6, sd_points=0.1, sampling_se_points=0.3
    )
    model = sample.variants[1]
    quality = {**model.quality, "accuracy": model.quality["accuracy"].model_copy(update={"builds": spread})}
    several = sample.model_copy(
        update={
            "variants": [
                sample.variants[0],
                model.model_copy(update={"quality": quality}),
                *sample.variants[2:],
            ]
        }
    )
    assert words not in format_suite_report(sample)
    assert words in format_suite_report(several)
    releases = [StoredRecord(tmp_path / name, record) for name, record in (("a", sample), ("b", several))]
    for file, record in releases:
        file.write_text(format_record_json(record), "utf-8")
    assert words in format_release_comparison(compare(*releases))


def test_no_pair_no_section() -> None:
    assert HEADING not in format_suite_report(make_sample_record())
