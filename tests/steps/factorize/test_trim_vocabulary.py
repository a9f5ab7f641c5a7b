"""The step trim_vocabulary: which tokens stay, that answers stay to the bit, and what new words meet."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    GPT2Tokenizer,
    PreTrainedTokenizerFast,
    XLMRobertaTokenizer,
)

from fixtures.models.architectures import ENCODER_DECODERS, SHAPES, write_tiny
from fixtures.models.building import MEAN, PARAMS, load_tiny, make_tiny_context, save_and_load
from fixtures.models.encoder_decoders import make_tiny_pair_model
from slimgate.errors import BuildError, DataError
from slimgate.models.predict import predict_scores
from slimgate.models.torch_model import TorchModel
from slimgate.plugins.loading import load
from slimgate.plugins.rows import Rows
from slimgate.runtimes.eager import EagerPredictor
from slimgate.steps.factorize import factorize_embeddings, trim_vocabulary
from slimgate.steps.finetune import fine_tune
from slimgate.steps.prune import keep_layers
from slimgate.steps.quantize import int8_dynamic

CASES = ["bert", "distilbert", "roberta", "electra", "llama", "gpt2", "bert-mean"]
# tokens of the tiny vocabulary that the rows below do not use
RARE = ("plot", "actor", "boring", "awful")


def build(tmp_path: Path, case: str = "bert") -> tuple[Any, Any]:
    """A tiny model, and a context whose rows lack some of its words."""
    architecture, _, mean = case.partition("-")
    context = make_tiny_context(tmp_path / "rows", calibration=16, params=MEAN if mean else PARAMS)
    context.splits = {name: without(rows, RARE) for name, rows in context.splits.items()}
    labels = None if mean else ("neg", "pos")
    folder = write_tiny(tmp_path / "hub", architecture, labels=labels, initializer_range=0.2)
    return load_tiny(folder, context), context


def without(rows: Rows, words: tuple[str, ...]) -> Rows:
    texts = [" ".join(w for w in text.split() if w not in words) for text in rows.table["text"].to_pylist()]
    return rows_of(texts, rows.table["label"].to_pylist())


def rows_of(texts: list[str], labels: list[str] | None = None) -> Rows:
    ids = [str(number) for number in range(len(texts))]
    return Rows(pa.table({"id": ids, "text": texts, "label": labels or ["pos"] * len(texts)}))


def scores(model: Any, context: Any, rows: Rows | None = None) -> Any:
    encoded = context.task.encode_rows(context.task_params, rows or context.rows("train"), model.tokenizer)
    return predict_scores(EagerPredictor(model.network, "cpu"), encoded, batch_size=8)


def apply(model: Any, context: Any, **options: Any) -> Any:
    return trim_vocabulary.step.apply(model, trim_vocabulary.Params.model_validate(options), context)


@pytest.mark.parametrize("case", CASES)
def test_unused_tokens_go_and_answers_stay_to_the_bit(tmp_path: Path, case: str) -> None:
    model, context = build(tmp_path, case)
    old, before, parameters = model.tokenizer, scores(model, context), model.measure_size()["parameters"]
    width = model.network.get_submodule(next(iter(tables(model)))).embedding_dim
    model = apply(model, context)
    gone = set(old.get_vocab()) - set(model.tokenizer.get_vocab())
    assert set(RARE) <= gone
    assert len(old) - len(model.tokenizer) == len(gone)
    assert model.config.vocab_size == len(model.tokenizer) == context.log["tokens_after"]
    assert model.measure_size()["parameters"] == parameters - len(gone) * width
    assert np.array_equal(scores(model, context), before)
    again = save_and_load(model, tmp_path / "saved")
    assert np.array_equal(scores(again, context), before)
    assert again.tokenizer.get_vocab() == model.tokenizer.get_vocab()
    strange = rows_of(["plot zygote 漢字 \U0001f600", "boring", "good film"])
    assert np.array_equal(scores(again, context, strange), scores(model, context, strange))


def tables(model: Any) -> dict[str, Any]:
    from slimgate.models.linear_layers import find_token_embeddings

    return find_token_embeddings(model.network)


def test_ids_of_the_configuration_follow_their_tokens(tmp_path: Path) -> None:
    model, context = build(tmp_path, "gpt2")
    assert model.tokenizer.convert_ids_to_tokens([2, 3]) == ["[CLS]", "[SEP]"]
    apply(model, context)  # [PAD] is a plain word here, and no row has it
    assert "[PAD]" not in model.tokenizer.get_vocab()
    config = model.config
    assert (config.bos_token_id, config.eos_token_id, config.pad_token_id) == (1, 2, 2)
    assert model.tokenizer.convert_ids_to_tokens([1, 2]) == ["[CLS]", "[SEP]"]
    assert model.tokenizer.pad_token_id == 2


def test_min_count_and_keep_and_a_limit_choose_among_the_tokens(tmp_path: Path) -> None:
    model, context = build(tmp_path)
    texts = ["good good good film", "good film the", "bad film is"]
    context.splits = {"train": rows_of(texts)}
    plain = copy.deepcopy(model)
    apply(model, context, min_count=2, keep=("boring",))
    words = set(model.tokenizer.get_vocab()) - {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"}
    assert words == {"good", "film", "boring", "a"}  # "a" is a character, which stays for words never seen
    # 10 words and 6 marks around the texts; the, bad, is are no more
    assert context.log["corpus_tokens_changed"] == pytest.approx(3 / 16, abs=1e-5)
    context.log.clear()
    apply(plain, context, vocab_size=7)
    assert set(plain.tokenizer.get_vocab()) - {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"} == {"good", "a"}
    context.splits = {"train": rows_of(["good"])}
    filled = build(tmp_path / "filled")[0]
    apply(filled, context, vocab_size=9)  # the words of the vocabulary begin good, nice, great
    assert set(filled.tokenizer.get_vocab()) - set(plain.tokenizer.get_vocab()) == {"nice", "great"}
    with pytest.raises(
        BuildError, match="vocab_size = 3: special tokens and fallback characters alone need 6"
    ):
        apply(build(tmp_path / "again")[0], context, vocab_size=3)


def test_the_log_says_what_new_rows_will_meet(tmp_path: Path) -> None:
    model, context = build(tmp_path)
    context.splits = {"train": rows_of(["good film"]), "selection": rows_of(["good plot", "bad film"])}
    apply(model, context)
    # selection: 4 words and 4 marks; plot and bad do not stand in train
    assert context.log["selection_tokens_changed"] == 0
    assert context.log["new_rows_tokens_changed"] == pytest.approx(2 / 8)


def test_only_the_named_splits_are_the_corpus(tmp_path: Path) -> None:
    model, context = build(tmp_path)
    context.splits = {"train": rows_of(["good film"]), "selection": rows_of(["bad plot"])}
    apply(model, context, corpus=("train",))
    assert "plot" not in model.tokenizer.get_vocab()
    assert context.log["selection_tokens_changed"] == pytest.approx(2 / 4)
    context.splits = {"selection": rows_of(["bad plot"])}
    with pytest.raises(DataError, match="none of the splits train has rows to take tokens from"):
        apply(build(tmp_path / "again")[0], context, corpus=("train",))


@pytest.mark.parametrize("first", ["trim", "factorize"])
def test_it_goes_with_factorised_embeddings_in_either_order(tmp_path: Path, first: str) -> None:
    model, context = build(tmp_path)
    params = factorize_embeddings.Params(rank=6)
    if first == "factorize":
        factorize_embeddings.step.apply(model, params, context)
        before = scores(model, context)
        apply(model, context)
        assert np.array_equal(scores(model, context), before)
    else:
        apply(model, context)
        factorize_embeddings.step.apply(model, params, context)
    assert {m.num_embeddings: m.embedding_dim for m in tables(model).values()} == {len(model.tokenizer): 6}
    again = save_and_load(model, tmp_path / "saved")
    assert np.array_equal(scores(again, context), scores(model, context))
    assert again.measure_size() == model.measure_size()


@pytest.mark.slow
def test_it_goes_between_other_steps(tmp_path: Path) -> None:
    model, context = build(tmp_path)
    keep_layers.step.apply(model, keep_layers.Params((0, 3)), context)
    apply(model, context)
    fine_tune.step.apply(model, fine_tune.Params(epochs=1), context)
    int8_dynamic.step.apply(model, int8_dynamic.Params(embeddings=True), context)
    model.kind = "torch_quantized"
    again = save_and_load(model, tmp_path / "saved")
    assert np.array_equal(scores(again, context), scores(model, context))
    with pytest.raises(BuildError, match=r"has no float table .* put trim_vocabulary before the step that"):
        apply(model, context)


def test_a_vocabulary_as_large_as_the_positions_is_distinguished(tmp_path: Path) -> None:
    model, context = build(tmp_path)
    words = [f"w{number}" for number in range(59)]  # with 5 special tokens, 64: as many as positions
    from fixtures.models.tiny import write_tiny_bert

    model = load_tiny(write_tiny_bert(tmp_path / "w", labels=("neg", "pos"), words=words), context)
    assert model.config.vocab_size == model.config.max_position_embeddings == 64
    assert list(tables(model)) == ["bert.embeddings.word_embeddings"]


def byte_level(texts: list[str]) -> Any:
    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.train_from_iterator(
        texts * 5,
        trainers.BpeTrainer(
            vocab_size=340,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            special_tokens=["<|endoftext|>"],
            show_progress=False,
        ),
    )
    state = json.loads(inner.to_str())["model"]
    return GPT2Tokenizer(vocab=state["vocab"], merges=[tuple(merge) for merge in state["merges"]])


def sentence_pieces(texts: list[str]) -> Any:
    inner = Tokenizer(models.Unigram())
    inner.pre_tokenizer = pre_tokenizers.Metaspace()
    special = ["<s>", "<pad>", "</s>", "<unk>"]
    inner.train_from_iterator(
        texts * 5,
        trainers.UnigramTrainer(
            vocab_size=60, special_tokens=[*special, "<mask>"], unk_token="<unk>", show_progress=False
        ),
    )
    return XLMRobertaTokenizer(vocab=[tuple(entry) for entry in json.loads(inner.to_str())["model"]["vocab"]])


@pytest.mark.parametrize(
    ("architecture", "make"), [("gpt2", byte_level), ("roberta", sentence_pieces)], ids=["bpe", "unigram"]
)
def test_tokenizers_that_transformers_rebuilds_are_trimmed(
    tmp_path: Path, architecture: str, make: Any
) -> None:
    context = make_tiny_context(tmp_path / "rows")
    texts = context.rows("train").table["text"].to_pylist()
    tokenizer = make([*texts, "the widest river flows slowly past a narrow valley"])
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    shape = {**SHAPES[architecture], "vocab_size": len(tokenizer), "pad_token_id": tokenizer.pad_token_id}
    shape.update(bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id)
    config = AutoConfig.for_model(architecture, **shape)
    network = AutoModelForSequenceClassification.from_config(config).eval()
    model = TorchModel(network, tokenizer, "transformers:AutoModelForSequenceClassification")
    before = scores(model, context)
    apply(model, context)
    assert context.log["tokens_after"] < context.log["tokens_before"]
    assert np.array_equal(scores(model, context), before)
    assert model.config.pad_token_id == model.tokenizer.pad_token_id
    again = save_and_load(model, tmp_path / "saved")
    assert type(again.tokenizer) is type(tokenizer)
    strange = rows_of(["zygote 漢字 \U0001f600", *texts])
    assert np.array_equal(scores(again, context, strange), scores(model, context, strange))
    assert np.array_equal(scores(again, context), before)


@pytest.mark.parametrize("factorized", [False, True], ids=["plain", "factorised"])
def test_a_language_models_output_layer_stays_one_with_the_table(tmp_path: Path, factorized: bool) -> None:
    _, context = build(tmp_path, "gpt2")
    tokenizer = PreTrainedTokenizerFast.from_pretrained(tmp_path / "hub")
    network = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(tmp_path / "hub")).eval()
    model = TorchModel(network, tokenizer, "transformers:AutoModelForCausalLM")
    if factorized:
        factorize_embeddings.step.apply(model, factorize_embeddings.Params(rank=6), context)
    ids = tokenizer("good film")["input_ids"]
    before = network(torch.tensor([ids])).logits
    apply(model, context)
    old_ids = [
        tokenizer.convert_tokens_to_ids(t)
        for t in model.tokenizer.convert_ids_to_tokens(range(len(model.tokenizer)))
    ]
    after = model.network(torch.tensor([model.tokenizer("good film")["input_ids"]])).logits
    assert torch.allclose(after, before[..., old_ids], atol=1e-6)
    again = save_and_load(model, tmp_path / "saved")
    head = again.network.lm_head.up if factorized else again.network.lm_head
    assert head.weight is next(iter(tables(again).values())).weight
    assert torch.equal(again.network(torch.tensor([model.tokenizer("good film")["input_ids"]])).logits, after)


def test_the_tokenizer_is_stored_once_and_without_spaces(tmp_path: Path) -> None:
    model, context = build(tmp_path)
    apply(model, context)
    save_and_load(model, tmp_path / "saved")
    text = (tmp_path / "saved" / "tokenizer.json").read_text("utf-8")
    assert "\n" not in text
    assert json.loads(text)["model"]["vocab"] == model.tokenizer.get_vocab()
    assert not [file.name for file in (tmp_path / "saved").iterdir() if "vocab" in file.name]


@pytest.mark.parametrize("architecture", ENCODER_DECODERS)
def test_an_encoder_decoder_keeps_the_tokens_of_its_answers(tmp_path: Path, architecture: str) -> None:
    model, context = make_tiny_pair_model(tmp_path, architecture)
    words = {"text": ["good film", "bad film", "a plot"], "answer": ["nice", "poor", "nice"]}
    rows = Rows(pa.table({"id": ["a", "b", "c"], **words}))
    context.splits = {"train": rows, "selection": rows}
    model.network.generation_config.bad_words_ids = [[model.tokenizer.convert_tokens_to_ids("plot")]]
    before = model.config.vocab_size
    encoded = context.task.encode_rows(context.task_params, rows, model.tokenizer)
    inputs = {name: torch.from_numpy(values) for name, values in encoded.batch([0, 1, 2]).items()}
    vocabulary = sorted({"good", "bad", "film", "a", "plot", "nice", "poor"})
    old = [model.tokenizer.convert_tokens_to_ids(word) for word in vocabulary]
    with torch.inference_mode():
        usual = model.network(**inputs).logits[..., old]
    step = load("step", "trim_vocabulary")
    trimmed = save_and_load(step.apply(model, step.Params(), context), tmp_path / "saved")
    assert trimmed.config.vocab_size < before
    assert {"nice", "poor"} <= set(trimmed.tokenizer.get_vocab())
    assert trimmed.network.generation_config.bad_words_ids == [
        [trimmed.tokenizer.convert_tokens_to_ids("plot")]
    ]
    assert trimmed.network.generation_config.decoder_start_token_id == trimmed.config.decoder_start_token_id
    encoded = context.task.encode_rows(context.task_params, rows, trimmed.tokenizer)
    assert encoded.start == trimmed.config.decoder_start_token_id
    inputs = {name: torch.from_numpy(values) for name, values in encoded.batch([0, 1, 2]).items()}
    new = [trimmed.tokenizer.convert_tokens_to_ids(word) for word in vocabulary]
    with torch.inference_mode():
        torch.testing.assert_close(trimmed.network(**inputs).logits[..., new], usual)
