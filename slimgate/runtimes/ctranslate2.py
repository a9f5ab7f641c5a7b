"""CTranslate2: a C++ runtime that writes the answers of encoder-decoders and decoders, often in int8.

    runtime = { name = "ctranslate2" }

The runtime runs the artifacts of to_ctranslate2 in the number type of their weights. Answers are greedy. A
decoder also computes the scores of complete texts, so it serves every task of causal language models. Prompts
of one length are answered together. An encoder-decoder only writes text, so it serves text_to_text.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from slimgate.models.ctranslate2_model import KIND, CTranslate2Model, copy_for_export, load_ctranslate2_model
from slimgate.plugins.context import BuildContext
from slimgate.plugins.params import Table
from slimgate.plugins.runtime import Form, Runtime
from slimgate.runtimes._ctranslate2 import CTranslate2Predictor
from slimgate.runtimes._ctranslate2_predictors import GeneratorPredictor, TranslatorPredictor


class Params(Table):
    """runtime = { name = "ctranslate2" } has no options."""


TRANSLATOR = Form(
    name=KIND,
    package="ctranslate2",
    imports="import ctranslate2\nfrom transformers import AutoTokenizer\n",
    load='translator = ctranslate2.Translator(".")',
    predict='ids = tokenizer(texts, truncation=True)["input_ids"]\n'
    "tokens = [tokenizer.convert_ids_to_tokens(text_ids) for text_ids in ids]\n"
    "results = translator.translate_batch(\n"
    "    tokens, beam_size=1, max_input_length=0, max_decoding_length=64{prefix}\n"
    ")",
    tail="written = [tokenizer.convert_tokens_to_ids(result.hypotheses[0]) for result in results]\n"
    "answers = [tokenizer.decode(ids, skip_special_tokens=True) for ids in written]\n"
    'print(*answers, sep="\\n")',
    own_config=True,
)
GENERATOR = replace(
    TRANSLATOR,
    imports="import json\nimport ctranslate2\nfrom transformers import AutoTokenizer\n",
    load='generator = ctranslate2.Generator(".")\nends = json.load(open("config.json"))["slimgate"]["ends"]',
    predict='ids = tokenizer(texts)["input_ids"]\n'
    "tokens = [tokenizer.convert_ids_to_tokens(text_ids) for text_ids in ids]\n"
    "results = generator.generate_batch(\n"
    "    tokens, max_length=64, end_token=ends, include_prompt_in_result=False\n"
    ")",
    tail="written = [result.sequences_ids[0] for result in results]\n"
    "answers = [tokenizer.decode(ids, skip_special_tokens=True) for ids in written]\n"
    'print(*answers, sep="\\n")',
)


class CTranslate2(Runtime[Params]):
    kinds = frozenset({KIND})
    default_for = kinds
    packages = ("ctranslate2",)
    times_writing = True
    form = replace(TRANSLATOR, of_decoders=GENERATOR)

    def copy(self, artifact: Path, folder: Path) -> None:
        """Copies CTranslate2's files to the top of the folder, where the library looks for them."""
        copy_for_export(artifact, folder)

    def load(self, folder: Path, params: Params, *, device: str, threads: int) -> CTranslate2Predictor:
        """A predictor for the artifact, on `threads` threads."""
        return _open_predictor(load_ctranslate2_model(folder), device=device, threads=threads)

    def load_model(self, folder: Path, device: str) -> CTranslate2Model:
        """The CTranslate2Model of a folder."""
        return load_ctranslate2_model(folder)

    def open_model(self, model: CTranslate2Model, context: BuildContext) -> CTranslate2Predictor:
        """A predictor for a CTranslate2Model that a step has made."""
        return _open_predictor(model, device=context.device, threads=context.threads)


def _open_predictor(model: CTranslate2Model, *, device: str, threads: int) -> CTranslate2Predictor:
    predictor = GeneratorPredictor if model.answers.decoder else TranslatorPredictor
    return predictor(model, device=device, threads=threads)


runtime = CTranslate2()
