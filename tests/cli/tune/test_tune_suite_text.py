"""The suite that is written: it reads back as what was chosen."""

from __future__ import annotations

from pathlib import Path

import pytest

from slimgate.cli.tune.measuring import Measurements, State, Trial
from slimgate.cli.tune.output import HEADER, check_free, choose_names, format_search, format_tuned_suite
from slimgate.cli.tune.search import Chosen, Searched
from slimgate.errors import DataError
from slimgate.suite.file import read_suite_text
from slimgate.suite.reader import Reader, load_suite
from slimgate.suite.tune_space import iterate_step_lists

TUNE = """
[tune]
budget = [{ accuracy = { drop_points = 1.0 } }, { accuracy = { drop_points = 5.0, floor = 0.5 } }]
[[tune.space]]
from = "student"
runtime = { name = "eager" }
steps = [{ distill = { learning_rate = { choices = [1e-5, 2.34e-4] }, transfer = "more.csv" } }]
"""


def test_a_written_suite_has_the_chosen_steps_budgets_and_paths(bench: Path, suite_text: str) -> None:
    (bench / "more.csv").write_text("text\na film\n")
    path, new = bench / "x.toml", bench.parent / "elsewhere/y.toml"
    new.parent.mkdir()
    path.write_text(
        suite_text.replace("[budgets]", "tuned-1 = { steps = [{ int8_dynamic = {} }] }\n[budgets]") + TUNE
    )
    suite = load_suite(path, "bench/x.toml")
    assert suite.tuning is not None
    reader = Reader(read_suite_text(path, "bench/x.toml"), True)
    measurements = Measurements({}, (0.5, 0.1), (True, True), {}, 2**20, 4.0, 1.0, False)
    trials = [
        Trial(
            i, step_list.space, tuple(step for _, step in step_list.steps), State.BEYOND, None, measurements
        )
        for i, step_list in enumerate(iterate_step_lists(suite.tuning.spaces[0]), 1)
    ]
    chosen = [Chosen(trials[0], 0, True), Chosen(trials[1], 1, False)]
    assert choose_names(chosen, suite) == ["tuned-2", "tuned-3"]
    text = text_of(suite, reader, chosen, new)
    assert text.startswith(HEADER)
    assert "[tune" not in text
    assert str(bench) not in text
    assert "# No trial is inside this budget on selection" in text.partition("[variants.tuned-3]")[0]
    new.write_text(text)
    again = load_suite(new, "elsewhere/y.toml")
    assert again.opt_in
    for choice, name in zip(chosen, ("tuned-2", "tuned-3"), strict=True):
        variant = again.variants[name]
        assert variant.parent == "student"
        [step] = variant.steps
        params = step.params.model_dump()
        assert params["learning_rate"] == choice.trial.steps[0]["distill"]["learning_rate"]
        assert step.row_files == (bench / "more.csv",)
        assert again.budgets[name].quality == suite.tuning.tiers[choice.tier].quality
    assert again.budgets["student"].quality == suite.budgets["student"].quality


def text_of(*arguments: object) -> str:
    return format_tuned_suite(*arguments, rows=24, summary="2 step lists")  # type: ignore[arg-type]


def test_only_a_file_of_its_own_is_written_over(tmp_path: Path) -> None:
    path, suite = tmp_path / "x.toml", tmp_path / "y.toml"
    check_free(path, suite)
    path.write_text(f"{HEADER} from y.toml: 2 step lists\n")
    check_free(path, suite)
    for text in ("[suite]\n", f"{HEADER} from z.toml: 2 step lists\n"):
        path.write_text(text)
        with pytest.raises(DataError, match="tune did not write this file from y"):
            check_free(path, suite)
    assert [file.name for file in tmp_path.iterdir()] == ["x.toml"]


def test_a_searched_suite_is_not_written_over(tmp_path: Path) -> None:
    """A suite that a search wrote, and that extends the suite before, would extend itself."""
    tuned = tmp_path / "y_tuned.toml"
    tuned.write_text(f"{HEADER} from y.toml: 2 step lists\n")
    with pytest.raises(DataError, match="name another file with --out"):
        check_free(tuned, tuned)


def test_a_written_suite_with_a_baseline_is_not_named_to_run(bench: Path, suite_text: str) -> None:
    """It inherits [budgets.baseline], and no baseline is of it: pytest would end with exit code 4."""
    since = '[budgets.baseline]\nfile = "../b"\naccuracy = { drop_points = 1.0 }\n'
    for text, ending in (
        (suite_text, "y.toml: tuned-1; next: pytest y.toml"),
        (suite_text.replace("[measure]", f"{since}[measure]"), "move its variants to bench/x.toml"),
    ):
        (bench / "x.toml").write_text(text + TUNE.replace(', transfer = "more.csv"', ""))
        suite = load_suite(bench / "x.toml", "bench/x.toml")
        assert suite.tuning is not None
        step_list = next(iter(iterate_step_lists(suite.tuning.spaces[0])))
        steps = tuple(step for _, step in step_list.steps)
        chosen = {"tuned-1": Chosen(Trial(1, step_list.space, steps, State.BEYOND), 0, False)}
        searched = Searched((), "1 trials were made", 1.0)
        lines = format_search(suite, searched, chosen, Path("y.toml"), everything=False)
        assert lines.endswith(ending)


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="/proc is a folder that nobody can write")
def test_a_folder_without_write_access_is_an_early_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"^/proc/tuned\.toml: no file can be written there: "):
        check_free(Path("/proc/tuned.toml"), tmp_path / "suite.toml")
