"""`slimgate steps`, as a user runs it."""

from __future__ import annotations

import subprocess
import sys

import pytest

from slimgate.cli.main import main
from slimgate.plugins.loading import list_known_plugins

pytestmark = pytest.mark.slow


def test_every_step_has_a_line_that_says_what_it_does(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["steps"]) == 0
    lines = capsys.readouterr().out.splitlines()[2:]
    assert [line.split()[0] for line in lines] == list(list_known_plugins("step"))
    assert all(len(line.split()) > 3 and line.endswith(".") for line in lines)


def test_one_step_is_reported_with_its_options(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["steps", "magnitude_prune"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("Sets the smallest weights")
    [sparsity] = [line.split() for line in printed.splitlines() if line.startswith("sparsity ")]
    assert " ".join(sparsity).startswith(
        "sparsity number, > 0, < 1 required Share of the weights in the blocks' linear layers"
    )
    [scope] = [line for line in printed.splitlines() if line.startswith("scope ")]
    assert '"global" | "layer"' in scope
    assert '"row"  "global"   Which weights' in scope
    assert "promises             sparser" in printed


@pytest.mark.parametrize("name", list_known_plugins("step"))
def test_every_step_can_be_described(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["steps", name]) == 0
    assert "starts from" in capsys.readouterr().out


def test_the_options_of_inner_tables_are_reported_once(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["steps", "mixed_precision"]) == 0
    printed = capsys.readouterr().out
    assert printed.count("narrow.gptq = { … }\nwide.gptq = { … }\n\noption ") == 1
    assert printed.count("\ndamping ") == 1


def test_of_a_step_that_applies_others_they_say_what_it_reads(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["steps", "in_tower"]) == 0
    printed = capsys.readouterr().out
    assert "this depends on its options" in printed
    assert "no rows" not in printed


@pytest.mark.parametrize(
    ("name", "reads"),
    [
        ("openvino_int8", "calibration; its options add others"),
        ("distill", "train, selection; its options add others"),
        ("gptq", "calibration"),
    ],
)
def test_splits_that_options_add_are_reported(
    capsys: pytest.CaptureFixture[str], name: str, reads: str
) -> None:
    assert main(["steps", name]) == 0
    [line] = [line for line in capsys.readouterr().out.splitlines() if line.startswith("reads ")]
    assert line.removeprefix("reads").strip() == reads


def test_a_step_of_a_users_own_is_reported_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["steps", "fixtures.own.step:round_weights"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("Rounds every weight to `digits` decimal places.\n\noption ")
    assert "digits" in printed


def test_an_unknown_name_is_exit_code_4_with_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["steps", "magnitude_prun"]) == 4
    assert "Did you mean magnitude_prune?" in capsys.readouterr().err


def test_listing_loads_no_torch() -> None:
    code = (
        "import sys; from slimgate.cli.main import main; sys.exit(main(['steps']) or 'torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0
