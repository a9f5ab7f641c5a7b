"""A separate process that makes a model of ONNX Runtime GenAI, with that package's builder.

    python -P -m slimgate.steps.convert._to_onnx_genai_worker FOLDER

reads FOLDER/request.json (the options of the step) and FOLDER/model as transformers saves it. It writes
FOLDER/written. The builder puts modules of common names, such as `builders`, on the search path, and prints.
"""

from __future__ import annotations

from pathlib import Path

from slimgate._system.worker import answer_request
from slimgate.plugins.base import Json

MODEL, WRITTEN, CACHE = "model", "written", "cache"
# The builder's names of types that a product rounds its input to, and of no rounding.
ACCURACY_LEVELS = {"int8": 4, "float32": 1}


def convert(folder: Path, options: Json) -> None:
    """Writes the graph, its weights and genai_config.json."""
    from onnxruntime_genai.models.builder import create_model, parse_extra_options

    model, written, cache = (str(folder / name) for name in (MODEL, WRITTEN, CACHE))
    arguments = (None, model, written, options["precision"], "cpu", cache)
    create_model(*arguments, **parse_extra_options(*arguments, make_builder_options(options)))


def make_builder_options(options: Json) -> list[str]:
    """The options as KEY=VALUE for the builder's command line. options: of the step."""
    arguments = ["hf_token=false"]
    if options["precision"] != "fp32":
        level = ACCURACY_LEVELS[options["activations"]]
        arguments += [
            f"block_size={options['block_size']}",
            f"algo_config={options['method']}",
            f"accuracy_level={level}",
        ]
    return arguments


if __name__ == "__main__":
    answer_request(convert)
