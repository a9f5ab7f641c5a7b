"""The small ones of fixtures/hostile: each is refused in one line, or taken as data."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from slimgate.cli.main import main
from slimgate.errors import SlimgateError
from slimgate.plugin.find_suites import Search, find_suites
from tools.trust.hostile.cases import SUITE, Case, list_cases

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
TABLE = ROOT / "docs/hostile_inputs.md"
NAMES = [case.input.name for case in list_cases(Path("unused"))]
SMALL = [case.input.name for case in list_cases(Path("unused")) if not case.input.slow]


def checked(case: Case) -> int:
    """As pytest finds and checks suites before any test, or the command itself; 4 where it is refused."""
    _, *arguments = case.write_command()
    if case.input.command != SUITE:
        return main(arguments)
    try:
        find_suites(Search(case.folder, [case.folder / arguments[0]], ["bench/*.toml"]))
    except SlimgateError as error:
        sys.stderr.write(f"{error}\n")
        return 4
    return 0


@pytest.mark.parametrize("name", SMALL)
def test_it_is_answered_in_one_line(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    case = next(case for case in list_cases(tmp_path) if case.input.name == name)
    case.folder.mkdir(parents=True)
    monkeypatch.chdir(case.folder)
    monkeypatch.syspath_prepend(str(case.folder))
    assert checked(case) in (*case.input.codes, *((0,) if 5 in case.input.codes else ()))
    out, err = capsys.readouterr()
    if case.input.codes == (4,):
        assert (err.count("\n"), out) == (1, "")
    assert not case.canary.exists()
    assert "\x1b[2J" not in out


def test_the_page_has_every_small_input_and_no_wrong_answer() -> None:
    """python -m tools.trust.hostile_inputs OUT > docs/hostile_inputs.md"""
    text = TABLE.read_text("utf-8")
    documented = re.findall(r"^\| (\w+: .*?) \| (?:pytest|slimgate|open an artifact)", text, re.MULTILINE)
    assert set(SMALL) <= set(documented)
    assert documented == [name for name in NAMES if name in documented]
    assert not re.search(r"TRACEBACK|CODE RAN|ESCAPES|\*\*expected exit", text)
