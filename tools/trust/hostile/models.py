"""Model folders: pickles that run code, zip bombs, their own code, files of other folders."""

from __future__ import annotations

import json
import pickle
import zipfile
from pathlib import Path
from typing import Any

from tools.trust.hostile.cases import SUITE, Input, Write
from tools.trust.hostile.repository import PLAN, write_repository
from tools.trust.hostile.suites import MODEL

RUN = ["bench/x.toml", "-k", "size", "-q"]


class Bomb:
    """An object that writes the canary when it is unpickled."""

    def __init__(self, canary: Path) -> None:
        self._canary = canary

    def __reduce__(self) -> Any:
        return (Path.touch, (self._canary,))


def make_pickle(folder: Path) -> bytes:
    """A pickle that runs code when it is loaded."""
    return pickle.dumps({"embeddings.weight": Bomb(folder / "CODE_RAN")}, protocol=2)


def _write_bin(folder: Path) -> list[str]:
    """A real model whose only weights are a pickle that runs code."""
    from fixtures.models.tiny import write_tiny_bert

    write_repository(folder)
    write_tiny_bert(folder / "model", num_hidden_layers=2)
    (folder / "model/model.safetensors").unlink()
    (folder / "model/pytorch_model.bin").write_bytes(make_pickle(folder))
    return RUN


def _write_zipped_bin(folder: Path) -> list[str]:
    """The same, as torch.save writes it."""
    _write_bin(folder)
    with zipfile.ZipFile(folder / "model/pytorch_model.bin", "w") as stored:
        stored.writestr("archive/data.pkl", make_pickle(folder))
        stored.writestr("archive/version", "3\n")
    return RUN


def _make_other_file(name: str) -> Write:
    def write(folder: Path) -> list[str]:
        write_repository(folder)
        (folder / "model/model.safetensors").unlink(missing_ok=True)
        (folder / "model" / name).write_bytes(make_pickle(folder))
        return PLAN

    return write


def _write_file(folder: Path) -> list[str]:
    write_repository(folder, (MODEL, 'model = "model.pkl"'))
    (folder / "bench/model.pkl").write_bytes(make_pickle(folder))
    return PLAN


def _write_zip_bomb(folder: Path) -> list[str]:
    """2 GB of zeros in 2 MB."""
    write_repository(folder)
    (folder / "model/model.safetensors").unlink(missing_ok=True)
    with zipfile.ZipFile(folder / "model/pytorch_model.bin", "w", zipfile.ZIP_DEFLATED) as stored:
        stored.writestr("archive/data.pkl", pickle.dumps({}))
        with stored.open("archive/data/0", "w", force_zip64=True) as zeros:
            for _ in range(128):
                zeros.write(bytes(2**24))
    return PLAN


def _make_setting(file: str, **settings: Any) -> Write:
    def write(folder: Path) -> list[str]:
        write_repository(folder)
        path = folder / "model" / file
        known = json.loads(path.read_text()) if path.is_file() else {}
        path.write_text(json.dumps({**known, **settings}))
        (folder / "model/modeling_own.py").write_text(f"open({str(folder / 'CODE_RAN')!r}, 'w')\n")
        return PLAN

    return write


def _make_config(content: str) -> Write:
    def write(folder: Path) -> list[str]:
        write_repository(folder)
        (folder / "model/config.json").write_text(content, "utf-8", "surrogatepass")
        return PLAN

    return write


def _make_weights(content: bytes) -> Write:
    def write(folder: Path) -> list[str]:
        from fixtures.models.tiny import write_tiny_bert

        write_repository(folder)
        write_tiny_bert(folder / "model", num_hidden_layers=2)
        (folder / "model/model.safetensors").write_bytes(content)
        return RUN

    return write


OWN_CODE = {"AutoConfig": "modeling_own.Config", "AutoModel": "modeling_own.Model"}
ELSEWHERE = {"x": "../../other/model.safetensors"}
INPUTS = [
    Input("model: a pickle bomb as pytorch_model.bin", SUITE, _write_bin, codes=(1,), slow=True),
    Input("model: a pickle bomb in an archive of torch", SUITE, _write_zipped_bin, codes=(1,), slow=True),
    Input("model: a pickle as model.pkl", SUITE, _write_file),
    Input("model: a folder with only model.pt", SUITE, _make_other_file("model.pt")),
    Input("model: a folder with only model.joblib", SUITE, _make_other_file("model.joblib")),
    Input("model: a zip bomb (2 GB in 2 MB) as .bin", SUITE, _write_zip_bomb, slow=True),
    Input(
        "model: its own code in auto_map",
        SUITE,
        _make_setting("config.json", model_type="own", auto_map=OWN_CODE),
    ),
    Input(
        "model: a tokenizer with its own code",
        SUITE,
        _make_setting(
            "tokenizer_config.json",
            tokenizer_class="Own",
            auto_map={"AutoTokenizer": ["tokenizing.Own", None]},
        ),
    ),
    Input(
        "model: shards in another folder",
        SUITE,
        _make_setting("model.safetensors.index.json", weight_map=ELSEWHERE),
    ),
    Input("model: config.json nested 100,000 deep", SUITE, _make_config("[" * 100_000)),
    Input(
        "model: config.json with a number of 5,000 digits", SUITE, _make_config('{"a": ' + "9" * 5000 + "}")
    ),
    Input("model: config.json is a list", SUITE, _make_config("[]")),
    Input(
        "model: config.json with -1 positions",
        SUITE,
        _make_config('{"model_type": "bert", "max_position_embeddings": -1}'),
    ),
    Input(
        "model: a safetensors file with a header of 2^63 bytes",
        SUITE,
        _make_weights(b"\xff" * 7 + b"\x7f{}"),
        codes=(1,),
        slow=True,
    ),
]
