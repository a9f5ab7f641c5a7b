"""What llama.cpp's converter knows is read from its source, and a suite is refused by it before a build."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

from slimgate.errors import SuiteError
from slimgate.models.llama_cpp_converter import check_tokenizer, read_architectures, read_tokenizers
from slimgate.steps.convert import to_gguf
from slimgate.steps.quantize import auto_round

TEXT = "a b 12"
MAP = """
TEXT_MODEL_MAP: dict[str, str] = {
    "LlamaForCausalLM": "llama",
    "GPT2LMHeadModel": "gpt2",
}
"""


@pytest.fixture
def converter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A checkout of llama.cpp that knows two architectures and no tokenizer yet."""
    folder = tmp_path / "llama.cpp/conversion"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text(MAP)
    write_known(folder.parent, [])
    monkeypatch.setenv("LLAMA_CPP_ROOT", str(folder.parent))
    forget()
    yield folder.parent
    forget()


def forget() -> None:
    read_architectures.cache_clear()
    read_tokenizers.cache_clear()


def write_known(root: Path, tokens: list[int]) -> None:
    digest = hashlib.sha256(str(tokens).encode()).hexdigest()
    text = f'        chktxt = {TEXT!r}\n        if chkhsh == "{digest}":\n'
    (root / "conversion/base.py").write_text(text)
    forget()


def write_tokenizer(folder: Path, *cuts: pre_tokenizers.PreTokenizer) -> Tokenizer:
    """A byte-level BPE that splits words by `cuts`."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={letter: at for at, letter in enumerate(alphabet)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(list(cuts))
    folder.mkdir()
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "PreTrainedTokenizerFast"}')
    return tokenizer


def digits_apart(folder: Path) -> Tokenizer:
    return write_tokenizer(folder, pre_tokenizers.Digits(), pre_tokenizers.ByteLevel(add_prefix_space=False))


@pytest.mark.usefixtures("converter")
def test_a_language_model_that_the_converter_lacks_is_refused() -> None:
    with pytest.raises(SuiteError, match=r"does not know OPTForCausalLM; it knows 1 causal language models"):
        to_gguf.step.check(to_gguf.Params(), {"architectures": ["OPTForCausalLM"]})


@pytest.mark.usefixtures("converter")
@pytest.mark.parametrize(
    "config",
    [
        {"architectures": ["GPT2LMHeadModel"]},
        {"architectures": ["LLaMAForCausalLM"]},
        {"architectures": ["BertModel"]},
        {"model_type": "opt"},
    ],
    ids=["known", "in an older spelling", "may get another head", "not stated"],
)
def test_models_that_it_may_know_are_accepted(config: dict[str, object]) -> None:
    assert to_gguf.step.check(to_gguf.Params(), config) == config


@pytest.mark.usefixtures("converter")
def test_a_bpe_that_splits_words_in_its_own_way_is_refused(tmp_path: Path) -> None:
    digits_apart(tmp_path / "model")
    with pytest.raises(
        SuiteError, match=r"cannot read this tokenizer \(BPE with the pre-tokenizer Sequence\)"
    ):
        check_tokenizer(tmp_path / "model")


def test_the_tokenizer_of_a_released_model_is_accepted(converter: Path, tmp_path: Path) -> None:
    tokenizer = digits_apart(tmp_path / "model")
    with pytest.raises(SuiteError, match="cannot read this tokenizer"):
        check_tokenizer(tmp_path / "model")
    write_known(converter, tokenizer.encode(TEXT).ids)
    check_tokenizer(tmp_path / "model")


def test_without_the_converter_nothing_is_refused(converter: Path, tmp_path: Path) -> None:
    for file in (converter / "conversion").iterdir():
        file.unlink()
    forget()
    digits_apart(tmp_path / "model")
    check_tokenizer(tmp_path / "model")
    config = {"architectures": ["OPTForCausalLM"]}
    assert to_gguf.step.check(to_gguf.Params(), config) == config


def test_another_checkout_is_another_environment(converter: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    params = auto_round.Params(layout="gguf")
    first = to_gguf.step.environment(to_gguf.Params())
    assert auto_round.step.environment(params) == first != {}
    assert auto_round.step.environment(auto_round.Params()) == {}
    write_known(converter, [1, 2])
    assert to_gguf.step.environment(to_gguf.Params()) != first
    monkeypatch.delenv("LLAMA_CPP_ROOT")
    assert to_gguf.step.environment(to_gguf.Params()) == {}


def test_the_bundled_converter_can_be_read() -> None:
    pytest.importorskip("auto_round")
    forget()
    known = read_tokenizers()
    assert known is not None
    assert len(known.digests) > 50
    assert {"LlamaForCausalLM", "Qwen3ForCausalLM", "BertModel"} <= read_architectures()
