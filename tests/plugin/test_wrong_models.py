"""A model that is not there, or that nothing here can read, is one line and exit code 4, in the plan too."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from support.user_repository import COMMON, hub_home, run_pytest

from fixtures.models.tiny import write_rows

pytestmark = pytest.mark.slow

VARIANTS = """
[variants]
shorter = { steps = [{ keep_layers = [0, 3] }] }
pruned = { steps = [{ magnitude_prune = { sparsity = 0.5 } }] }
ready = { model = "../models/ready" }

[measure]
metrics = ["accuracy"]
"""


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rows, and folders of models that could not be loaded: nothing here gets so far."""
    folder = tmp_path_factory.mktemp("repository")
    (folder / "pytest.ini").write_text("[pytest]\n")
    write_folder(folder / "models/teacher")
    write_folder(folder / "models/ready")
    write_folder(folder / "models/gptq", quantization_config={"quant_method": "gptq", "bits": 4})
    (folder / "bench").mkdir()
    write_rows(folder / "bench/rows.csv", 900)
    return folder


def write_folder(folder: Path, **config: object) -> None:
    folder.mkdir(parents=True)
    shape = {"model_type": "bert", "architectures": ["BertForSequenceClassification"]}
    (folder / "config.json").write_text(json.dumps({**shape, **config}))
    (folder / "vocab.txt").write_text("[UNK]\n")
    (folder / "model.safetensors").touch()


@pytest.mark.parametrize("options", [["--slimgate-plan"], ["-k", "shorter"]], ids=["plan", "run"])
@pytest.mark.parametrize(
    ("model", "pattern"),
    [
        (
            "models/teacher",
            r'no such folder {bench}/models/teacher; for the hub model of this name, write "models',
        ),
        ("team/unknown", "team/unknown: there is no folder {bench}/team/unknown; not in the local cache"),
        ("../models/gptq", r"steps\[0\].keep_layers: cannot start from .* the model is already quantized"),
    ],
    ids=["wrong path", "unknown name", "quantized"],
)
def test_a_model_that_cannot_be_had_is_one_line(
    repository: Path, tmp_path: Path, model: str, pattern: str, options: list[str]
) -> None:
    bench = repository / "bench"
    text = COMMON.replace('pooling = "mean"\n', "").replace('"../model"', f'"{model}"')
    (bench / "reviews.toml").write_text(text[: text.index("[measure]")] + VARIANTS)
    with hub_home(tmp_path):
        ran = run_pytest(repository, "bench", *options)
    assert ran.code == 4, ran.out
    [line] = [line for line in ran.lines if line.startswith("ERROR: bench/reviews.toml ")]
    assert re.search(pattern.format(bench=bench), line)
    assert not (repository / "reports").exists()
