"""A separate process that rounds a model with auto-round and writes it in a layout.

    python -P -m slimgate.steps.quantize._auto_round_worker FOLDER

reads FOLDER/request.json (see Params.make_request), FOLDER/model as transformers saves it, and
FOLDER/sequences.npy, (sequences, tokens) int64. It writes FOLDER/written and FOLDER/answer.json.
"""

from __future__ import annotations

import gc
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from slimgate._system.worker import answer_request
from slimgate.models.llama_cpp_converter import load_converter
from slimgate.plugins.base import Json

MODEL, SEQUENCES, WRITTEN = "model", "sequences.npy", "written"
# auto-round's names of the layouts.
FORMATS = {
    "auto_round": "auto_round",
    "gptq": "auto_gptq",
    "awq": "auto_awq",
    "compressed_tensors": "llm_compressor",
}
GGUF = {"W4A16": "gguf:q4_0", "W8A16": "gguf:q8_0"}


def round_model(folder: Path, request: Json) -> Json:
    """Writes the folder's model; returns its entries for the log."""
    import torch
    from auto_round import AutoRound
    from transformers import AutoModelForCausalLM, AutoTokenizer

    torch.set_num_threads(request["threads"])
    # compressed-tensors unpacks MXFP4 to bfloat16, which float32 layers do not take
    half = request["scheme"] == "MXFP4" and request["layout"] == "compressed_tensors"
    dtype = torch.bfloat16 if half else "auto"
    model = AutoModelForCausalLM.from_pretrained(folder / MODEL, dtype=dtype, trust_remote_code=False)
    tokenizer = AutoTokenizer.from_pretrained(folder / MODEL, trust_remote_code=False)
    gc.freeze()  # auto-round collects garbage after each block, and would scan all imported objects
    sequences: Any = torch.from_numpy(np.load(folder / SEQUENCES, allow_pickle=False))
    rounding = AutoRound(
        model,
        tokenizer,
        scheme=request["scheme"],
        iters=request["iterations"],
        seqlen=sequences.shape[1],
        nsamples=len(sequences),
        batch_size=min(request["batch_size"], len(sequences)),
        dataset=list(sequences.split(1)),
        seed=request["seed"],
        device_map=request["device"],
        disable_model_free=True,
        **_make_grid_options(request),
    )
    layout = GGUF[request["scheme"]] if request["layout"] == "gguf" else FORMATS[request["layout"]]
    if request["layout"] == "gguf":
        load_converter()
    rounding.quantize_and_save(str(folder / "out"), format=layout)
    _collect(folder / "out", folder / WRITTEN)
    for file in (folder / MODEL).glob("*.json"):  # auto-round writes a GGUF file without them
        target = folder / WRITTEN / file.name
        if "index" not in file.name and not target.exists():
            shutil.copyfile(file, target)
    return {"auto_round_format": layout}


def _make_grid_options(request: Json) -> Json:
    """Options of integer levels; MXFP4 has them in its name."""
    if request["scheme"] == "MXFP4":
        return {}
    return {"group_size": request["group_size"], "sym": request["symmetric"]}


def _collect(out: Path, written: Path) -> None:
    """Moves the model's files to `written`: auto-round puts them into a folder named by model and scheme."""
    first = next(file for pattern in ("*.gguf", "config.json") for file in sorted(out.rglob(pattern)))
    shutil.move(first.parent, written)


if __name__ == "__main__":
    answer_request(round_model)
