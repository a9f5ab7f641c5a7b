"""A repository without suites: there the plugin loads a handful of small files, and is in nobody's way."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

import pytest
from support.user_repository import Ran
from support.user_repository import run_pytest as pytest_warm

TOLD = """
import sys


def pytest_terminal_summary(terminalreporter):
    own = sorted(name for name in sys.modules if name.partition(".")[0] == "slimgate")
    terminalreporter.write_line(f"own {len(own)} all {len(sys.modules)}")
    wanted = {"numpy", "pyarrow", "pydantic", "scipy", "torch", "transformers", "matplotlib", "onnxruntime"}
    terminalreporter.write_line(f"loaded {sorted(wanted & sys.modules.keys())}")
"""
PLUGIN = ("-p", "slimgate.plugin")
# These import what they like, in every run.
OTHERS = [option for name in ("benchmark", "anyio", "hypothesispytest") for option in ("-p", f"no:{name}")]


pytest_in = partial(pytest_warm, new_interpreter=True)


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    """A test, a TOML file that is no suite, and a conftest that tells what is loaded."""
    (tmp_path / "conftest.py").write_text(TOLD)
    (tmp_path / "pyproject.toml").write_text('[tool.pytest.ini_options]\naddopts = "-q"\n')
    (tmp_path / "test_plain.py").write_text("def test_plain(): pass\n")
    return tmp_path


def modules(ran: Ran) -> tuple[int, int]:
    """Modules of slimgate, and all."""
    [line] = [line for line in ran.lines if line.startswith("own ")]
    return int(line.split()[1]), int(line.split()[3])


def test_a_run_without_suites_loads_a_few_small_modules(plain: Path) -> None:
    without = pytest_in(plain, *OTHERS, "-p", "no:slimgate.plugin")
    ran = pytest_in(plain, *OTHERS, *PLUGIN)
    assert ran.code == without.code == 0
    assert "loaded []" in ran.lines
    ours, every = modules(ran)
    assert ours <= 10
    assert every - modules(without)[1] <= ours + 8  # of the standard library


def test_collecting_suites_loads_no_torch(bench: Path, suite_text: str) -> None:
    (bench / "x.toml").write_text(suite_text)
    (bench.parent / "conftest.py").write_text(TOLD)
    ran = pytest_in(bench.parent, "bench", "--collect-only", *OTHERS, *PLUGIN)
    assert ran.code == 0
    [line] = [line for line in ran.lines if line.startswith("loaded ")]
    assert not {"torch", "transformers", "matplotlib", "onnxruntime"} & set(re.findall(r"\w+", line))


def test_workers_of_xdist_load_no_more(plain: Path) -> None:
    (plain / "test_plain.py").write_text(
        "import sys\n\n\ndef test_plain():\n"
        "    assert not {'pydantic', 'slimgate.plugin.session'} & sys.modules.keys()\n"
    )
    ran = pytest_in(plain, *OTHERS, *PLUGIN, "-n", "1")
    assert ran.code == 0, ran.out
    assert "loaded []" in ran.lines


def test_a_test_that_names_its_suite_by_the_mark_finds_it(bench: Path, suite_text: str) -> None:
    (bench / "x.toml").write_text(suite_text)
    (bench.parent / "test_mine.py").write_text(
        "import pytest\n\n\n@pytest.mark.slimgate('bench/x.toml')\n"
        "def test_mine(suite):\n    assert suite.path.name == 'x.toml'\n"
    )
    ran = pytest_in(bench.parent, "test_mine.py", *PLUGIN, "-n", "1")
    assert ran.code == 0, ran.out


def test_fixtures_of_a_conftest_go_before_those_of_the_same_name(plain: Path) -> None:
    (plain / "conftest.py").write_text(
        "import pytest\n\n\n@pytest.fixture\ndef teacher():\n    return 'mine'\n\n\n"
        "@pytest.fixture(params=[1, 2])\ndef variant(request):\n    return request.param\n"
    )
    (plain / "test_plain.py").write_text(
        "def test_plain(teacher, variant):\n    assert (teacher, variant > 0) == ('mine', True)\n"
    )
    ran = pytest_in(plain, *PLUGIN)
    assert ran.code == 0, ran.out
    assert "2 passed" in ran.out


def test_a_public_fixture_without_a_mark_says_what_is_missing(plain: Path) -> None:
    (plain / "test_plain.py").write_text("def test_plain(teacher): pass\n")
    ran = pytest_in(plain, *PLUGIN)
    assert ran.code != 0
    assert 'mark the test with @pytest.mark.slimgate("bench/x.toml")' in ran.out


def test_the_plugin_can_be_left_out(plain: Path) -> None:
    ran = pytest_in(plain, "-p", "no:slimgate.plugin")
    assert ran.code == 0
    assert modules(ran)[0] == 0
