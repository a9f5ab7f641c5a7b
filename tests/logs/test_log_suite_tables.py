"""Suites of logs whose tables have values of another type: the error names the key and what it expects."""

from __future__ import annotations

from pathlib import Path

import pytest

from slimgate.cli.main import main
from slimgate.errors import SuiteError
from slimgate.logs.suite import load_log_suite

TARGETS = 'targets = { t = "t" }\n'
BASE = f'[logs]\nbase = "b"\n{TARGETS}'
BUDGET = '[budgets]\n"*" = { drop_points = 1.0 }\n'
WRONG = {
    "number": ("logs = 3\n", "logs: 3 was given, expected a table"),
    "text": ('logs = "x"\n', 'logs: "x" was given, expected a table'),
    "list of tables": (f"[{BASE.replace(']', ']]', 1)}", 'logs: [{ base = "b", targets = '),
    "base": (f"[logs]\nbase = 3\n{TARGETS}", "[logs] base: 3 was given, expected a string or a list, in [ ]"),
    "base of runs": (
        f"[logs]\nbase = []\n{TARGETS}",
        "[logs] base: [] was given, expected a string or a list of 1 or more",
    ),
    "run of a base": (
        f'[logs]\nbase = ["b", 3]\n{TARGETS}',
        "[logs] base[1]: 3 was given, expected a string",
    ),
    "target": (
        '[logs]\nbase = "b"\ntargets = { t = 3 }\n',
        "[logs.targets] t: 3 was given, expected a string or a list, in [ ]",
    ),
    "target with the name of a type": (
        '[logs]\nbase = "b"\ntargets = { str = 3 }\n',
        "[logs.targets] str: 3 was given, expected a string or a list, in [ ]",
    ),
    "no target": (
        '[logs]\nbase = "b"\ntargets = {}\n',
        "[logs.targets]: {} was given, expected a table of 1 or more",
    ),
    "run": (f"{BASE}run = 3\n", "[logs] run: 3 was given, expected a string or a table"),
    "run of a side": (f"{BASE}run = {{ base = 3 }}\n", "[logs.run] base: 3 was given, expected a string"),
    "two mistakes": (
        f"{BASE}run = 3\nmodel = 3\n",
        "[logs] run: 3 was given, expected a string or a table (and 1 more in this file)",
    ),
    "budgets": (f"{BASE}[[budgets]]\nx = 1\n", "budgets: [{ x = 1 }] was given, expected a table [budgets]"),
}


@pytest.mark.parametrize(("text", "message"), WRONG.values(), ids=WRONG)
def test_a_value_of_another_type_is_one_clear_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, message: str
) -> None:
    path = tmp_path / "x.toml"
    path.write_text(text if "budgets" in text else text + BUDGET)
    with pytest.raises(SuiteError) as raised:
        load_log_suite(path, "x.toml")
    assert f"x.toml {message}" in str(raised.value)
    assert main(["check", str(path)]) != 0
    output = "".join(capsys.readouterr())
    assert message in output
    assert "Traceback" not in output
