"""Makes the reports of docs/gallery.md with slimgate's commands, from files of the repository."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from slimgate.record.run import read_record
from slimgate.report.html import render_html_report
from tools.site.links import ROOT

EXAMPLES = ROOT / "docs/example_predictions"
RECORD = ROOT / "docs/example_record/run.json"
# Report -> the arguments of `slimgate judge` in docs/example_predictions, and its exit code.
JUDGED = {
    "judge_pass": (("teacher.csv", "small.csv", "--drop-points", "2"), 0),
    "judge_inconclusive": (("teacher.csv", "four_bits.csv", "--drop-points", "2"), 1),
    "judge_fail": (("teacher.csv", "two_bits.csv", "--drop-points", "2"), 1),
}


def list_gallery_files() -> Iterator[tuple[str, str]]:
    """(path on the site, text) of every report of the gallery."""
    yield "gallery/suite.html", render_html_report(read_record(RECORD))
    with tempfile.TemporaryDirectory() as scratch:
        for name, (arguments, code) in JUDGED.items():
            folder = Path(scratch) / name
            _run_slimgate(code, "judge", *arguments, "--report", str(folder))
            yield f"gallery/{name}.html", (folder / "report.html").read_text("utf-8")
        old, new, out = (str(Path(scratch) / name) for name in ("judge_pass", "judge_fail", "compared"))
        _run_slimgate(0, "compare", old, new, "--out", out, "--fail-on", "nothing")
        yield "gallery/compare.md", (Path(out) / "compare.md").read_text("utf-8")
        for plot in sorted(Path(out).glob("plots/*.svg")):
            yield f"gallery/plots/{plot.name}", plot.read_text("utf-8")


def _run_slimgate(code: int, *arguments: str) -> None:
    """Raises RuntimeError if slimgate ends with another exit code."""
    done = subprocess.run(
        [sys.executable, "-m", "slimgate", *arguments],
        cwd=EXAMPLES,
        env={"PYTHONPATH": str(ROOT), "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != code:
        raise RuntimeError(f"slimgate {' '.join(arguments)}: exit code {done.returncode}\n{done.stderr}")
