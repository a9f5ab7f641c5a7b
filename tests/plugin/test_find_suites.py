"""Which suites a run of pytest includes."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from slimgate.errors import SuiteError
from slimgate.plugin.find_suites import Search, describe_suites_not_run, find_suites


def list_suites(root: Path, *paths: Path, **options: object) -> list[str]:
    """The suites of a run over these paths (default: all of root), relative to root."""
    search = Search(root=root, paths=paths or [root], patterns=["bench/*.toml"], **options)  # type: ignore[arg-type]
    return [path.relative_to(root).as_posix() for path in find_suites(search)]


@pytest.fixture
def root(bench: Path, suite_text: str) -> Path:
    """A repository with bench/x.toml, right, and bench/y.toml, right and opt-in."""
    (bench / "x.toml").write_text(suite_text)
    (bench / "y.toml").write_text(suite_text.replace("threads = 1", "opt_in = true"))
    return bench.parent


def test_an_opt_in_suite_runs_only_when_named(root: Path) -> None:
    assert list_suites(root) == ["bench/x.toml"]
    assert list_suites(root, root / "bench/y.toml") == ["bench/y.toml"]
    assert list_suites(root, root / "bench", root / "bench/y.toml") == ["bench/x.toml", "bench/y.toml"]


def test_a_link_to_a_suite_is_run(root: Path) -> None:
    (root / "bench/y.toml").unlink()
    (root / "bench").rename(root / "shared")
    (root / "bench").mkdir()
    (root / "bench/x.toml").symlink_to("../shared/x.toml")
    (root / "bench/again.toml").symlink_to("../shared/x.toml")
    for paths in ([root], [root / "bench"], [root / "bench/x.toml"]):
        search = Search(root=root, paths=paths, patterns=["bench/*.toml"])
        suites = find_suites(search)
        assert [path.relative_to(root).as_posix() for path in suites] == ["shared/x.toml"]
        assert list(describe_suites_not_run(search)) == []
    [suite] = suites.values()
    assert suite.shown == "bench/x.toml"
    (root / "bench/x.toml").unlink()
    (root / "bench/again.toml").unlink()
    search = Search(root=root, paths=[root], patterns=["bench/*.toml"])
    [line] = describe_suites_not_run(search)
    assert line.startswith("not run: shared/x.toml: no pattern of slimgate_files")


def test_a_linked_folder_of_suites_is_searched(root: Path) -> None:
    (root / "bench").rename(root / "suites")
    (root / "repository").mkdir()
    (root / "repository/bench").symlink_to("../suites")
    (root / "suites/back").symlink_to("..")  # a cycle
    assert list_suites(root, root / "repository") == ["suites/x.toml"]


def test_folders_that_link_to_each_other_are_read_once(root: Path) -> None:
    for name, other in (("a", "b"), ("b", "a")):
        (root / name).mkdir()
        for number in range(8):  # without a limit, there would be 8^40 paths
            (root / name / f"to_{other}_{number}").symlink_to(f"../{other}")
    assert list_suites(root) == ["bench/x.toml"]


def test_an_opt_in_suite_that_was_not_named_may_lack_its_data(root: Path) -> None:
    file = root / "bench/y.toml"
    file.write_text(file.read_text().replace("rows.csv", "elsewhere.csv").replace("../model", "../else"))
    assert list_suites(root) == ["bench/x.toml"]
    with pytest.raises(SuiteError, match=r"bench/y.toml \[teacher\] model"):
        list_suites(root, file)


def test_an_opt_in_suite_that_was_not_named_may_lack_an_extra(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "rouge_score.rouge_scorer", None)  # import raises
    (root / "bench/prompts.jsonl").write_text('{"ask": "1+1", "right": "2"}\n')
    text = """[suite]
title = "y"
opt_in = true
[task]
kind = "text_generation"
source = { name = "files", gate = ["prompts.jsonl"] }
prompt = "ask"
reference = "right"
scores = ["rouge"]
splits = {}
[teacher]
model = "../model"
[variants.int8]
steps = [{ int8_dynamic = {} }]
"""
    (root / "bench/y.toml").write_text(text)
    assert list_suites(root) == ["bench/x.toml"]
    lacking = r'^bench/y.toml \[task\]: score rouge needs an extra: pip install "slimgate\[answers\]"$'
    with pytest.raises(SuiteError, match=lacking):
        list_suites(root, root / "bench/y.toml")
    (root / "bench/y.toml").write_text(text.replace("opt_in = true", ""))
    with pytest.raises(SuiteError, match=lacking):
        list_suites(root)


@pytest.mark.parametrize(
    ("old", "new"), [("[measure]", "[measure"), ("rounds", "round")], ids=["syntax", "schema"]
)
def test_an_opt_in_suite_that_is_malformed_stops_every_run(root: Path, old: str, new: str) -> None:
    file = root / "bench/y.toml"
    file.write_text(file.read_text().replace(old, new))
    with pytest.raises(SuiteError, match=r"^bench/y.toml "):
        list_suites(root)


def test_a_foreign_toml_is_left_alone(root: Path) -> None:
    (root / "bench/settings.toml").write_text("[tool]\nx = 1\n")
    (root / "bench/broken.toml").write_text("[tool\n")
    (root / "pyproject.toml").write_text("[tool]\n")
    assert list_suites(root) == ["bench/x.toml"]
    assert list_suites(root, root / "pyproject.toml") == []


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('[Suite]\ntitle = "x"\n', r"bench/x.toml \[Suite\]: names are in small letters; expected \[suite\]"),
        ('suite = { title = "x" }\n[task\n', r"bench/x.toml line 2: not TOML"),
        ('suite.title = "x"\n[task\n', r"bench/x.toml line 2: not TOML"),
        ('[SUITE]\ntitle = "x\n', r"bench/x.toml line 2: not TOML"),
    ],
    ids=["capital", "inline", "dotted", "capital and broken"],
)
def test_a_file_that_was_meant_as_a_suite_ends_the_run(root: Path, text: str, problem: str) -> None:
    """Next to a good suite, it was silently left out."""
    (root / "bench/z.toml").write_text((root / "bench/x.toml").read_text())
    (root / "bench/x.toml").write_text(text)
    with pytest.raises(SuiteError, match=problem):
        list_suites(root)


def test_a_foreign_toml_where_suites_lie_has_its_line(root: Path) -> None:
    (root / "bench/settings.toml").write_text("[tool]\nx = 1\n")
    (root / "bench/broken.toml").write_text("[tool\n")
    (root / "bench/_common.toml").write_text("[tool]\n")
    (root / "pyproject.toml").write_text("[tool]\n")
    notes: list[str] = []
    search = Search(root=root, paths=[root, root / "pyproject.toml"], patterns=["bench/*.toml"])
    find_suites(search, note=notes.append)
    assert notes == [
        "bench/broken.toml: has neither [suite] nor [logs], so it is not a suite",
        "bench/settings.toml: has neither [suite] nor [logs], so it is not a suite",
    ]


@pytest.mark.parametrize(
    ("text", "came"),
    [
        (
            '[log]\nbase = "a"\ntargets = { b = "b" }\n[budgets]\n"*" = { drop_points = 2.0 }\n',
            r"\[log\] was given\. Did you mean logs\?",
        ),
        ('[log]\nbase = "a"\n', r"\[log\] was given\. Did you mean logs\?"),
        ('[suit]\ntitle = "x"\n', r"\[suit\] was given\. Did you mean suite\?"),
        ('base = "a"\n[budgets]\naccuracy = { drop_points = 2.0 }\n', r"\[budgets\] was given\."),
    ],
    ids=["log", "no-budgets", "suit", "no-head"],
)
@pytest.mark.parametrize("named", [False, True], ids=["folder", "named"])
def test_a_suite_without_its_head_ends_the_run(root: Path, text: str, came: str, *, named: bool) -> None:
    """It gated nothing, and the run of its folder was green."""
    file = root / "bench/preds.toml"
    file.write_text(text)
    problem = rf"bench/preds\.toml: neither \[suite\] nor \[logs\], so nothing in it would be judged; {came}"
    with pytest.raises(SuiteError, match=problem):
        list_suites(root, *([file] if named else []))


def list_not_run(root: Path, *paths: Path, below: bool = False, **options: object) -> list[str]:
    search = Search(root=root, paths=paths, patterns=["bench/*.toml"], **options)  # type: ignore[arg-type]
    return list(describe_suites_not_run(search, below=below))


def test_suites_that_no_pattern_matches_are_named_with_a_remedy(root: Path, suite_text: str) -> None:
    (root / "suites").mkdir()
    for name in ("a.toml", "_common.toml"):
        (root / "suites" / name).write_text(suite_text)
    (root / "suites/other.toml").write_text("[suite]\nof = 'another tool'\n")
    [line] = list_not_run(root, root / "suites")
    assert line.startswith("not run: suites/a.toml: no pattern of slimgate_files (bench/*.toml) matches; ")
    assert "add a pattern to slimgate_files in pytest's configuration" in line
    assert list_not_run(root, root / "bench") == []
    assert list_not_run(root, root / "suites/a.toml") == []
    assert list_not_run(root, root / "suites", root / "suites/a.toml") == []  # it runs, because it was named
    assert list_not_run(root, root, shallow=True) == []


def test_suites_below_a_folder_not_given_to_pytest_are_named(root: Path) -> None:
    [line] = list_not_run(root, root, below=True, shallow=True)
    assert line == ("not run: bench/x.toml, bench/y.toml: to run them, name their folder: pytest bench")


def test_a_named_file_where_suites_lie_is_reported_what_it_lacks(root: Path) -> None:
    file = root / "bench/settings.toml"
    file.write_text("[tool]\nx = 1\n")
    with pytest.raises(SuiteError) as error:
        list_suites(root, file)
    assert (
        str(error.value)
        == "bench/settings.toml: has neither [suite] nor [logs], so it is not a suite of slimgate"
    )


def test_a_suite_with_a_broken_first_line_is_no_foreign_file(root: Path) -> None:
    (root / "bench/x.toml").write_text('[suite\ntitle = "x"\n')
    with pytest.raises(SuiteError, match=r"bench/x.toml line 1: not TOML"):
        list_suites(root)


def test_names_that_begin_with_an_underscore_never_run(root: Path, suite_text: str) -> None:
    common = root / "bench/_common.toml"
    common.write_text(suite_text)
    assert list_suites(root) == ["bench/x.toml"]
    with pytest.raises(SuiteError, match="names that begin with _"):
        list_suites(root, common)


def test_a_named_suite_may_lie_anywhere(root: Path) -> None:
    elsewhere = root / "deep/a.toml"
    elsewhere.parent.mkdir()
    text = (root / "bench/x.toml").read_text()
    elsewhere.write_text(text.replace("rows.csv", "../bench/rows.csv"))
    assert list_suites(root) == ["bench/x.toml"]
    assert list_suites(root, elsewhere) == ["deep/a.toml"]


def test_a_pattern_matches_the_end_of_a_path_and_nothing_deeper(root: Path, suite_text: str) -> None:
    for folder in ("bench/old", "pkg/bench"):
        (root / folder).mkdir(parents=True)
        text = suite_text.replace("rows.csv", f"{root}/bench/rows.csv").replace("../model", f"{root}/model")
        (root / folder / "z.toml").write_text(text)
    assert list_suites(root) == ["bench/x.toml", "pkg/bench/z.toml"]


def test_shallow_looks_at_direct_children_only(root: Path) -> None:
    assert list_suites(root, shallow=True) == []
    assert list_suites(root, root / "bench", shallow=True) == ["bench/x.toml"]


def test_ignored_paths_are_not_even_read(root: Path) -> None:
    (root / "bench/x.toml").write_text("[suite\n")
    assert list_suites(root, ignore=[root / "bench/x.toml"]) == []
    assert list_suites(root, ignore=[root / "bench"]) == []
    assert list_suites(root, ignore_globs=[f"{root}/bench/x*"]) == []
    assert list_suites(root, skip=["ben*"]) == []
    assert list_suites(root, skip=[f"{root.name}/bench"]) == []


def test_two_suites_of_one_name_are_refused(root: Path, suite_text: str) -> None:
    (root / "a/bench").mkdir(parents=True)
    text = suite_text.replace("rows.csv", f"{root}/bench/rows.csv").replace("../model", f"{root}/model")
    (root / "a/bench/x.toml").write_text(text)
    with pytest.raises(SuiteError, match=r"bench/x.toml and a/bench/x.toml have the same name"):
        list_suites(root)


def test_every_wrong_suite_has_its_line(root: Path, suite_text: str) -> None:
    (root / "bench/x.toml").write_text(suite_text.replace("title", "titel"))
    (root / "bench/z.toml").write_text(suite_text.replace("[measure]", "[measures]"))
    with pytest.raises(SuiteError) as error:
        list_suites(root)
    assert str(error.value).splitlines() == [
        "bench/x.toml [suite]: unknown key titel. Did you mean title?",
        "bench/z.toml: unknown key measures. Did you mean measure?",
    ]
