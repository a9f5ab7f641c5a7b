"""gguf_draft: llama.cpp writes the answers of the model alone in fewer of its passes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from support.versions import needs_llama_cpp

from fixtures.models.building import load_tiny, save_model
from fixtures.models.gguf_models import make_bert_encoder, make_byte_level_llama
from slimgate.cli.export.forms import write_form
from slimgate.errors import BuildError
from slimgate.models.gguf_model import SpeculativeGguf, find_draft_file, open_gguf_model
from slimgate.models.served import find_gguf_file
from slimgate.models.write_answers import SamplingParams, write_answers
from slimgate.plugins.models import NEW_TOKENS
from slimgate.runtimes import llama_cpp
from slimgate.steps.convert import gguf_draft, to_gguf
from slimgate.store.store import Artifact, Entry, list_files
from slimgate.tasks import text_generation

PARAMS = gguf_draft.Params(draft="small", draft_tokens=3)
ANSWERS = text_generation.Params(prompt="text", max_new_tokens=12)
PROMPTS = [[5, 9, 40], [7, 7], [100, 3, 25, 61, 8]]
SAMPLING = SamplingParams(max_new_tokens=20)


@pytest.mark.parametrize("name", ["teacher", "self"])
def test_a_draft_is_a_variant(name: str) -> None:
    with pytest.raises(ValidationError, match=f'draft = "{name}" was given, expected a variant'):
        gguf_draft.Params(draft=name)


class Pair:
    """A Llama and a draft, which is the Llama with noise on its weights: both as GGUF files of two types."""

    def __init__(
        self, folder: Path, *, noise: float = 0.05, types: tuple[str, str] = ("Q8_0", "Q8_0")
    ) -> None:
        model, self.context = make_byte_level_llama(folder)
        self.context.task, self.context.task_params = text_generation.task, ANSWERS
        self.folder = folder
        self.model = self.convert(model, "model", types[0])
        draft = load_tiny(folder / "hub", self.context)
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for weight in draft.network.parameters():
                weight += noise * weight.std() * torch.randn(weight.shape, generator=generator)
        converted = self.convert(draft, "draft", types[1])
        self.context.load_teacher = lambda: converted

    def convert(self, model: Any, name: str, kind: str) -> Any:
        """The Served that to_gguf makes, in a folder of its own."""
        self.context.scratch = self.folder / f"scratch-{name}"
        self.context.scratch.mkdir()
        converted = to_gguf.step.apply(model, to_gguf.Params(type=kind), self.context)
        (self.folder / name).mkdir()
        converted.save(self.folder / name)
        return converted

    def apply(self, params: gguf_draft.Params = PARAMS) -> SpeculativeGguf:
        """The model with its draft."""
        self.context.scratch = self.folder / f"scratch{len(list(self.folder.iterdir()))}"
        return gguf_draft.step.apply(self.model, params, self.context)

    def open(self, folder: Path) -> Any:
        """A predictor of an artifact's folder."""
        return llama_cpp.runtime.load(folder, llama_cpp.Params(), device="cpu", threads=1)

    def write_answers(self, predictor: Any) -> Any:
        """The answers to the prompts."""
        return write_answers(predictor, self.model.tokenizer, PROMPTS, ["a", "b", "c"], SAMPLING)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    return Pair(tmp_path_factory.mktemp("pair"))


@pytest.fixture(scope="module")
def saved(pair: Pair, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("saved")
    pair.apply().save(folder)
    return folder


@pytest.mark.slow
@needs_llama_cpp
class TestByLlamaCpp:
    """With llama.cpp itself."""

    def test_the_answers_are_those_of_the_model_alone(self, pair: Pair, saved: Path) -> None:
        alone = pair.write_answers(pair.open(pair.folder / "model"))
        answers = pair.write_answers(pair.open(saved))
        assert answers == alone
        assert len({answer.ids for answer in answers}) == 3
        tokens, passes = (sum(answer.verified[place] for answer in answers) for place in (0, 1))
        assert 1 < tokens / passes <= 4
        assert pair.context.log["changed_answers"] == 0

    def test_the_artifact_holds_both_files(self, pair: Pair, saved: Path) -> None:
        combined = pair.apply()
        assert {name for name in list_files(saved) if name.endswith(".gguf")} == {
            "model.gguf",
            "draft/model.gguf",
        }
        draft = find_draft_file(saved)
        assert draft is not None
        assert (draft.file, draft.tokens) == (saved / "draft/model.gguf", 3)
        assert combined.measure_size()["parameters"] == 2 * pair.model.measure_size()["parameters"]
        assert combined.select_counted_files([]) == ["model.gguf", "draft/model.gguf"]
        assert draft.file.read_bytes() == (pair.folder / "draft/model.gguf").read_bytes()
        assert (saved / "model.gguf").read_bytes() == (pair.folder / "model/model.gguf").read_bytes()

    def test_scores_are_those_of_the_model(self, pair: Pair, saved: Path) -> None:
        ids = torch.randint(5, 250, (3, 9), generator=torch.Generator().manual_seed(1)).numpy()
        first, second = (
            predictor.fetch(predictor.forward(predictor.prepare({"input_ids": ids})))
            for predictor in (pair.open(saved), pair.open(pair.folder / "model"))
        )
        assert (first == second).all()

    def test_timed_answers_are_written_with_the_draft(self, pair: Pair, saved: Path) -> None:
        ids = torch.randint(5, 250, (3, 9), generator=torch.Generator().manual_seed(2)).numpy()
        ours, alone = pair.open(saved), pair.open(pair.folder / "model")
        prepared = ours.prepare({"input_ids": ids, NEW_TOKENS: torch.tensor([16]).numpy()})
        state = ours.prefill(prepared)
        assert [answer.passes for answer in state] == [0, 0, 0]
        written = ours.decode(state)
        assert (written == alone.decode(alone.prefill(prepared))).all()
        assert (ours.forward(prepared) == written).all()
        assert all(5 <= answer.passes < 15 for answer in state)
        assert ours.cache_bytes(state) > alone.cache_bytes(state)

    def test_an_equal_draft_has_all_its_tokens_kept(self, tmp_path: Path) -> None:
        pair = Pair(tmp_path, noise=0.0, types=("F32", "F16"))
        combined = pair.apply()
        save_model(combined, tmp_path / "saved")
        answer = pair.open(tmp_path / "saved").begin_with_draft(PROMPTS[0], 10)
        assert answer.begin() == answer.written[0]
        assert [len(answer.extend()) for _ in range(3)] == [4, 4, 1]
        assert (answer.passes, answer.remaining) == (3, 0)

    def test_a_gguf_file_as_a_model_takes_a_draft(self, pair: Pair, tmp_path: Path) -> None:
        file = find_gguf_file(pair.folder / "model")
        assert file is not None
        context, served = pair.context, pair.model
        pair.model = open_gguf_model(file, tmp_path)
        try:
            combined = pair.apply()
        finally:
            pair.model = served
        assert combined.kind == gguf_draft.step.gives
        assert context.log["changed_answers"] == 0

    def test_the_model_itself_is_no_draft(self, pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(pair.context, "load_teacher", lambda: pair.model)
        with pytest.raises(BuildError, match='draft "small" is the model itself'):
            pair.apply()

    def test_a_draft_needs_a_gguf_file(self, pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
        network = load_tiny(pair.folder / "hub", pair.context)
        monkeypatch.setattr(pair.context, "load_teacher", lambda: network)
        with pytest.raises(BuildError, match='draft "small" has no GGUF file, expected a result of'):
            pair.apply()

    def test_a_draft_has_no_draft(self, pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
        combined = pair.apply()
        monkeypatch.setattr(pair.context, "load_teacher", lambda: combined)
        with pytest.raises(BuildError, match='draft "small" already has a draft'):
            pair.apply()

    def test_a_sentence_encoder_is_no_draft(
        self, pair: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        encoder = to_gguf.step.apply(*_encoder(tmp_path))
        monkeypatch.setattr(pair.context, "load_teacher", lambda: encoder)
        with pytest.raises(BuildError, match='draft "small" is a sentence encoder, expected a decoder'):
            pair.apply()

    def test_another_vocabulary_is_refused(self, pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
        draft = pair.context.load_teacher()
        other = load_tiny(pair.folder / "hub", pair.context).tokenizer
        other.add_tokens(["new"])
        monkeypatch.setattr(draft, "tokenizer", other)
        with pytest.raises(BuildError, match="expected the same tokenizer"):
            pair.apply()

    def test_fewer_positions_are_refused(self, pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
        opened = gguf_draft._open

        def open_short(model: Any, owner: str, scratch: Path) -> Any:
            gguf = opened(model, owner, scratch)
            if owner.startswith("draft"):
                gguf.config.max_position_embeddings = 8
            return gguf

        monkeypatch.setattr(gguf_draft, "_open", open_short)
        with pytest.raises(BuildError, match='draft "small" has positions for 8 tokens, the model for'):
            pair.apply()

    def test_drawn_answers_are_refused(self, pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
        drawn = ANSWERS.model_copy(update={"temperature": 0.7})
        monkeypatch.setattr(pair.context, "task_params", drawn)
        with pytest.raises(BuildError, match=r"temperature = 0.7 was given, but a draft proposes"):
            pair.apply()

    def test_both_files_are_exported_apart(self, saved: Path, tmp_path: Path) -> None:
        artifact = Artifact(Entry(saved, {"kind": "speculative_gguf"}, False))
        with pytest.raises(BuildError, match="export the variant"):
            write_form(artifact, None, tmp_path, tmp_path)


def _encoder(folder: Path) -> tuple[Any, to_gguf.Params, Any]:
    model, context = make_bert_encoder(folder)
    return model, to_gguf.Params(type="F16"), context
