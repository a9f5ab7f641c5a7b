"""Downloads models of the hub into folders of the local cache."""

from __future__ import annotations

import difflib
import re
from dataclasses import replace
from pathlib import Path

from slimgate.errors import BuildError
from slimgate.models.model_files import check_model_files
from slimgate.models.model_ref import add_stored_format, digest_weights, read_config
from slimgate.models.quantized_files import read_quantized
from slimgate.models.saved_files import VOCABULARIES
from slimgate.plugins.models import ModelRef

# Settings and tokenizers. bpe.codes is a second file of a vocabulary (BERTweet, PhoBERT).
SETTINGS = ("*.json", "*.txt", "*.jinja", "*.py", *VOCABULARIES, "bpe.codes")
COMMIT = re.compile(r"^[0-9a-f]{40}$")


def fetch_model(ref: ModelRef) -> ModelRef:
    """Downloads a model, and returns its reference with the local folder and the commit.

    It takes safetensors if the repository has them, else pytorch_model.bin. It does not download cached files
    again. Without a network it uses only the cache; with HF_HUB_OFFLINE=1 it never contacts the hub. Raises
    BuildError if the model is not in the cache and cannot be downloaded.
    """
    if ref.folder is not None or ref.hub_id is None:
        return ref
    folder = _download(ref, ("*.safetensors", *SETTINGS))
    if not any(folder.glob("*.safetensors")):
        folder = _download(ref, ("*.bin", *SETTINGS))
    check_model_files(folder, ref.text)
    if ref.sha256 is not None and (actual := digest_weights(folder)) != ref.sha256:
        raise BuildError(f"{ref.text}: the weights have sha256 {actual}, the suite expects {ref.sha256}")
    commit = folder.name if COMMIT.match(folder.name) else ref.revision
    return add_stored_format(replace(ref, folder=folder, revision=commit))


def fetch_settings(ref: ModelRef) -> Path:
    """The folder of a hub model's config.json and tokenizer, without its weights. Raises BuildError."""
    folder = _download(ref, ("config.json", "tokenizer.json"))
    if not (folder / "config.json").is_file():
        raise BuildError(f"{ref.text}: has no config.json, expected a model that transformers loads")
    check_model_files(folder, ref.text)
    read_quantized(folder, read_config(folder), ref.text)
    return folder


def _download(ref: ModelRef, patterns: tuple[str, ...]) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.constants import HF_HUB_OFFLINE
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        downloaded = snapshot_download(
            str(ref.hub_id),
            revision=ref.revision,
            allow_patterns=list(patterns),
            # without it, versions 1.30 to 2.0 contact the hub even for a commit
            local_files_only=HF_HUB_OFFLINE,
        )
    except LocalEntryNotFoundError as error:
        raise BuildError(
            f"{ref.text}: {_describe_missing_folder(ref)}not in the local cache of the hub, and the hub "
            f"cannot be reached; download it first (hf download {ref.hub_id}), or give a folder"
        ) from error
    except HFValidationError as error:
        raise BuildError(
            f"{ref.text}: {_describe_missing_folder(ref)}not a name of the hub: {error}"
        ) from error
    except HfHubHTTPError as error:
        problem = str(error).strip().splitlines()[0]
        raise BuildError(
            f"{ref.text}: {_describe_missing_folder(ref)}the hub refused it: {problem}"
        ) from error
    except OSError as error:
        raise BuildError(
            f"{ref.text}: {_describe_missing_folder(ref)}the hub cannot be reached ({error}); download it "
            "once, or give a folder"
        ) from error
    return Path(downloaded)


def _describe_missing_folder(ref: ModelRef) -> str:
    """The sentence that there is no such folder, because a hub name may be a mistyped path. May be empty."""
    if ref.looked_for is None:
        return ""
    models = [path.parent.name for path in ref.looked_for.parent.glob("*/config.json")]
    close = difflib.get_close_matches(ref.looked_for.name, models, n=1)
    return f"there is no folder {ref.looked_for}{f' (near it: {close[0]})' if close else ''}; "
