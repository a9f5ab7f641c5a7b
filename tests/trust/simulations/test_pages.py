"""The pages of the simulations: each has its script, and the summary is that of the pages."""

from __future__ import annotations

import re

from tools.simulations import __main__ as command
from tools.simulations.summary import make_summary

FOLDER = command.FOLDER


def test_every_script_has_its_page_and_every_page_its_script() -> None:
    pages = {path.stem for path in FOLDER.glob("*.md")}
    assert pages == {*command.NAMES, "duels", "README"}
    for name in command.NAMES:
        assert f"python -m tools.simulations.{name} " in (FOLDER / f"{name}.md").read_text()


def test_the_summary_is_the_pages_and_no_rule_errs_too_often() -> None:
    text = (FOLDER / "README.md").read_text()
    assert text == make_summary(FOLDER)
    # bold is above 6 % by more than two standard errors
    bold = [line for line in text.splitlines() if re.search(r"\*\*[0-9]", line)]
    assert bold == []
