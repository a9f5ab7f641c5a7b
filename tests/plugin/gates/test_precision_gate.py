"""The budget on the share of quantized weights: counted in the files, whatever their configuration claims."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support.tiny_suite import CAUSAL, make_run, write_tiny_rows

from fixtures.models.quantized import WRITERS, write_tiny_llama
from slimgate.errors import SuiteError
from slimgate.plugin.gates.figures import test_size as size_gate
from slimgate.record.build import WeightFacts
from slimgate.results.checks import TEACHER
from slimgate.results.figures import SizeFacts
from slimgate.run.gate_results import GateResult, list_budgeted_checks
from slimgate.run.run import SuiteRun

pytest.importorskip("torch")

MODELS = """\
[teacher]
model = "llama"
[variants.w4]
model = "w4"
[variants.claims]
model = "claims"
[variants.packed]
steps = [{ weight_only = { group_size = 16 } }]
[variants.mixed]
steps = [{ weight_only = { bits = 3, group_size = 16, embeddings = 8 } }]
[budgets]
size = { quantized_share_min = 0.95 }
"""
SUITE = CAUSAL + MODELS
OFF = 'size = { quantized_share_min = "off", reason = "kind torch_aoti" }'
GROUP = {"targets": ["re:.*qkv_proj$"], "weights": {"num_bits": 4, "group_size": 32, "type": "int"}}
CLAIM = {
    "quant_method": "compressed-tensors",
    "format": "pack-quantized",
    "config_groups": {"group_0": GROUP},
    "ignore": ["lm_head"],
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("precision")
    source = write_tiny_llama(path / "llama", dtype="float32")
    WRITERS["compressed_tensors_w4a16"](source, path / "w4")
    config = write_tiny_llama(path / "claims", dtype="float32") / "config.json"
    stated = {**json.loads(config.read_text("utf-8")), "quantization_config": CLAIM}
    config.write_text(json.dumps(stated), "utf-8")
    write_tiny_rows(path)
    return path


def run_of(folder: Path, more: str = "") -> SuiteRun:
    return make_run(folder, SUITE + more)


def judge(run: SuiteRun, name: str) -> tuple[SizeFacts, WeightFacts]:
    """The facts of a model's size, with those of its weights; raises where the gate fails."""
    parts: list[GateResult] = []
    try:
        size_gate(run.suite, run.make_handle(TEACHER), run.make_handle(name), parts.append)
    finally:
        by_kind: dict[str, Any] = {part.kind: part.facts for part in parts if part.variant == name}
        run.facts = by_kind["size"], by_kind["build"].artifact.weights  # type: ignore[attr-defined]
    return run.facts  # type: ignore[attr-defined, no-any-return]


@pytest.mark.slow
def test_floats_that_claim_four_bits_fail(folder: Path) -> None:
    run = run_of(folder)
    line = (
        r"^claims: size .* smaller; 0\.0 % of the weights of its blocks have fewer than 16 bits "
        r"\(claimed: compressed-tensors \(pack-quantized\), W4A16\), budget 95 %: FAIL$"
    )
    with pytest.raises(pytest.fail.Exception, match=line):
        judge(run, "claims")
    facts, weights = run.facts  # type: ignore[attr-defined]
    assert [(budget.kind, budget.value) for budget in facts.budgets] == [("quantized_share_min", 0)]
    assert facts.verdict == "FAIL"
    assert weights.counts["mlp"].keys() == {"float32"}
    assert weights.unmatched == ["re:.*qkv_proj$"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "blocks", "table"),
    [("w4", "int4", "float32"), ("packed", "int4", "float32"), ("mixed", "int3", "int8")],
)
def test_packed_weights_pass(folder: Path, name: str, blocks: str, table: str) -> None:
    """Of a released folder, and of the layers that steps put in."""
    facts, weights = judge(run_of(folder), name)
    assert facts.verdict == "PASS"
    assert "100.0 % of the weights of its blocks have fewer than 16 bits" in facts.message
    assert {kind: dict(weights.counts[kind]) for kind in ("embeddings", "attention", "mlp")} == {
        "embeddings": {table: 2048},
        "attention": {blocks: 24576},
        "mlp": {blocks: 49152},
    }
    assert (weights.quantized_share, weights.unmatched) == (1.0, [])


@pytest.mark.slow
def test_both_budgets_of_the_table_are_judged(folder: Path) -> None:
    run = run_of(folder, "[budgets.variants.packed]\nsize = { compression_min = 50 }\n")
    with pytest.raises(pytest.fail.Exception, match=r"budget 50×: FAIL; 100\.0 % .* budget 95 %: PASS$"):
        judge(run, "packed")
    facts, _ = run.facts  # type: ignore[attr-defined]
    assert [budget.verdict for budget in facts.budgets] == ["FAIL", "PASS"]
    assert [judged for judged, _ in list_budgeted_checks(run.suite, "w4")] == ["size"]


def test_files_without_a_precision_are_refused_early(folder: Path) -> None:
    graph = "[variants.graph]\nsteps = [{ to_aoti = {} }]\n"
    with pytest.raises(SuiteError) as raised:
        run_of(folder, graph)
    assert str(raised.value) == (
        "suite.toml [budgets.size]: graph is an artifact of kind torch_aoti, whose precision is not read; "
        f"switch the budget off: [budgets.variants.graph] {OFF}"
    )
    assert (
        run_of(folder, f"{graph}[budgets.variants.graph]\n{OFF}\n").suite.budgets["graph"].quantized is None
    )
