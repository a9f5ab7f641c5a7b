"""KL budgets on a tiny Llama as a user runs it: verdicts, the store, the block of a planted fault."""

from __future__ import annotations

from pathlib import Path

import pytest
from pyarrow import csv
from support.user_repository import Ran, run_pytest

from fixtures.models.architectures import write_tiny
from fixtures.models.word_chains import draw_sentences

pytestmark = pytest.mark.slow

FAULTS = '''
"""Faults of a quantization, each in block 2."""


def wrong_scale(model, context):
    model.network.model.layers[2].self_attn.o_proj.weight.data *= 8


def zero_point_off_by_one(model, context):
    """By one level of a grid of two bits, in every layer of the block."""
    for layer in model.network.model.layers[2].modules():
        if hasattr(layer, "in_features"):
            layer.weight.data += layer.weight.data.abs().amax(1, keepdim=True)


def transposed(model, context):
    for layer in model.network.model.layers[2].modules():
        if hasattr(layer, "in_features") and layer.in_features == layer.out_features:
            layer.weight.data = layer.weight.data.T.contiguous()
'''
PLANTED = ("wrong_scale", "zero_point_off_by_one", "transposed")
SUITE = """\
[suite]
title = "which word comes next"
threads = 1

[task]
kind = "causal_lm"
source = { name = "files", path = "rows.csv", real = false }
text = ["text"]
max_tokens = 16
splits = { train = 200, calibration = 16, selection = 20, gate = 400 }

[teacher]
model = "../model"
steps = [{ fine_tune = { epochs = 3, learning_rate = 5e-3, batch_size = 16 } }]

[variants]
int8 = { steps = [{ int8_dynamic = {} }] }
undecided = { steps = [{ int8_dynamic = {} }] }
wrong_scale = { steps = [{ "faults:wrong_scale" = {} }] }
zero_point_off_by_one = { steps = [{ "faults:zero_point_off_by_one" = {} }] }
transposed = { steps = [{ "faults:transposed" = {} }] }

[budgets]
kl = { mean_max = 0.02, above_cap_max = 0.02, p99_max = 0.5 }
top1_agreement = { floor = 0.9 }

[budgets.variants.undecided]
kl = { p999_max = 0.5, on_inconclusive = "warn" }

[measure]
metrics = ["perplexity"]
workloads = [{ batch = 1 }]
"""


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("kl")
    (folder / "bench").mkdir()
    (folder / "pytest.ini").write_text("[pytest]\npythonpath = .\n")
    (folder / "faults.py").write_text(FAULTS)
    (folder / "bench/kl.toml").write_text(SUITE)
    csv.write_csv(draw_sentences(640), folder / "bench/rows.csv")
    # of weights so large that every block matters
    shape = {"num_hidden_layers": 4, "intermediate_size": 32, "initializer_range": 0.2}
    write_tiny(folder / "model", "llama", causal=True, **shape)
    return folder


@pytest.fixture(scope="module")
def ran(repository: Path) -> Ran:
    return run_pytest(repository, "bench/kl.toml", "-v", "-k", "behaviour", "-p", "no:xdist")


def test_int8_passes_and_says_what_was_measured(ran: Ran) -> None:
    behaviour = ran.find_variant("kl", "int8")["behaviour"]
    assert {budget["kind"]: budget["verdict"] for budget in behaviour["budgets"]} == {
        "mean_max": "PASS",
        "p99_max": "PASS",
        "floor": "PASS",
    }, behaviour["message"]
    kl = behaviour["kl"]
    assert 0 < kl["median"] < kl["mean"] < kl["p99"] <= kl["p999"] <= kl["maximum"]
    assert kl["mean_interval"][0] <= kl["mean"] <= kl["mean_interval"][1] < 0.02
    assert kl["documents"] == 400
    assert kl["rest"] == 0  # the whole vocabulary is kept
    assert behaviour["kl_to_teacher"] == kl["mean"]
    assert behaviour["agreement"] == kl["same_top1"]
    assert behaviour["fault_location"] is None
    low, high = kl["log_perplexity_ratio_interval"]
    assert low <= kl["log_perplexity_ratio"] <= high


def test_400_documents_do_not_decide_the_largest_thousandth(ran: Ran) -> None:
    behaviour = ran.find_variant("kl", "undecided")["behaviour"]
    by_kind = {budget["kind"]: budget for budget in behaviour["budgets"]}
    assert set(by_kind) == {"mean_max", "p99_max", "p999_max", "floor"}
    assert by_kind["p999_max"]["verdict"] == "INCONCLUSIVE"
    assert by_kind["p999_max"]["n_needed"] > 2000
    assert ran.find_outcome("bench/kl.toml::test_behaviour[undecided]") == "PASSED"


@pytest.mark.parametrize("fault", PLANTED)
def test_a_planted_fault_fails_and_its_block_is_named(ran: Ran, fault: str) -> None:
    behaviour = ran.find_variant("kl", fault)["behaviour"]
    assert behaviour["verdict"] == "FAIL", behaviour["message"]
    assert ran.find_outcome(f"bench/kl.toml::test_behaviour[{fault}]") == "FAILED"
    location = behaviour["fault_location"]
    assert (location["worst"], location["stands_out"]) == ("model.layers.2", True)
    assert "model.layers.2" in behaviour["message"]


def test_the_report_has_the_table_and_the_block(ran: Ran) -> None:
    folder = ran.folder / "reports/latest/kl"
    for page in (folder / "report.md", folder / "report.html"):
        text = page.read_text("utf-8")
        assert "KL to the teacher" in text
        assert "model.layers.2" in text


def test_the_teacher_answers_once_for_all_variants_and_runs(ran: Ran, repository: Path) -> None:
    assert ran.out
    files = sorted((repository / ".slimgate/teacher_tokens").iterdir())
    assert len(files) == 1
    measured = {file.name: file.stat().st_mtime for file in (repository / ".slimgate/token_kl").iterdir()}
    assert len(measured) == 4  # two variants are the same model
    run_pytest(repository, "bench/kl.toml", "-k", "behaviour and int8", "-p", "no:xdist")
    after = {file.name: file.stat().st_mtime for file in (repository / ".slimgate/token_kl").iterdir()}
    assert set(after) == set(measured)
