"""Which record budgets are held against: a file, its folder, the newest of a folder of baselines."""

from __future__ import annotations

import json
from contextlib import nullcontext
from pathlib import Path

import pytest
from support.releases import Model, seal, write_release

from slimgate.errors import SuiteError
from slimgate.judge.budget_kinds import QualityBudget
from slimgate.record.files import read_run
from slimgate.record.run import format_record_json
from slimgate.record.task import SuiteFacts
from slimgate.record.verdicts import AcceptedFacts, BaselineFacts
from slimgate.results.quality import SinceFacts, WaitingBudget
from slimgate.run.baseline import BaselineSource, WeakerGate, find_baselines, refuse_last_run
from slimgate.suite.reader import load_suite
from slimgate.suite.suite import Suite

HERE = SuiteFacts(path="bench/x.toml", title="", digest="", seeds=[0])


@pytest.fixture
def suites(bench: Path, suite_text: str) -> dict[Path, Suite]:
    """A suite whose variants may lose 1.5 points of accuracy, with a reason."""
    return suite_with(bench, suite_text, '[budgets]\naccuracy = { drop_points = 1.5, reason = "agreed" }')


def of_option(path: Path, shown: str, suites: dict[Path, Suite]) -> BaselineFacts:
    """What --slimgate-baseline of that path comes to, of the one suite."""
    (release,) = find_baselines(BaselineSource(path, shown), suites, path.parent).values()
    return release.facts


def suite_with(bench: Path, suite_text: str, budgets: str, measure: str = "") -> dict[Path, Suite]:
    """The suite with these budgets in the place of its own."""
    start, rest = suite_text.index("[budgets]"), suite_text.index("[measure]")
    (bench / "x.toml").write_text(f"{suite_text[:start]}{budgets}\n{suite_text[rest:]}{measure}\n")
    suite = load_suite(bench / "x.toml", "bench/x.toml")
    return {suite.path: suite}


def baseline(folder: Path, name: str, points: float, reason: str | None = None, **more: Model) -> Path:
    """A release of that name whose int8 might lose so many points."""
    accepted = AcceptedFacts(name=name, at=f"2026-11-0{name[-1]}")
    model = Model(budgets=(QualityBudget("drop_points", points, reason),))
    return write_release(folder / name / "x", models={"int8": model, **more}, suite=HERE, accepted=accepted)


@pytest.mark.parametrize("of", ["v1/x/run.json", "v1/x", "v1"])
def test_a_release_is_found_by_its_file_and_by_its_folders(
    tmp_path: Path, suites: dict[Path, Suite], of: str
) -> None:
    baseline(tmp_path, "v1", 1.0)
    facts = of_option(tmp_path / of, of, suites)
    assert facts.path == "v1/x/run.json"
    assert [(loosened.before, loosened.limit, loosened.reason) for loosened in facts.loosened] == [
        (1.0, 1.5, "agreed")
    ]


def test_of_a_folder_of_baselines_the_newest_counts(tmp_path: Path, suites: dict[Path, Suite]) -> None:
    for name, points in (("v1", 1.0), ("v3", 1.5), ("v2", 1.2)):
        baseline(tmp_path / "b", name, points)
    facts = of_option(tmp_path / "b", "b", suites)
    assert (facts.path, facts.loosened) == ("b/v3/x/run.json", [])


def test_a_folder_without_the_suite_and_a_broken_record_are_told(
    tmp_path: Path, suites: dict[Path, Suite]
) -> None:
    write_release(tmp_path / "b" / "v1" / "support")
    with pytest.raises(SuiteError, match=r"--slimgate-baseline b: no baseline of bench/x.toml is in this"):
        of_option(tmp_path / "b", "b", suites)
    (tmp_path / "b/v1/support/run.json").write_text("{}")
    with pytest.raises(SuiteError, match=r"not a run record of schema"):
        of_option(tmp_path / "b", "b", suites)


def test_the_words_of_the_old_limit_do_not_excuse_a_looser_one(
    tmp_path: Path, suites: dict[Path, Suite]
) -> None:
    file = baseline(tmp_path, "v1", 1.0, "agreed") / "run.json"
    with pytest.raises(SuiteError, match=r"drop_points = 1.5 is looser than 1 .* reason = \"…\" for this"):
        of_option(file, "v1", suites)


def test_gated_variants_that_the_suite_has_no_more_take_a_reason(
    tmp_path: Path, bench: Path, suite_text: str, suites: dict[Path, Suite]
) -> None:
    file = baseline(tmp_path, "v1", 1.5, gone=Model(), shown=Model(gated=False, reason="x")) / "run.json"
    with pytest.raises(WeakerGate, match=r"demands less than the baseline v1:\n  gone is gone, with its bud"):
        of_option(file, "v1", suites)
    reason = '[budgets]\naccuracy = { drop_points = 1.5 }\n[budgets.baseline]\nreason = "one is enough"'
    facts = of_option(file, "v1", suite_with(bench, suite_text, reason))
    assert facts.gates_gone == ["gone"]
    assert [(weakening.about, weakening.reason) for weakening in facts.weaker] == [
        ("variants", "one is enough")
    ]


def recorded(folder: Path, on_inconclusive: str | None) -> Path:
    """A release whose int8 may lose 1 point, with what INCONCLUSIVE does as its record has it."""
    file = baseline(folder, "v1", 1.0) / "run.json"
    text = file.read_text().replace(
        '"on_inconclusive": null', f'"on_inconclusive": {json.dumps(on_inconclusive)}'
    )
    file.write_text(text)
    return seal(file)


def test_an_edited_baseline_is_refused(tmp_path: Path, suites: dict[Path, Suite]) -> None:
    file = baseline(tmp_path, "v1", 1.0) / "run.json"
    file.write_text(file.read_text("utf-8").replace('"limit": 1.0', '"limit": 1.5'), "utf-8")
    for path in (tmp_path, file):
        with pytest.raises(SuiteError, match=r"v1/x/run\.json: the file was edited after slimgate wrote it"):
            of_option(path, "baselines", suites)


ONE_POINT = "[budgets]\naccuracy = { drop_points = 1.0%s }"


def test_a_budget_that_only_warns_now_is_a_looser_one(tmp_path: Path, bench: Path, suite_text: str) -> None:
    file = recorded(tmp_path, "fail")
    warns = suite_with(bench, suite_text, ONE_POINT % "", 'on_inconclusive = "warn"')
    with pytest.raises(
        SuiteError, match=r'accuracy: drop_points: on_inconclusive = "warn" is looser than "fail"'
    ):
        of_option(file, "v1", warns)
    suites = suite_with(bench, suite_text, ONE_POINT % ', on_inconclusive = "warn", reason = "few rows"')
    (loosened,) = of_option(file, "v1", suites).loosened
    assert (loosened.before, loosened.limit, loosened.undecided, loosened.reason) == (
        1.0,
        1.0,
        ("fail", "warn"),
        "few rows",
    )
    assert loosened.now == "only warns where it is undecided now"


@pytest.mark.parametrize("before", ["warn", None])
def test_what_warned_or_was_unknown_before_is_not_looser(
    tmp_path: Path, bench: Path, suite_text: str, before: str | None
) -> None:
    suites = suite_with(bench, suite_text, ONE_POINT % "", 'on_inconclusive = "warn"')
    assert of_option(recorded(tmp_path, before), "v1", suites).loosened == []


def test_a_budget_switched_off_is_loosened_with_its_reason(
    tmp_path: Path, bench: Path, suite_text: str
) -> None:
    off = '\n[budgets.variants.int8]\naccuracy = { drop_points = "off", reason = "new labels" }'
    suites = suite_with(bench, suite_text, ONE_POINT % "" + off)
    (loosened,) = of_option(recorded(tmp_path, "fail"), "v1", suites).loosened
    assert (loosened.variant, loosened.limit, loosened.reason) == ("int8", None, "new labels")


SINCE = """\
[budgets]
accuracy = { drop_points = 1.0 }
[budgets.baseline]
%s
accuracy = { drop_points = 1.0 }"""


@pytest.mark.parametrize("of", ["../../b", "../../b/v1", "../../b/v1/x", "../../b/v1/x/run.json"])
def test_a_suite_names_its_own_baseline(tmp_path: Path, bench: Path, suite_text: str, of: str) -> None:
    baseline(tmp_path.parent / "b", "v1", 1.0)
    suites = suite_with(bench, suite_text, SINCE % f'file = "{of}"')
    (release,) = find_baselines(None, suites, tmp_path).values()
    assert (release.name, release.facts.path) == ("v1", "../b/v1/x/run.json")


def test_the_option_goes_before_the_suites_own_file(tmp_path: Path, bench: Path, suite_text: str) -> None:
    baseline(tmp_path, "v2", 1.0)
    suites = suite_with(bench, suite_text, SINCE % 'file = "no-such-file.json"')
    assert of_option(tmp_path / "v2", "v2", suites).name == "v2"


def test_a_missing_baseline_is_an_error_that_says_what_to_do(
    tmp_path: Path, bench: Path, suite_text: str
) -> None:
    with pytest.raises(
        SuiteError, match=r"x.toml \[budgets.baseline\]: there is no baseline .* or --slimgate-b"
    ):
        find_baselines(None, suite_with(bench, suite_text, SINCE % ""), tmp_path)
    named = suite_with(bench, suite_text, SINCE % 'file = "../v1.json"')
    with pytest.raises(
        SuiteError, match=r"\[budgets.baseline\] file .*v1.json: cannot be read: No such file"
    ):
        find_baselines(None, named, tmp_path)
    write_release(tmp_path / "b" / "v1" / "support")
    for of in ("../b", "../b/v1/support"):
        with pytest.raises(
            SuiteError,
            match=r"file b.*: (no baseline of bench/x|this is a run of "
            "bench/support)",
        ):
            find_baselines(None, suite_with(bench, suite_text, SINCE % f'file = "{of}"'), tmp_path)


def test_lost_baseline_answers_are_an_error_before_any_build(
    tmp_path: Path, bench: Path, suite_text: str
) -> None:
    folder = baseline(tmp_path, "v1", 1.0)
    (folder / "outcomes/int8.parquet").unlink()
    suites = suite_with(bench, suite_text, SINCE % "")
    with pytest.raises(
        SuiteError, match=r"there is no outcomes/int8.parquet next to run.json; int8 is compared"
    ):
        of_option(folder, "v1", suites)
    assert of_option(folder, "v1", suite_with(bench, suite_text, ONE_POINT % "")).name == "v1"
    record = read_run(folder / "run.json")
    for error in (None, "it broke"):
        changes = {"quality": {}, "behaviour": None, "error": error}
        bare = record.variant("int8").model_copy(update=changes)
        partial = record.model_copy(update={"variants": [record.variants[0], bare]})
        (folder / "run.json").write_text(format_record_json(partial))
        if error is None:  # a run of a part, or a shard: nothing would limit what int8 lost since then
            with pytest.raises(
                SuiteError, match=r"v1: int8 was not measured in run.json, which is of a part"
            ):
                of_option(folder, "v1", suites)
        else:
            assert of_option(folder, "v1", suites).name == "v1"  # it broke then, and is new now


def test_a_run_without_suites_is_held_against_no_baseline(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text("half")
    with pytest.raises(
        SuiteError, match=r"^--slimgate-baseline v1: this run has no suite to compare with it$"
    ):
        find_baselines(BaselineSource(tmp_path, "v1"), {}, tmp_path)


def test_variants_are_not_held_against_the_record_being_replaced(
    tmp_path: Path, bench: Path, suite_text: str
) -> None:
    """Else a loss fails one run, and is what the next one is held against."""
    folder = baseline(tmp_path, "latest", 1.0)
    message = r"x.toml \[budgets.baseline\]: this run overwrites its baseline latest/x/run.json"
    for budgets, refused in ((SINCE % "", True), (ONE_POINT % "", False)):
        suites = suite_with(bench, suite_text, budgets)
        baselines = find_baselines(BaselineSource(folder, "latest/x"), suites, tmp_path)
        refuse_last_run(baselines, suites, tmp_path / "other")
        with pytest.raises(SuiteError, match=message) if refused else nullcontext():
            refuse_last_run(baselines, suites, tmp_path / "latest")


def test_a_budget_that_waited_may_not_be_loosened_in_silence(
    tmp_path: Path, bench: Path, suite_text: str
) -> None:
    """The release in which a variant is new judged nothing by it, and has its limit all the same."""
    folder = baseline(tmp_path, "v1", 1.0)
    record = read_run(folder / "run.json")
    waiting = [WaitingBudget(kind="drop_points", limit=0.5, on_inconclusive="fail")]
    since = SinceFacts(new=True, note="new since then", waiting=waiting, measured="2026-11-01")
    late = record.variant("int8").model_copy(update={"since_baseline": {"accuracy": since}})
    (folder / "run.json").write_text(
        format_record_json(record.model_copy(update={"variants": [record.variants[0], late]}))
    )
    message = (
        r"\[budgets.variants.int8.baseline\] accuracy: drop_points = 1 is looser than 0.5 in the baseline of"
    )
    with pytest.raises(SuiteError, match=message):
        of_option(folder, "v1", suite_with(bench, suite_text, SINCE % ""))
