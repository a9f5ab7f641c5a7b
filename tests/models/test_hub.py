"""Models of the hub, on a cache folder in the hub's own layout; nothing is downloaded."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from fixtures.models.tiny import write_tiny_bert
from slimgate.errors import BuildError
from slimgate.models.hub import SETTINGS, fetch_model
from slimgate.models.model_ref import parse_model_ref
from slimgate.plugins.models import ModelRef

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of the hub, off-line."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return tmp_path / "hub"


def cached_model(cache: Path, name: str, *, weights: str = "model.safetensors") -> Path:
    repository = cache / f"models--{name.replace('/', '--')}"
    snapshot = repository / "snapshots" / COMMIT
    write_tiny_bert(snapshot)
    if weights != "model.safetensors":
        (snapshot / "model.safetensors").unlink()
        (snapshot / weights).write_bytes(b"weights")
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(COMMIT)
    return snapshot


def test_a_cached_model_is_found_with_its_commit(cache: Path) -> None:
    snapshot = cached_model(cache, "team/tiny")
    ref = fetch_model(parse_model_ref("team/tiny"))
    assert ref.folder == snapshot
    assert ref.revision == COMMIT


def test_a_stated_revision_must_be_in_the_cache(cache: Path) -> None:
    cached_model(cache, "team/tiny")
    assert fetch_model(parse_model_ref(f"team/tiny@{COMMIT}")).revision == COMMIT
    with pytest.raises(BuildError, match=r"team/tiny@v2: not in the local cache of the hub"):
        fetch_model(parse_model_ref("team/tiny@v2"))


@pytest.mark.usefixtures("cache")
def test_a_folder_with_a_mistake_in_its_name_is_guessed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model/config.json").touch()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BuildError, match=r"^modle: there is no folder .*/modle \(near it: model\); not in"):
        fetch_model(parse_model_ref("modle"))


@pytest.mark.usefixtures("cache")
def test_a_model_that_is_not_cached_is_one_clear_error_offline() -> None:
    message = r"^team/unknown: there is no folder .*/team/unknown; not in the local cache .*hf download"
    with pytest.raises(BuildError, match=message):
        fetch_model(parse_model_ref("team/unknown"))
    with pytest.raises(BuildError, match=r"^team/unknown@v1: not in the local cache of the hub"):
        fetch_model(parse_model_ref("team/unknown@v1"))


def test_a_repository_with_only_a_bin_file_gives_that(cache: Path) -> None:
    snapshot = cached_model(cache, "team/old", weights="pytorch_model.bin")
    ref = fetch_model(parse_model_ref("team/old"))
    assert ref.folder == snapshot
    assert (snapshot / "pytorch_model.bin").exists()


def test_a_local_folder_is_left_alone(tmp_path: Path) -> None:
    folder = write_tiny_bert(tmp_path / "model")
    ref = ModelRef("model", folder)
    assert fetch_model(ref) is ref
    shutil.rmtree(folder)


@pytest.mark.parametrize(
    "tokenizer",
    [
        ["source.spm", "target.spm", "vocab.json"],
        ["bpe.codes", "vocab.txt"],
        ["prophetnet.tokenizer"],
        ["sentencepiece.bpe.model"],
        ["qwen.tiktoken"],
    ],
    ids=["marian", "phobert", "prophetnet", "camembert", "qwen"],
)
def test_all_files_of_a_tokenizer_are_downloaded(tokenizer: list[str]) -> None:
    from huggingface_hub.utils import filter_repo_objects

    files = ["config.json", "chat_template.jinja", *tokenizer, "README.md", "tf_model.h5"]
    assert list(filter_repo_objects(files, allow_patterns=list(SETTINGS))) == files[:-2]
