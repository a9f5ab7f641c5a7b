"""The models of bench/endpoints.toml: they load, end their answers, and learn no gate row."""

from __future__ import annotations

import json
from pathlib import Path

from transformers import AutoModelForCausalLM, AutoTokenizer

from fixtures.models.served_sums import BLOCKS, write_served_sums


def test_both_models_load_and_no_gate_row_is_learnt(tmp_path: Path) -> None:
    write_served_sums(tmp_path, epochs=1, train_rows=256)
    rows = {
        name: [json.loads(line) for line in (tmp_path / f"{name}.jsonl").read_text().splitlines()]
        for name in ("train", "gate")
    }
    assert not {row["prompt"] for row in rows["train"]} & {row["prompt"] for row in rows["gate"]}
    for name, blocks in BLOCKS.items():
        model = AutoModelForCausalLM.from_pretrained(tmp_path / name)
        tokenizer = AutoTokenizer.from_pretrained(tmp_path / name)
        assert model.config.num_hidden_layers == blocks
        assert model.generation_config.eos_token_id == tokenizer.eos_token_id
