"""A fault planted in the files of each quantized format: the KL budget fails it, and its block is named."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from support.user_repository import Ran, run_pytest

from fixtures.models.quantization_faults import (
    BROKEN_BLOCK,
    CASES,
    FORMATS,
    Case,
    join_nibbles,
    plant_fault,
    split_nibbles,
)
from tools.measuring.quantization_faults import format_table, write_repository

NAMED = f"model.layers.{BROKEN_BLOCK}"
# Scales of both signs: what is one level too high in one group is one too low in another, so that the error
# is near that of rounding.
WEAK = {f"{form}-zero_point_off_by_one" for form in ("gptq", "awq", "auto_round", "q4_0")}


def test_nibbles_are_read_from_the_lowest_bits() -> None:
    words = torch.tensor([[0x76543210, -1]], dtype=torch.int32)
    assert split_nibbles(words).tolist() == [[0, 1, 2, 3, 4, 5, 6, 7, *[15] * 8]]
    assert torch.equal(join_nibbles(split_nibbles(words), torch.int32), words)


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("faults")
    write_repository(folder)
    return folder


@pytest.fixture(scope="module")
def ran(repository: Path) -> Ran:
    return run_pytest(repository, "bench/faults.toml", "-v", "-k", "behaviour", "-p", "no:xdist")


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.variant)
def test_the_kl_budget_fails_broken_files_alone(ran: Ran, case: Case) -> None:
    behaviour = ran.find_variant("faults", case.variant)["behaviour"]
    if case.fault is None:
        assert behaviour["verdict"] != "FAIL", behaviour["message"]
        assert behaviour["fault_location"] is None
        return
    assert behaviour["verdict"] == "FAIL", behaviour["message"]
    location = behaviour["fault_location"]
    assert (location["worst"], location["stands_out"]) == (NAMED, case.variant not in WEAK)
    assert describe_fault(case) in behaviour["message"]


def describe_fault(case: Case) -> str:
    return f"no block stands out: {NAMED} has" if case.variant in WEAK else f"the fault is in {NAMED}"


@pytest.mark.slow
def test_the_report_names_the_block_of_every_broken_variant(ran: Ran) -> None:
    report = (ran.folder / "reports/latest/faults/report.md").read_text("utf-8")
    for case in CASES:
        assert (f"**{case.variant}**: {describe_fault(case)}" in report) == (case.fault is not None)


@pytest.mark.slow
def test_the_table_has_a_row_for_each_case(ran: Ran) -> None:
    rows = format_table(ran.record("faults")).splitlines()[2:]
    assert len(rows) == len(CASES)
    assert sum(f"`{NAMED}`" in row for row in rows) == sum(case.fault is not None for case in CASES)


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMATS)
def test_a_matrix_transposed_twice_is_the_files_first_content(
    repository: Path, form: str, tmp_path: Path
) -> None:
    intact = repository / "quantized" / form
    folder = shutil.copytree(intact, tmp_path / form)
    [weights] = [file for file in folder.iterdir() if file.suffix in (".gguf", ".safetensors")]
    plant_fault(folder, form, "transposed", block=0)
    assert weights.read_bytes() != (intact / weights.name).read_bytes()
    plant_fault(folder, form, "transposed", block=0)
    assert _tensors(weights) == _tensors(intact / weights.name)


def _tensors(file: Path) -> dict[str, bytes]:
    from gguf import GGUFReader
    from safetensors.torch import load_file

    if file.suffix == ".gguf":
        return {tensor.name: tensor.data.tobytes() for tensor in GGUFReader(file).tensors}
    return {
        name: tensor.contiguous().view(torch.uint8).numpy().tobytes()
        for name, tensor in load_file(file).items()
    }
