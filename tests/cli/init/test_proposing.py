"""Blocks that stay, windows and budgets that rows can decide."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from slimgate.cli.init import proposing
from slimgate.cli.init.models import ModelSettings, count_tokens
from slimgate.cli.init.proposing import (
    choose_blocks,
    choose_budgets,
    choose_int4_steps,
    choose_max_tokens,
    choose_split_sizes,
    list_onnx_int8_steps,
)
from slimgate.judge.rows_needed import count_planned_rows


@pytest.mark.parametrize(
    ("blocks", "expected"),
    [(None, None), (1, None), (2, [0]), (3, [0]), (4, [0, 3]), (6, [0, 2, 5]), (12, [0, 2, 4, 7, 9, 11])],
)
def test_half_of_the_blocks_stay_with_the_first_and_the_last(
    blocks: int | None, expected: list[int] | None
) -> None:
    assert choose_blocks(blocks) == expected


@pytest.mark.parametrize(("rows", "common", "tight"), [(4000, 2, 1), (1600, 3, 2), (800, 5, 2), (130, 10, 5)])
def test_a_budget_is_the_tightest_that_the_rows_decide(rows: int, common: float, tight: float) -> None:
    budgets = choose_budgets("accuracy", (1,) * rows)
    assert (budgets.common, budgets.of_int8) == ({"drop_points": common}, {"drop_points": tight})
    assert budgets.decidable
    assert count_planned_rows(common / 100, discordance=0.12) <= 1.1 * rows


@pytest.mark.parametrize(
    ("rows", "common", "tight"),
    [
        (10_000, {}, {}),
        (1200, {}, {"above_cap_max": 0.005}),
        (400, {"above_cap_max": 0.02}, {"above_cap_max": 0.02}),
    ],
)
def test_a_perplexity_gets_a_share_that_rows_can_exclude(
    rows: int, common: dict[str, float], tight: dict[str, float]
) -> None:
    """Twice log 0.05 / log(1 - share): 500 for ln(1.1) / 8, 1,620 for ln(1.03) / 8, 1,196 for 0.5 %."""
    budgets = choose_budgets("perplexity", (1,) * rows)
    assert budgets.common == {"increase_relative": 0.1, **common}
    assert budgets.of_int8 == {"increase_relative": 0.03, **tight}
    assert choose_budgets("perplexity", (1,) * 20).common == {"increase_relative": 0.1}


def test_rows_in_few_groups_get_wider_budgets() -> None:
    assert choose_budgets("accuracy", (40,) * 100).of_int8 == {"drop_points": 5.0}


def test_too_few_rows_for_any_budget_are_known_to_be() -> None:
    assert not choose_budgets("accuracy", (1,) * 5).decidable
    assert not choose_budgets("pearson", (1,) * 100_000).decidable  # no plan can tell before a run


def test_one_file_is_split_and_a_gate_of_its_own_stays_whole() -> None:
    small = choose_split_sizes({"all": 1000})
    assert small == {"train": "rest", "calibration": 50, "selection": 100, "gate": 400}
    assert choose_split_sizes({"train": 1000, "gate": 300})["gate"] == "rest"
    named = choose_split_sizes(
        {"train": 1000, "calibration": 600, "selection": 90, "gate": 300, "confirm": 7}
    )
    assert named == {
        "train": "rest",
        "calibration": 512,
        "selection": "rest",
        "gate": "rest",
        "confirm": "rest",
    }
    large = choose_split_sizes({"all": 1_000_000})
    assert large == {"train": 20_000, "calibration": 512, "selection": 1000, "gate": 6000}


def test_the_window_fits_nearly_all_rows_and_the_model() -> None:
    assert choose_max_tokens([10] * 99 + [500], 512) == 16
    assert choose_max_tokens([100] * 10, 512) == 128
    assert choose_max_tokens([100] * 10, 64) == 64


@pytest.mark.parametrize("instructions", [["avx2"], ["avx2", "avx512_vnni"]])
def test_int8_keeps_its_sums_exact_on_a_processor_without_vnni(
    instructions: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proposing, "list_cpu_instructions", lambda: instructions)
    model = ModelSettings("model", Path("model"), {"model_type": "bert"}, fresh=False)
    options = list_onnx_int8_steps(model)[-1]["onnx_int8_static"]
    assert options.get("reduce_range", False) is (instructions == ["avx2"])


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"hidden_size": 4096}, 128),
        ({"hidden_size": 576}, 64),
        ({"n_embd": 32}, 32),
        ({}, 128),
    ],
    ids=["llama", "576", "tiny", "unknown-width"],
)
def test_a_decoder_gets_4_bits_in_groups_that_divide_it(config: dict[str, int], expected: int) -> None:
    model = ModelSettings("m", Path("m"), {"architectures": ["LlamaForCausalLM"], **config}, fresh=False)
    assert choose_int4_steps(model) == [{"gptq": {"bits": 4, "group_size": expected}}]


def test_an_encoder_gets_no_4_bits() -> None:
    config = {"architectures": ["BertForSequenceClassification"], "hidden_size": 384}
    assert choose_int4_steps(ModelSettings("m", Path("m"), config, fresh=False)) == []


def test_rows_whose_tokens_are_counted_are_spread_over_the_file() -> None:
    """A file may be sorted: here the long texts are last."""
    model = ModelSettings("model", Path("model"), {"model_type": "bert"}, fresh=True)
    table = pa.table({"text": ["short"] * 3000 + ["long " * 100] * 999})
    counts = count_tokens(model, table, ("text",)).counts
    assert len(counts) == 2000
    assert sum(count > 100 for count in counts) == pytest.approx(2000 * 999 / 3999, abs=2)
