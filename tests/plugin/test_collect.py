"""Which tests a command line collects. The model is never loaded, so these runs are light."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.user_repository import Ran, run_pytest

pytestmark = pytest.mark.slow

QUALITY = "bench/x.toml::test_quality[student-accuracy]"


@pytest.fixture
def root(bench: Path, suite_text: str) -> Path:
    """A repository with bench/x.toml and test_python.py."""
    (bench / "x.toml").write_text(suite_text)
    (bench.parent / "test_python.py").write_text("def test_python(): pass\n")
    return bench.parent


def collected(folder: Path, *arguments: str) -> list[str]:
    ran = run_pytest(folder, "--collect-only", "-q", *arguments)
    return [line for line in ran.lines if "::" in line]


def test_a_suite_has_its_gates_as_tests(root: Path) -> None:
    assert collected(root, "bench") == [
        "bench/x.toml::test_quality[student-accuracy]",
        "bench/x.toml::test_quality[int8-accuracy]",
        "bench/x.toml::test_behaviour[student]",
        "bench/x.toml::test_behaviour[int8]",
        "bench/x.toml::test_size[student]",
        "bench/x.toml::test_size[int8]",
        "bench/x.toml::test_selftest[identical]",
        "bench/x.toml::test_selftest[planted_fault]",
        "bench/x.toml::test_selftest[planted_delay]",
        "bench/x.toml::test_latency[teacher-b1]",
        "bench/x.toml::test_latency[student-b1]",
        "bench/x.toml::test_latency[int8-b1]",
        "bench/x.toml::test_speedup[student-b1]",
        "bench/x.toml::test_speedup[int8-b1]",
    ]


def test_memory_stands_behind_the_size_where_a_suite_asks_for_it(root: Path, suite_text: str) -> None:
    budget = "[budgets.variants.int8]\nmemory = { memory_ratio_max = 0.9 }\n\n[measure]"
    (root / "bench/x.toml").write_text(suite_text.replace("[measure]", budget))
    tests = [line.partition("::")[2] for line in collected(root, "bench")]
    place = tests.index("test_memory[int8]")
    assert tests[place - 1 : place + 2] == [
        "test_size[int8]",
        "test_memory[int8]",
        "test_selftest[identical]",
    ]
    assert "test_memory[student]" not in tests


def test_a_node_id_and_k_select(root: Path) -> None:
    assert collected(root, QUALITY) == [QUALITY]
    times = ["bench/x.toml::test_latency[int8-b1]", "bench/x.toml::test_speedup[int8-b1]"]
    assert collected(root, "bench", "-k", "int8 and latency") == times


@pytest.mark.parametrize("ini", ["", "[pytest]\n"], ids=["no-ini", "ini"])
def test_pytest_alone_runs_no_suite_below_the_root(root: Path, ini: str) -> None:
    if ini:
        (root / "pytest.ini").write_text(ini)
    assert collected(root) == ["test_python.py::test_python"]


@pytest.mark.parametrize("ini", ["", "[pytest]\n"], ids=["no-ini", "ini"])
def test_pytest_alone_in_the_folder_of_suites_runs_them(root: Path, ini: str) -> None:
    if ini:
        (root / "pytest.ini").write_text(ini)
    tests = collected(root / "bench")
    assert len(tests) == 14
    assert tests[0].endswith("x.toml::test_quality[student-accuracy]")


def test_testpaths_may_name_the_folder_of_suites(root: Path) -> None:
    (root / "pytest.ini").write_text("[pytest]\ntestpaths = bench\n")
    assert QUALITY in collected(root)


def test_the_dot_is_a_path_that_was_named(root: Path) -> None:
    assert QUALITY in collected(root, ".")


def test_an_ignored_malformed_suite_is_not_collected(root: Path) -> None:
    (root / "bench/broken.toml").write_text("[suite\n")
    assert QUALITY in collected(root, "bench", "--ignore=bench/broken.toml")
    assert QUALITY in collected(root, "bench", "--ignore-glob=*/brok*")


def test_a_suite_anywhere_is_collected_when_named(root: Path) -> None:
    (root / "deep").mkdir()
    text = (root / "bench/x.toml").read_text().replace("rows.csv", "../bench/rows.csv")
    (root / "deep/a.toml").write_text(text)
    assert len(collected(root, "deep/a.toml")) == 14


def test_slimgate_files_says_where_suites_lie(root: Path) -> None:
    (root / "pytest.ini").write_text("[pytest]\nslimgate_files = gates/*.toml\n")
    (root / "bench").rename(root / "gates")
    assert len(collected(root, "gates")) == 14


@pytest.mark.parametrize("workers", [(), ("-n", "1")], ids=["serial", "n1"])
def test_suites_that_no_pattern_matches_are_named_in_the_head(root: Path, workers: tuple[str, ...]) -> None:
    (root / "bench").rename(root / "gates")
    ran = run_pytest(root, "gates", "-q", *workers)
    assert ran.code == 5
    [line] = [line for line in ran.lines if "not run:" in line]
    assert line.startswith("not run: gates/x.toml: no pattern of slimgate_files (bench/*.toml) matches")


def test_a_toml_file_beside_suites_is_named_in_the_head(root: Path) -> None:
    (root / "bench/settings.toml").write_text("[tool]\n")
    ran = run_pytest(root, "bench", "-q", "--collect-only")
    assert "bench/settings.toml: has neither [suite] nor [logs], so it is not a suite" in ran.lines


def test_pytest_alone_names_the_suites_below_if_it_has_no_test(root: Path) -> None:
    assert "not run:" not in run_pytest(root).out
    (root / "test_python.py").unlink()
    assert "not run: bench/x.toml: to run them, name their folder" in run_pytest(root).out
    (root / "bench/x.toml").write_text('[logs]\nbase = "a"\ntargets = { b = "b" }\n')
    assert "not run: bench/x.toml: to run them, name their folder" in run_pytest(root).out


def test_python_tests_beside_suites_run_as_ever(root: Path) -> None:
    (root / "bench/test_beside.py").write_text("def test_beside(): pass\n")
    tests = collected(root, "bench")
    assert len(tests) == 15
    assert "bench/test_beside.py::test_beside" in tests


def test_a_suite_without_variants_has_the_teachers_tests_only(root: Path) -> None:
    file = root / "bench/x.toml"
    text = file.read_text()
    file.write_text(text[: text.index("[variants]")] + text[text.index("[measure]") :])
    assert collected(root, "bench") == [
        "bench/x.toml::test_selftest[identical]",
        "bench/x.toml::test_selftest[planted_fault]",
        "bench/x.toml::test_selftest[planted_delay]",
        "bench/x.toml::test_latency[teacher-b1]",
    ]


@pytest.fixture(params=[(), ("-n", "2")], ids=["serial", "n2"])
def bare(root: Path, request: pytest.FixtureRequest) -> Ran:
    """`pytest` alone, where suites lie below that it does not run."""
    return run_pytest(root, *request.param)


def test_a_run_without_suites_leaves_nothing_behind(root: Path, bare: Ran) -> None:
    assert bare.code == 0
    assert "1 passed" in bare.out
    assert " slimgate " not in bare.out
    caches = {"__pycache__", ".benchmarks"}  # Python's and pytest-benchmark's
    assert {p.name for p in root.iterdir()} - caches == {"bench", "model", "test_python.py"}


def test_the_public_fixtures_say_where_they_belong(root: Path) -> None:
    (root / "test_python.py").write_text("def test_python(suite): pass\n")
    ran = run_pytest(root)
    assert ran.code == 1
    assert 'mark the test with @pytest.mark.slimgate("bench/x.toml")' in ran.out
