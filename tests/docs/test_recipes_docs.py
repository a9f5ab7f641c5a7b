"""docs/recipes.md: the program that makes a table for a paper."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from support.doc_blocks import list_blocks
from support.releases import Model, write_release

pytest.importorskip("pandas")
pytestmark = pytest.mark.slow

(PROGRAM,) = (block.text for block in list_blocks("docs/recipes.md", "python"))
BUILDS = {
    "seeds": [0, 1],
    "drops_points": [0.75, 0.45],
    "mean_points": 0.6,
    "sd_points": 0.2,
    "sampling_se_points": 0.3,
}


def test_the_paper_table_has_the_drop_of_all_builds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:/usr/bin:/bin")  # it runs `slimgate lines`
    models = {"int8": Model(), "distilled": Model()}
    file = write_release(tmp_path / "reports/latest/quant", models=models) / "run.json"
    record = json.loads(file.read_text("utf-8"))
    accuracy = record["variants"][2]["quality"]["accuracy"]
    accuracy["builds"] = BUILDS
    accuracy["budgets"][0] |= {"builds": 2, "value": 0.6, "interval": [-0.2, 1.4]}
    file.write_text(json.dumps(record), "utf-8")

    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=tmp_path, capture_output=True, text=True, check=True
    )

    assert " & drop [90 \\%] & builds & compression \\\\" in ran.stdout
    assert "distilled & 0.6 [-0.2, 1.4] & 2 & – \\\\" in ran.stdout
    assert "int8 & 0.7 [0.6, 0.9] & – & – \\\\" in ran.stdout
