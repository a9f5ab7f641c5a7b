"""Writes logs as lm-evaluation-harness does, samples and results, from the scores of a test."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

TIME = "2026-01-02T03-04-05.000000"


def write_lm_eval(
    folder: Path,
    tasks: Mapping[str, Sequence[float | None]],
    *,
    metric: str = "acc",
    prompt: str = "Question {id}?",
    results: Mapping[str, Any] | None = None,
    rows: Mapping[str, Any] | None = None,
    time: str = TIME,
) -> Path:
    """Writes the logs of some tasks into a folder, and returns the folder.

    tasks: name -> the score of each document. prompt: {id} becomes the number of the document. results, rows:
    entries that replace those of the results, and of each sample.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for task, scores in tasks.items():
        lines = [
            json.dumps({**_make_row(number, score, metric, prompt), **(rows or {})})
            for number, score in enumerate(scores)
        ]
        (folder / f"samples_{task}_{time}.jsonl").write_text("".join(f"{line}\n" for line in lines), "utf-8")
    content = {
        "higher_is_better": {task: {metric: True} for task in tasks},
        "n-shot": dict.fromkeys(tasks, 0),
        "n-samples": {task: {"original": 9999, "effective": len(scores)} for task, scores in tasks.items()},
        "versions": dict.fromkeys(tasks, 1.0),
        "configs": {task: {"generation_kwargs": None, "filter_list": None} for task in tasks},
        "config": {"model": "hf", "gen_kwargs": {}, "fewshot_seed": 1234},
        "chat_template_sha": None,
        "model_name": folder.name,
        **(results or {}),
    }
    (folder / f"results_{time}.json").write_text(json.dumps(content), "utf-8")
    return folder


def write_lm_eval_pair(
    folder: Path, base: Sequence[float], target: Sequence[float], **more: Any
) -> tuple[Path, Path]:
    """Writes logs of gsm8k into base/ and target/. more: options of write_lm_eval for the target."""
    return (
        write_lm_eval(folder / "base", {"gsm8k": base}),
        write_lm_eval(folder / "target", {"gsm8k": target}, **more),
    )


def draw_scores(seed: int, *, wrong: float) -> list[float]:
    """400 scores of 0 or 1. wrong: the share of 0 to expect."""
    return (np.random.default_rng(seed).random(400) >= wrong).astype(float).tolist()


def lose_answers(scores: Sequence[float], count: int) -> list[float]:
    """The scores; the first `count` right answers are wrong."""
    worse = list(scores)
    right = [number for number, score in enumerate(scores) if score]
    for number in right[:count]:
        worse[number] = 0.0
    return worse


def _make_row(number: int, score: float | None, metric: str, prompt: str) -> dict[str, Any]:
    text = prompt.format(id=number)
    return {
        "doc_id": number,
        "doc": {"question": f"Question {number}?"},
        "target": "yes",
        "arguments": {"gen_args_0": {"arg_0": text, "arg_1": {"until": ["\n"]}}},
        "resps": [["yes" if score else "no"]],
        "filtered_resps": ["yes" if score else "no"],
        "filter": "none",
        "metrics": [metric],
        "doc_hash": _hash_text(f"doc {number}"),
        "prompt_hash": _hash_text(text),
        "target_hash": _hash_text("yes"),
        metric: score,
    }


def _hash_text(text: str) -> str:
    return sha256(text.encode()).hexdigest()
