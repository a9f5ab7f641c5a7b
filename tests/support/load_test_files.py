"""Load tests as `vllm bench serve --save-result --save-detailed` writes them.

Written by hand from the keys in vllm/benchmarks/serve.py, because vLLM cannot be installed together with
slimgate.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np


def make_vllm_result(
    draws: np.random.Generator,
    *,
    slower: float = 1.0,
    requests: int = 200,
    failed: int = 0,
    tokens: int = 5,
    prompt: int = 20,
    concurrency: int | None = 8,
    rate: float | str = "inf",
    model: str = "m",
) -> dict[str, Any]:
    """Requests of 20 ms to the first token and 10 ms to each later one, with noise of 20 %."""
    noise = np.exp(0.2 * draws.standard_normal(requests)) * slower
    ttfts = [0.02 * factor for factor in noise]
    itls = [[0.01 * factor] * (tokens - 1) for factor in noise]
    errors = [""] * requests
    for at in range(failed):
        place = at * requests // failed
        ttfts[place], itls[place], errors[place] = 0.0, [], "Traceback: Internal Server Error"
    latencies = [ttft + sum(itl) for ttft, itl in zip(ttfts, itls, strict=True)]
    duration = float(sum(latencies)) / (concurrency or requests)
    good = requests - failed
    return {
        "date": "20261120-101500",
        "endpoint_type": "vllm",
        "backend": "vllm",
        "label": None,
        "model_id": model,
        "tokenizer_id": model,
        "num_prompts": requests,
        "request_rate": rate,
        "burstiness": 1.0,
        "max_concurrency": concurrency,
        "duration": duration,
        "completed": good,
        "failed": failed,
        "total_input_tokens": prompt * good,
        "total_output_tokens": tokens * good,
        "request_throughput": good / duration,
        "request_goodput": None,
        "output_throughput": tokens * good / duration,
        "total_token_throughput": (prompt + tokens) * good / duration,
        "input_lens": [prompt] * requests,
        "output_lens": [0 if error else tokens for error in errors],
        "ttfts": ttfts,
        "itls": itls,
        "latencies": latencies,
        "start_times": [0.001 * at for at in range(requests)],
        "generated_texts": ["" if error else "a b c d e" for error in errors],
        "errors": errors,
        "mean_ttft_ms": 1000 * float(np.mean(ttfts)),
    }


def write_vllm(path: Path, seed: int = 0, **options: Any) -> Path:
    """Writes one result. options: of `make_vllm_result`."""
    path.write_text(json.dumps(make_vllm_result(np.random.default_rng(seed), **options)), "utf-8")
    return path
