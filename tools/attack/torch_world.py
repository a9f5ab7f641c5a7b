"""Worlds whose models are folders of weights: edits that damage or repair a file."""

from __future__ import annotations

import json
import random
import shutil
import struct
from collections.abc import Sequence
from typing import Any, ClassVar

from tools.attack.suite_world import SuiteWorld
from tools.attack.world import action

TEACHER = "models/base"


class TorchWorld(SuiteWorld):
    """At first, the folder of each variant is a copy of models/base."""

    selection = ("-k", "not latency and not speedup and not planted_delay")
    copies: ClassVar[Sequence[str]] = ()
    # The kind of model that tiny_models.py writes for this world.
    tiny: ClassVar[str]
    # (file, key, values) of a JSON file of the model.
    settings: ClassVar[Sequence[tuple[str, str, Sequence[Any]]]] = ()

    def write_models(self) -> None:
        """Writes models/base and its copies."""
        folder = self.project.folder
        done = self.run_module("tools.attack.tiny_models", self.tiny, str(folder / "written"))
        if done.code:
            raise RuntimeError(str(done))
        shutil.move(folder / "written/model", folder / TEACHER)
        for name in self.copies:
            shutil.copytree(folder / TEACHER, folder / f"models/{name}")
        for path in sorted((folder / "written").iterdir()):
            shutil.move(path, folder / path.name)
        (folder / "written").rmdir()

    def _choose_folder(self, draw: random.Random) -> str:
        return f"models/{draw.choice(self.copies)}"

    @action(3)
    def damage_weights(self, draw: random.Random) -> str:
        """Flips the sign of many weights. The size of the file stays, and sometimes its modification time."""
        name = f"{self._choose_folder(draw)}/model.safetensors"
        content, before = bytearray(self.project.read(name)), self.project.read_modified(name)
        start = 8 + struct.unpack("<Q", content[:8])[0]
        for at in range(start + 3, len(content), 4):
            if draw.random() < 0.3:
                content[at] ^= 0x80
        silent = draw.random() < 0.3
        self.project.write(name, bytes(content), at=before if silent else None)
        return f"turn signs of weights in {name}" + (", same modification time" if silent else "")

    @action(2)
    def mend_model(self, draw: random.Random) -> str:
        folder = self._choose_folder(draw)
        for name in self.project.list_files(TEACHER):
            self.project.write(f"{folder}/{name.removeprefix(f'{TEACHER}/')}", self.project.read(name))
        return f"write every file of {TEACHER} into {folder}"

    @action(3)
    def change_setting(self, draw: random.Random) -> str:
        folder = self._choose_folder(draw)
        file, key, values = draw.choice(self.settings)
        name, value = f"{folder}/{file}", draw.choice(values)
        table = json.loads(self.project.read(name)) if self.project.find_path(name).is_file() else {}
        self.project.write(name, json.dumps({**table, key: value}, indent=2))
        return f"{name}: {key} = {value}"

    @action(1)
    def add_file(self, draw: random.Random) -> str:
        name = f"{self._choose_folder(draw)}/{draw.choice(('notes/used.json', 'extra.bin', 'adapter.txt'))}"
        self.project.write(name, f"{draw.random()}\n")
        return f"write {name}"

    @action(1)
    def rename_tokens(self, draw: random.Random) -> str | None:
        """Exchanges the numbers of tokens in tokenizer.json."""
        name = f"{self._choose_folder(draw)}/tokenizer.json"
        if not self.project.find_path(name).is_file():
            return None
        try:
            table = json.loads(self.project.read(name))
            vocabulary = table["model"]["vocab"]
            tokens = sorted(token for token in vocabulary if len(token) < 8)
        except (ValueError, KeyError, TypeError):
            return None
        for token, other in zip(tokens[::2], tokens[1::2], strict=False):
            vocabulary[token], vocabulary[other] = vocabulary[other], vocabulary[token]
        self.project.write(name, json.dumps(table))
        return f"{name}: exchange the numbers of tokens"
