"""Language models with a chat template: a released folder is compared with the base model."""

from __future__ import annotations

import json
import random

from tools.attack.edit_world import SUITE, make_files_source
from tools.attack.tiny_models import TEMPLATE
from tools.attack.torch_world import TEACHER, TorchWorld
from tools.attack.world import action

ROWS = 80


class Chat(TorchWorld):
    name = "chat"
    unlimited_metric = "empty"
    share = 1
    copies = ("rel",)
    tiny = "decoder"
    settings = (
        ("config.json", "rms_norm_eps", (1e-6, 10.0)),
        ("config.json", "hidden_act", ("silu", "relu")),
        ("config.json", "eos_token_id", (0, 5)),
        ("generation_config.json", "eos_token_id", (0, [0, *range(60, 200)])),
        ("generation_config.json", "repetition_penalty", (1.0, 5.0)),
        ("generation_config.json", "suppress_tokens", ([], list(range(20, 150)))),
        ("tokenizer_config.json", "add_bos_token", (False, True)),
        ("tokenizer_config.json", "eos_token", ("<|endoftext|>", "a")),
        ("processor_config.json", "chat_template", (TEMPLATE, "other")),
    )

    def write_project(self) -> None:
        self.write_models()
        project = self.project
        project.write("pytest.ini", "[pytest]\n")
        for name, start, count in (("train.jsonl", 10_000, 20), ("gate.jsonl", 0, ROWS)):
            lines = (json.dumps({"q": f"{'abcdefgh'[at % 8]}{at}"}) for at in range(start, start + count))
            project.write(name, "".join(f"{line}\n" for line in lines))
        project.write_tables(
            SUITE,
            {
                "suite": {"title": "chat", "threads": 1},
                "task": {
                    "kind": "text_generation",
                    "source": make_files_source("train.jsonl", "gate.jsonl"),
                    "prompt": "q",
                    "chat": True,
                    "max_new_tokens": 4,
                    "splits": {"train": "rest", "calibration": 0, "selection": 0},
                },
                "teacher": {"model": f"../{TEACHER}"},
                "variants": {"rel": {"model": "../models/rel"}},
                "budgets": {"same_answers": {"drop_points": 6.0}, "looping": {"drop_points": 20.0}},
            },
        )

    @action(3)
    def edit_chat_template(self, draw: random.Random) -> str:
        text = draw.choice((TEMPLATE, f"{TEMPLATE}- ", "{% for m in messages %}ZZ{% endfor %} "))
        name = f"{self._choose_folder(draw)}/chat_template.jinja"
        self.project.write(name, text)
        return f"{name}: {text!r}"

    @action(1)
    def delete_chat_template(self, draw: random.Random) -> str:
        name = f"{self._choose_folder(draw)}/chat_template.jinja"
        self.project.find_path(name).unlink(missing_ok=True)
        return f"delete {name}"

    @action(1)
    def add_named_template(self, draw: random.Random) -> str:
        name = f"{self._choose_folder(draw)}/additional_chat_templates/default.jinja"
        self.project.write(name, "QQ ")
        return f"write {name}"
