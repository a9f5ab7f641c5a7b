"""Real vLLM as the server of a suite: it is started, asked, named in the record, and stopped.

vLLM has its own environment. `SLIMGATE_VLLM` names its program, such as `/opt/vllm/bin/vllm`;
docs/endpoints.md says how to install it for the CPU.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from support.user_repository import run_pytest

from fixtures.models.quantized import write_tiny_llama

PROGRAM = shutil.which(os.environ.get("SLIMGATE_VLLM", "vllm"))
SUITE = """\
[suite]
title = "one model on vLLM, twice"
threads = 1
[task]
kind = "text_generation"
source = {{ name = "files", path = "rows.jsonl", real = false }}
prompt = "prompt"
max_new_tokens = 8
splits = {{ train = 4, calibration = 0, selection = 4, gate = 60 }}
[teacher]
endpoint = {{ url = "http://localhost:{{port}}/v1", model = "tiny" }}
server = {{ command = {command}, ready_timeout = 240.0 }}
[variants.again]
endpoint = {{ url = "http://localhost:{{port}}/v1", model = "tiny" }}
server = {{ command = {command}, ready_timeout = 240.0 }}
[budgets]
same_answers = {{ floor = 0.8 }}
"""


@pytest.mark.slow
@pytest.mark.skipif(PROGRAM is None, reason="no vllm; SLIMGATE_VLLM names its program (docs/endpoints.md)")
def test_a_model_on_vllm_equals_itself(tmp_path: Path) -> None:
    model = write_tiny_llama(
        tmp_path / "model", dtype="float32", num_attention_heads=2, head_dim=32, max_position_embeddings=128
    )
    command = [
        *("env", "VLLM_TARGET_DEVICE=cpu", "VLLM_CPU_KVCACHE_SPACE=1", "VLLM_CPU_OMP_THREADS_BIND=nobind"),
        *("OMP_NUM_THREADS=1", "HF_HUB_OFFLINE=1", str(PROGRAM), "serve", str(model), "--port", "{port}"),
        *("--served-model-name", "tiny", "--enforce-eager", "--dtype", "float32", "--max-model-len", "96"),
    ]
    bench = tmp_path / "bench"
    bench.mkdir()
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    lines = (json.dumps({"prompt": f"a good film about number {row}"}) for row in range(80))
    (bench / "rows.jsonl").write_text("".join(f"{line}\n" for line in lines))
    (bench / "vllm.toml").write_text(SUITE.format(command=json.dumps(command)))

    ran = run_pytest(tmp_path, "bench/vllm.toml", "-v", "-k", "quality", "-p", "no:xdist")

    assert ran.code == 0, ran.out
    teacher, again = ran.record("vllm")["variants"]
    assert again["quality"]["same_answers"]["value"] == 1
    for server in (teacher, again):
        engine = server["artifact"]["server"]["engine"]
        assert (engine["server"], engine["context tokens"]) == ("vllm", 96)
        assert engine["version"]
