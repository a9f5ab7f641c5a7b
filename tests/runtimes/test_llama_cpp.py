"""The runtime llama_cpp: scores, answers and vectors are those of the network that was written."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.versions import needs_llama_cpp

from fixtures.models.building import save_model
from fixtures.models.gguf_edits import copy_gguf
from fixtures.models.gguf_models import make_bert_encoder, make_byte_level_llama
from slimgate.errors import BuildError, MeasureError
from slimgate.models.gguf_model import check_tokens, open_gguf_model
from slimgate.models.llama_cpp_library import LlamaModel
from slimgate.models.write_answers import SamplingParams
from slimgate.plugins.models import NEW_TOKENS
from slimgate.runtimes import llama_cpp
from slimgate.steps.agreement import make_calibration_batches, make_default_predictor, score_batches
from slimgate.steps.convert import to_gguf

pytestmark = [pytest.mark.slow, needs_llama_cpp]
# In one operator, as by default, attention rounds keys and values to 16 bits.
EXACT = {"kv_cache": "f32", "flash_attention": "off"}


@dataclass
class Converted:
    """A network, and the folder of its GGUF file."""

    model: Any
    context: Any
    folder: Path

    def compute_scores(self, ids: Any) -> Any:
        """(rows, tokens, vocabulary) of the network."""
        with torch.inference_mode():
            return self.model.network.eval()(torch.from_numpy(ids)).logits.numpy()


def convert(model: Any, context: Any, folder: Path, **options: Any) -> Converted:
    variant = to_gguf.step.apply(model, to_gguf.Params(**options), context)
    save_model(variant, folder)
    return Converted(model, context, folder)


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Converted:
    path = tmp_path_factory.mktemp("llama")
    return convert(*make_byte_level_llama(path), path / "gguf", type="F32")


def open_(folder: Path, **options: Any) -> Any:
    return llama_cpp.runtime.load(folder, llama_cpp.Params(**options), device="cpu", threads=1)


def rows(count: int, tokens: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).integers(5, 250, (count, tokens))


def batch(ids: Any, new_tokens: int = 0) -> Any:
    arrays = {"input_ids": ids, "attention_mask": np.ones_like(ids)}
    return {**arrays, NEW_TOKENS: np.array([new_tokens])} if new_tokens else arrays


def predict(predictor: Any, arrays: Any) -> Any:
    return predictor.fetch(predictor.forward(predictor.prepare(arrays)))


@pytest.mark.parametrize("shape", [(1, 3), (4, 17), (70, 5)], ids=["one", "several", "more_than_at_once"])
def test_scores_of_every_token_are_those_of_the_network(llama: Converted, shape: tuple[int, int]) -> None:
    predictor, ids = open_(llama.folder, **EXACT), rows(*shape)
    assert np.abs(predict(predictor, batch(ids)) - llama.compute_scores(ids)).max() < 1e-4
    predictor.close()


def test_calls_of_fewer_tokens_give_the_same_scores(llama: Converted) -> None:
    ids = rows(3, 40)
    together, cut = open_(llama.folder, **EXACT), open_(llama.folder, **EXACT, batch=7, micro_batch=4)
    assert np.abs(predict(together, batch(ids)) - predict(cut, batch(ids))).max() < 1e-4


def greedy(llama: Converted, prompt: Any, count: int) -> list[int]:
    ids = prompt
    for _ in range(count):
        ids = np.concatenate([ids, llama.compute_scores(ids)[:, -1].argmax(-1)[:, None]], axis=1)
    return ids[0, prompt.shape[1] :].tolist()


def test_timed_answers_are_the_greedy_ones(llama: Converted) -> None:
    predictor, ids = open_(llama.folder, **EXACT), rows(3, 9)
    state = predictor.prefill(predictor.prepare(batch(ids, new_tokens=6)))
    sixteen_bits = open_(llama.folder)
    half = sixteen_bits.prefill(sixteen_bits.prepare(batch(ids, new_tokens=6)))
    assert predictor.cache_bytes(state) > 1.9 * sixteen_bits.cache_bytes(half) > 0
    written = predictor.decode(state)
    assert written.tolist() == [greedy(llama, ids[row : row + 1], 6) for row in range(3)]
    assert np.array_equal(predict(predictor, batch(ids, new_tokens=6)), written)


def test_answers_to_prompts_of_any_length_end_right(llama: Converted) -> None:
    predictor = open_(llama.folder, **EXACT)
    prompts = [rows(1, 5, seed=1)[0].tolist(), rows(1, 8, seed=2)[0].tolist()]
    answers = predictor.write(prompts, SamplingParams(max_new_tokens=7))
    for prompt, answer in zip(prompts, answers, strict=True):
        expected = greedy(llama, np.array([prompt]), 7)
        ends = [place for place, token in enumerate(expected) if token in predictor.end_tokens]
        assert answer == (expected[: ends[0] + 1] if ends else expected)
    with pytest.raises(MeasureError, match=r"can only choose the most likely token; set temperature = 0"):
        predictor.write(prompts, SamplingParams(max_new_tokens=7, temperature=1.0))


def test_end_tokens_of_the_configuration_end_an_answer(llama: Converted, tmp_path: Path) -> None:
    folder = shutil.copytree(llama.folder, tmp_path / "two")
    config = json.loads((folder / "config.json").read_text("utf-8"))
    config["eos_token_id"] = [config["eos_token_id"], 2, 9]
    (folder / "config.json").write_text(json.dumps(config), "utf-8")
    assert open_(folder).end_tokens == open_(llama.folder).end_tokens | {2, 9}


def test_a_text_beyond_the_context_is_one_line(llama: Converted) -> None:
    predictor = open_(llama.folder, context=8)
    assert predict(predictor, batch(rows(1, 8))).shape[1] == 8
    with pytest.raises(MeasureError, match="a text has 9 tokens, but the model has positions for 8"):
        predictor.prepare(batch(rows(1, 9)))


def test_attention_in_one_operator_moves_the_scores_a_little(llama: Converted) -> None:
    ids = rows(2, 30)
    apart = np.abs(predict(open_(llama.folder), batch(ids)) - llama.compute_scores(ids)).max()
    assert 0 < apart < 0.05 * llama.compute_scores(ids).std()


def test_a_cache_that_the_heads_do_not_fit_is_one_line(llama: Converted) -> None:
    predictor = open_(llama.folder, kv_cache="q8_0", flash_attention="on")
    with pytest.raises(BuildError) as caught:
        predictor.prepare(batch(rows(1, 5)))
    assert str(caught.value) == (
        "llama.cpp cannot make a context of 1 texts of 5 tokens: llama_init_from_model: K cache type q8_0 "
        "with "
        "block size 32 does not divide n_embd_head_k=16"
    )


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_an_encoder_gives_the_vectors_of_the_network(tmp_path: Path, pooling: str) -> None:
    model, context = make_bert_encoder(tmp_path, pooling=pooling)
    batches = make_calibration_batches(model.tokenizer, context)
    before = score_batches(make_default_predictor(model, context), batches)
    converted = convert(model, context, tmp_path / "gguf", type="F32")
    after = score_batches(open_(converted.folder), batches)
    for expected, vectors in zip(before, after, strict=True):
        assert vectors.shape == expected.shape
        assert np.abs(vectors - expected).max() < 1e-3


def test_rows_are_read_as_the_tokenizer_reads_them(llama: Converted) -> None:
    texts = ["good film", "one  two\n three", "naïve – 東京 🙂 1234", ""]
    llama_cpp.runtime.check_rows(llama.folder, texts)
    [file] = llama.folder.glob("*.gguf")
    vocabulary = LlamaModel(file, user="test", vocabulary_alone=True)
    expected = llama.model.tokenizer(texts, add_special_tokens=False)["input_ids"]
    assert [vocabulary.tokenize(text) for text in texts] == expected


def test_another_vocabulary_is_one_line(llama: Converted, tmp_path: Path) -> None:
    from gguf import GGUFReader

    [file] = llama.folder.glob("*.gguf")
    tokens = GGUFReader(file).fields["tokenizer.ggml.tokens"].contents()
    place = {token: number for number, token in enumerate(tokens)}
    first, second = place["a"], place["b"]
    tokens[first], tokens[second] = tokens[second], tokens[first]
    swapped = copy_gguf(file, tmp_path / "swapped.gguf", values={"tokenizer.ggml.tokens": tokens})
    vocabulary = LlamaModel(swapped, user="test", vocabulary_alone=True)
    with pytest.raises(MeasureError) as caught:
        check_tokens(vocabulary, llama.model.tokenizer, ["x", "b"])
    assert str(caught.value) == (
        f"llama.cpp and the tokenizer of the rows give different tokens: token 0 of 'b' is [{first}] ['a'] "
        "for "
        f"llama.cpp, and [{second}] ['b'] for the rows, so its scores would be for a different text; convert "
        "the file again with the model's own tokenizer"
    )


def test_a_file_that_transformers_cannot_read(llama: Converted, tmp_path: Path) -> None:
    [file] = llama.folder.glob("*.gguf")
    copy_gguf(file, tmp_path / "alone.gguf", architecture="xverse")
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    model = open_gguf_model(tmp_path / "alone.gguf", scratch)
    assert model.measure_size()["parameters"] == llama.model.measure_size()["parameters"]
    texts = llama.context.rows("selection").table["text"].to_pylist()
    assert model.tokenizer(texts)["input_ids"] == llama.model.tokenizer(texts)["input_ids"]
    saved = save_model(model, tmp_path / "saved")
    llama_cpp.runtime.check_rows(saved, texts)
    logits = predict(open_(saved), batch(rows(2, 6)))
    assert logits.shape == (2, 6, len(llama.model.tokenizer))
    assert np.isfinite(logits).all()


def with_wrong_vocabulary(source: Path, target: Path) -> None:
    from gguf import GGUFReader

    tokens = GGUFReader(source).fields["tokenizer.ggml.tokens"].contents()
    kinds = GGUFReader(source).fields["tokenizer.ggml.token_type"].contents()
    fewer = {"tokenizer.ggml.tokens": tokens[:-7], "tokenizer.ggml.token_type": kinds[:-7]}
    copy_gguf(source, target, values=fewer)


def with_nan(name: str, data: Any) -> Any:
    if name == "blk.1.ffn_up.weight":
        data[0, 0] = np.nan
    return data


def cut_in_the_weights(source: Path, target: Path) -> None:
    target.write_bytes(source.read_bytes()[:-4096])


BROKEN: dict[str, tuple[Any, str]] = {
    "missing_tensor": (
        lambda source, target: copy_gguf(source, target, without="blk.1.ffn_up.weight"),
        r"llama\.cpp cannot load bad\.gguf: .*tensor 'blk\.1\.ffn_up\.weight' not found",
    ),
    "wrong_vocabulary": (with_wrong_vocabulary, r"llama\.cpp cannot load bad\.gguf: .*token_embd\.weight"),
    "unknown_architecture": (
        lambda source, target: copy_gguf(source, target, architecture="marvin"),
        r"llama\.cpp cannot load bad\.gguf: .*unknown model architecture: 'marvin'",
    ),
    "wrong_shape": (
        lambda source, target: copy_gguf(source, target, values={"llama.feed_forward_length": 64}),
        r"llama\.cpp cannot load bad\.gguf: .*ffn_\w+\.weight' has wrong shape",
    ),
    "nan": (
        lambda source, target: copy_gguf(source, target, change=with_nan),
        r"llama\.cpp cannot load bad\.gguf: .*found tensors with invalid data",
    ),
    "no_blocks_key": (
        lambda source, target: copy_gguf(source, target, values={"llama.block_count": 3}),
        r"llama\.cpp cannot load bad\.gguf: .*tensor 'blk\.2\.attn_norm\.weight' not found",
    ),
}


@pytest.mark.parametrize(("damage", "problem"), BROKEN.values(), ids=list(BROKEN))
def test_a_broken_file_is_one_line(llama: Converted, tmp_path: Path, damage: Any, problem: str) -> None:
    [file] = llama.folder.glob("*.gguf")
    shutil.copyfile(llama.folder / "tokenizer.json", tmp_path / "tokenizer.json")
    damage(file, tmp_path / "bad.gguf")
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    with pytest.raises(BuildError, match=problem) as caught:
        open_gguf_model(tmp_path / "bad.gguf", scratch)
    assert "\n" not in str(caught.value)
