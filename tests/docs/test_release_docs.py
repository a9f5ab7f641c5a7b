"""docs/release.md: its commands run here and print what the page says.

SLIMGATE_REFRESH_GOLDEN=1 writes what they print into the page.
"""

from __future__ import annotations

import os
import shlex
from pathlib import Path

import pytest
from support.doc_blocks import list_blocks
from support.releases import CLASSES, INT8, Model, write_release

from fixtures.models.tiny_graph import make_tiny_onnx_model
from slimgate.cli.main import main
from slimgate.judge.budget_kinds import QualityBudget
from slimgate.judge.budget_tables import SliceBudget
from slimgate.record.run import read_record
from slimgate.report.pr_comment import format_pr_comment
from slimgate.store.store import Store

PAGE = Path(__file__).parents[2] / "docs" / "release.md"
OVERALL = (QualityBudget("drop_points", 1.5),)
LOSES_LOANS = {**INT8, "loan": range(145)}
RUNS = (
    ("2026-11-02T09:00:00+00:00", Model(budgets=OVERALL, slices=SliceBudget(drop_points=1.5))),
    (
        "2026-11-16T09:00:00+00:00",
        Model(LOSES_LOANS, OVERALL, slices=SliceBudget(drop_points=1.5), size=1_000_004),
    ),
    (
        "2026-11-18T09:00:00+00:00",
        Model(LOSES_LOANS, OVERALL, slices=SliceBudget(drop_points=3.0), size=1_000_004),
    ),
)


class Shell:
    """Runs the page's commands in one folder; each `pytest` leaves the next release's run."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder, self.capsys, self.codes = folder, capsys, dict[str, int]()
        self._runs = iter(RUNS)

    def run(self, command: str) -> str:
        program, *arguments = shlex.split(command)
        if program == "pytest":
            self._release()
            return ""
        if program == "ls":
            return "".join(f"{path.name}\n" for path in sorted((self.folder / arguments[0]).iterdir()))
        if program == "head":
            lines = (self.folder / arguments[1]).read_text().splitlines(keepends=True)
            return "".join(lines[: int(arguments[0].lstrip("-"))])
        assert program == "slimgate"
        self.codes[command] = main(arguments)
        captured = self.capsys.readouterr()
        return captured.err + captured.out

    def _release(self) -> None:
        created, model = next(self._runs)
        latest = self.folder / "reports/latest/support"
        write_release(latest, created=created, models={"int8": model})
        (latest / "pr-comment.md").write_text(format_pr_comment([read_record(latest / "run.json")]))
        _store(self.folder, f"digest-{model.size}")


def _store(folder: Path, digest: str) -> None:
    """What the suite of the page would have built: a graph of that digest."""

    def fill(target: Path) -> dict[str, str]:
        model = make_tiny_onnx_model(target)
        model.config.id2label = dict(enumerate(CLASSES))
        model.save(target)
        return {"kind": model.kind, "digest": digest}

    Store(folder / ".slimgate").make("artifacts", digest, fill)


def test_the_commands_of_the_page_print_what_it_says(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SLIMGATE_STORE", raising=False)
    shell, page = Shell(tmp_path, capsys), PAGE.read_text()
    for block in list_blocks("docs/release.md", "console"):
        commands = [line.removeprefix("$ ") for line in block.text.splitlines() if line.startswith("$ ")]
        page = page.replace(
            block.text, "".join(f"$ {command}\n{shell.run(command)}" for command in commands), 1
        )
    if os.environ.get("SLIMGATE_REFRESH_GOLDEN"):
        PAGE.write_text(page)
    assert page == PAGE.read_text()
    assert list(shell.codes.values()) == [0, 1, 4, 0, 0, 0, 0]
    assert "label loan" in page
    assert "loans get a model of their own in v3" in page.split("## Did the gate get weaker?")[0]
