"""speculative_decoding: the answers of the model alone in fewer of its passes, for several families."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from support.decoder_checks import (
    assert_ends_at_both_end_tokens,
    assert_ends_at_stop_texts,
    assert_same_answers,
    assert_same_scores_of_padded_texts,
    make_eager,
)

from fixtures.models.building import load_tiny, save_model
from fixtures.models.tiny_decoders import compute_answers, encode_prompts, make_timed_batch, make_tiny_decoder
from slimgate.cli.export.forms import write_form
from slimgate.errors import BuildError, SuiteError
from slimgate.models.speculative import Draft, SpeculativeModel, add_draft, make_network_answer
from slimgate.models.write_answers import SamplingParams, list_end_tokens
from slimgate.runtimes import eager
from slimgate.steps.convert import speculative_decoding as step
from slimgate.steps.quantize import int8_dynamic
from slimgate.store.store import Artifact, Entry, list_files

LONG = {"max_position_embeddings": 128}
SAMPLING = SamplingParams(max_new_tokens=20)
SLOW = ("gpt2", "mistral", "qwen2", "gemma2", "phi", "opt", "mixtral")
PARAMS = step.Params(draft="small", draft_tokens=3)


def pair_of(root: Path, architecture: str = "llama", noise: float = 0.1, **config: Any) -> tuple[Any, Any]:
    """A model, and a context whose teacher is a draft: the model with noise on its weights."""
    model, context = make_tiny_decoder(root, architecture, **config)

    def load_draft() -> Any:
        draft = load_tiny(root / "hub", context)
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for weight in draft.network.parameters():
                weight += noise * weight.std() * torch.randn(weight.shape, generator=generator)
        return draft

    context.load_teacher = load_draft
    return model, context


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any]:
    return pair_of(tmp_path_factory.mktemp("llama"), **LONG)


def apply(pair: tuple[Any, Any], params: step.Params = PARAMS) -> Any:
    combined = step.step.apply(pair[0], params, pair[1])
    combined.kind = step.step.gives
    return combined


def predictor_of(pair: tuple[Any, Any], params: step.Params = PARAMS) -> Any:
    return eager.runtime.open_model(apply(pair, params), pair[1])


@pytest.mark.parametrize(
    "architecture", ["llama", "gemma3_text", *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)]
)
def test_the_answers_are_those_of_the_model_alone(tmp_path: Path, architecture: str) -> None:
    longer = {"n_positions": 128} if architecture == "gpt2" else LONG
    model, context = pair = pair_of(tmp_path, architecture, **longer)  # windows are 8 tokens wide
    prompts = encode_prompts(context, model.tokenizer)[:8]
    alone, answers = (
        compute_answers(side, model.tokenizer, prompts, SAMPLING)
        for side in (make_eager(model), predictor_of(pair))
    )
    assert answers == alone
    assert len({answer.ids for answer in answers}) > 4
    assert context.log["changed_answers"] == 0
    tokens, passes = (sum(answer.verified[place] for answer in answers) for place in (0, 1))
    assert 1 < tokens / passes < 4


@pytest.mark.parametrize("draft_tokens", [1, 16])
def test_any_number_of_draft_tokens_gives_the_same_answers(llama: tuple[Any, Any], draft_tokens: int) -> None:
    params = step.Params(draft="small", draft_tokens=draft_tokens)
    assert_same_answers(*llama, predictor_of(llama, params))


def test_transformers_assisted_generation_writes_the_same(llama: tuple[Any, Any]) -> None:
    model, context = llama
    draft = context.load_teacher()
    for prompt in encode_prompts(context, model.tokenizer)[:3]:
        answer = make_network_answer(model.network, Draft(draft.network, 3), prompt, 16)
        answer.begin()
        while answer.remaining:
            answer.extend()
        ids = torch.tensor([prompt])
        reference = model.network.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            assistant_model=draft.network,
            max_new_tokens=16,
            do_sample=False,
            eos_token_id=None,
            pad_token_id=0,
        )
        assert answer.written == reference[0, len(prompt) :].tolist()


def test_passes_by_hand(llama: tuple[Any, Any]) -> None:
    """A draft that is the model itself has all of its tokens kept: four for each pass."""
    model, context = llama
    prompt = encode_prompts(context, model.tokenizer)[0]
    answer = make_network_answer(model.network, Draft(model.network, 3), prompt, 10)
    assert answer.begin() == answer.written[0]
    assert answer.passes == 0
    assert [len(answer.extend()) for _ in range(3)] == [4, 4, 1]
    assert (answer.passes, answer.remaining, len(answer.written)) == (3, 0, 10)
    for text in (answer.main, answer.draft):  # the last token is read by nobody
        assert text.length <= len(prompt) + 9


def test_answers_end_where_those_of_the_model_end(tmp_path: Path) -> None:
    pair = pair_of(tmp_path, **LONG)
    assert_ends_at_stop_texts(pair, predictor_of(pair))
    assert_ends_at_both_end_tokens(pair, lambda: predictor_of(pair))


def test_nothing_is_proposed_behind_an_end_token(llama: tuple[Any, Any]) -> None:
    model, context = llama
    prompt = encode_prompts(context, model.tokenizer)[0]
    alone = make_network_answer(model.network, Draft(model.network, 3), prompt, 10)
    alone.begin()
    second = alone.extend()[0]
    answer = make_network_answer(model.network, Draft(model.network, 3), prompt, 10, {second})
    answer.begin()
    assert len(answer.extend()) == 2, "the end token of the draft, and the one behind it"
    assert second not in list_end_tokens(model.tokenizer, model.network)


def test_scores_are_those_of_the_model(llama: tuple[Any, Any]) -> None:
    assert_same_scores_of_padded_texts(llama, predictor_of(llama))


def test_the_artifact_holds_both_models(llama: tuple[Any, Any], tmp_path: Path) -> None:
    model, context = llama
    combined = apply(llama)
    combined.save(tmp_path)
    draft = {name for name in list_files(tmp_path) if name.startswith("draft/")}
    assert draft == {"draft/config.json", "draft/model.safetensors", "draft/slimgate.json"}
    assert combined.measure_size()["parameters"] == 2 * model.measure_size()["parameters"]
    again = eager.runtime.load(tmp_path, eager.Params(), device="cpu", threads=1)
    assert again.draft.tokens == 3
    for network, other in ((again.network, model.network), (again.draft.network, combined.draft.network)):
        assert all(torch.equal(w, other.state_dict()[name]) for name, w in network.state_dict().items())
    prompts = encode_prompts(context, model.tokenizer)[:4]
    fresh = eager.runtime.open_model(combined, context)
    first, second = (compute_answers(side, model.tokenizer, prompts) for side in (again, fresh))
    assert [answer.verified for answer in first] == [answer.verified for answer in second]
    loaded = eager.runtime.load_model(tmp_path, "cpu")
    assert isinstance(loaded, SpeculativeModel)
    assert (loaded.kind, loaded.code_modules()) == ("speculative", combined.code_modules())


def test_a_model_in_int8_takes_a_draft_in_int8(tmp_path: Path) -> None:
    model, context = pair_of(tmp_path, **LONG)
    load_draft = context.load_teacher
    int8 = int8_dynamic.Params()
    context.load_teacher = lambda: int8_dynamic.step.apply(load_draft(), int8, context)
    int8_dynamic.step.apply(model, int8, context)
    # a row's activations share a scale, whether it is read alone or with others
    combined = apply((model, context), step.Params(draft="small", tolerance=0.2))
    save_model(combined, tmp_path / "made")
    again = eager.runtime.load(tmp_path / "made", eager.Params(), device="cpu", threads=1)
    prompts = encode_prompts(context, model.tokenizer)[:4]
    assert all(answer.ids for answer in compute_answers(again, model.tokenizer, prompts))


def test_timed_answers_are_written_with_the_draft(llama: tuple[Any, Any]) -> None:
    model, context = llama
    ours, alone = predictor_of(llama), make_eager(model)
    batch = make_timed_batch(context, model.tokenizer, 12, 20)
    prepared = ours.prepare(batch)
    state = ours.prefill(prepared)
    assert [answer.passes for answer in state] == [0, 0, 0]
    written = ours.decode(state)
    assert torch.equal(written, alone.decode(alone.prefill(alone.prepare(batch))))
    assert torch.equal(ours.forward(prepared), written)
    assert all(answer.passes < 19 for answer in state)
    layers, heads = model.config.num_hidden_layers, model.config.num_key_value_heads
    per_token = 2 * layers * heads * model.config.head_dim * 4
    assert ours.cache_bytes(state) <= 2 * 3 * (12 + 19) * per_token


# --- what is refused


def test_both_models_are_exported_apart(llama: tuple[Any, Any], tmp_path: Path) -> None:
    (tmp_path / "made").mkdir()
    combined = apply(llama)
    combined.save(tmp_path / "made")
    artifact = Artifact(Entry(tmp_path / "made", {"kind": combined.kind}, False))
    with pytest.raises(BuildError, match=r"contains a draft model\. Export the model and the draft"):
        write_form(artifact, None, tmp_path, tmp_path)


def test_a_static_cache_is_refused(llama: tuple[Any, Any], tmp_path: Path) -> None:
    apply(llama).save(tmp_path)
    with pytest.raises(BuildError, match='cache = "static" was given, but rejected draft tokens'):
        eager.runtime.load(tmp_path, eager.Params(cache="static"), device="cpu", threads=1)


def test_drawn_answers_are_refused(llama: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    context = llama[1]
    drawn = context.task_params.model_copy(update={"temperature": 0.7})
    monkeypatch.setattr(context, "task_params", drawn)
    with pytest.raises(
        BuildError, match=r"temperature = 0.7 was given, but a draft proposes the most likely"
    ):
        apply(llama)


def test_the_model_itself_is_no_draft(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match='draft "small" is the model itself, which saves no time'):
        apply(pair_of(tmp_path, noise=0.0))


def test_another_vocabulary_is_refused(tmp_path: Path) -> None:
    model, context = pair_of(tmp_path)
    other = make_tiny_decoder(tmp_path / "other", "llama", vocab_size=40)[0]
    context.load_teacher = lambda: other
    with pytest.raises(
        BuildError, match=r'draft "small" has another vocabulary \(40 tokens\) than the model'
    ):
        apply((model, context))


def test_another_tokenizer_is_refused(tmp_path: Path) -> None:
    model, context = pair_of(tmp_path)
    draft = context.load_teacher()
    draft.tokenizer.add_tokens(["new"])
    context.load_teacher = lambda: draft
    with pytest.raises(BuildError, match="expected the same tokenizer and the same number of tokens"):
        apply((model, context))


def test_fewer_positions_are_refused(tmp_path: Path) -> None:
    model, context = pair_of(tmp_path, **LONG)
    short = make_tiny_decoder(tmp_path / "short", "llama")[0]
    context.load_teacher = lambda: short
    with pytest.raises(BuildError, match='draft "small" has positions for 64 tokens, the model for 128'):
        apply((model, context))


def test_a_draft_with_a_draft_is_refused(llama: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    model, context = llama
    combined = add_draft(model, context.load_teacher(), 2)
    monkeypatch.setattr(context, "load_teacher", lambda: combined)
    with pytest.raises(
        BuildError, match='draft "small" is a SpeculativeModel, expected a network of PyTorch'
    ):
        apply(llama)


@pytest.mark.parametrize("name", ["BertForSequenceClassification", "T5ForConditionalGeneration"])
def test_what_is_no_decoder_is_refused_before_it_loads(name: str) -> None:
    with pytest.raises(SuiteError, match=f"the model is a {name}, expected a decoder"):
        step.step.check(PARAMS, {"architectures": [name]})


@pytest.mark.parametrize("name", ["teacher", "self"])
def test_a_draft_is_a_variant(name: str) -> None:
    with pytest.raises(
        ValidationError, match=f'draft = "{name}" was given, expected a variant that is smaller'
    ):
        step.Params(draft=name)
