"""The cost of `slimgate judge` for logs of a size: CPU seconds of its process, and its peak memory.

A log of lm-eval is a line of JSON for each sample, with its document, prompt and answer. Prediction files are
those of `big_predictions`.
"""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from tools.measuring.big_predictions import MEBIBYTE, RIGHT, judge, write_predictions
from tools.measuring.child_memory import ChildCost

TIME = "2026-01-02T03-04-05.000000"
TASK = "made_up"
Seconds = dict[str, float]


def measure_prediction_files(rows: int) -> Seconds:
    """Judges two csv files with id, label, prediction and three probabilities."""
    with TemporaryDirectory() as scratch:
        teacher, variant = (write_predictions(Path(scratch, f"{model}.csv"), model, rows) for model in RIGHT)
        return _read_figures(judge(teacher, variant, "--metric", "accuracy", "--drop-points", "1", "--json"))


def measure_lm_eval_logs(samples: int) -> Seconds:
    """Judges two folders of lm-eval with samples of one task."""
    with TemporaryDirectory() as scratch:
        base, target = (write_log(Path(scratch, model), model, samples) for model in RIGHT)
        return _read_figures(judge(base, target, "--metric", "acc", "--drop-points", "1", "--json"))


def write_log(folder: Path, model: str, samples: int) -> Path:
    """Writes the samples and the results of one run, a line at a time."""
    folder.mkdir()
    right = np.random.default_rng(list(RIGHT).index(model)).random(samples) < RIGHT[model]
    with (folder / f"samples_{TASK}_{TIME}.jsonl").open("w", encoding="utf-8") as file:
        for place, is_right in enumerate(right.tolist()):
            file.write(json.dumps(_make_sample(place, is_right=is_right)) + "\n")
    results = {
        "results": {TASK: {"alias": TASK, "acc,none": float(right.mean())}},
        "higher_is_better": {TASK: {"acc": True}},
        "n-shot": {TASK: 0},
        "n-samples": {TASK: {"original": samples, "effective": samples}},
        "versions": {TASK: 1.0},
        "configs": {TASK: {"generation_kwargs": None, "filter_list": None}},
        "config": {"model": "hf", "gen_kwargs": {}, "fewshot_seed": 1234},
        "chat_template_sha": None,
        "model_name": model,
    }
    (folder / f"results_{TIME}.json").write_text(json.dumps(results), "utf-8")
    return folder


def _make_sample(place: int, *, is_right: bool) -> dict[str, Any]:
    prompt = f"Question {place}: is the number {place * 7919} even or odd? Answer with one word."
    return {
        "doc_id": place,
        "doc": {"question": prompt},
        "target": "odd",
        "arguments": {"gen_args_0": {"arg_0": prompt, "arg_1": {"until": ["\n"]}}},
        "resps": [["odd" if is_right else "even"]],
        "filtered_resps": ["odd" if is_right else "even"],
        "filter": "none",
        "metrics": ["acc"],
        "doc_hash": sha256(f"doc {place}".encode()).hexdigest(),
        "prompt_hash": sha256(prompt.encode()).hexdigest(),
        "target_hash": sha256(b"odd").hexdigest(),
        "acc": float(is_right),
    }


def _read_figures(judged: ChildCost) -> Seconds:
    """Raises RuntimeError if the judge gave no verdict."""
    if judged.code not in (0, 1):
        raise RuntimeError(f"slimgate judge ended with exit code {judged.code}: {judged.output[-500:]}")
    return {"judge": judged.cpu_seconds, "peak MB": judged.peak_bytes / MEBIBYTE}
