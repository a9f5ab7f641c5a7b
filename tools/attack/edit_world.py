"""A project with one suite: the edits of its files, its suite, its rows and its store."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

from tools.attack.world import World, action

SUITE = "bench/gate.toml"
STORE, SECOND_STORE = ".slimgate", "second-store"
Tables = dict[str, Any]


class EditWorld(World):
    """The edits of a world with one suite. gate: the file of the gate rows."""

    gate: ClassVar[str] = "gate.jsonl"
    # A metric of the task that has no budget in the first state.
    unlimited_metric: ClassVar[str]

    # --- the store ---

    @action(1)
    def delete_store_entries(self, draw: random.Random) -> str | None:
        entries = sorted(self.project.find_path(STORE).glob("*/*/manifest.json"))
        if not entries:
            return None
        chosen = draw.sample(entries, draw.randint(1, len(entries)))
        for entry in chosen:
            shutil.rmtree(entry.parent)
        return f"delete {len(chosen)} of {len(entries)} entries of the store"

    @action(1)
    def damage_store_entry(self, draw: random.Random) -> str | None:
        files = [path for path in sorted(self.project.find_path(STORE).glob("*/*/*")) if path.is_file()]
        files = [path for path in files if (path.parent / "manifest.json").exists() and path.stat().st_size]
        if not files:
            return None
        name = draw.choice(files).relative_to(self.project.folder).as_posix()
        return self.project.change_byte(name, draw)

    @action(1)
    def swap_stored_outcomes(self, draw: random.Random) -> str | None:
        files = sorted(self.project.find_path(STORE).glob("outcomes/*/outcomes.parquet"))
        if len(files) < 2:
            return None
        source, target = draw.sample(files, 2)
        shutil.copy2(source, target)
        return "copy outcomes.parquet of one store entry over another's"

    @action(1)
    def copy_store(self, draw: random.Random) -> str:
        source, target = draw.sample((STORE, SECOND_STORE), 2)
        self.project.copy_folder(source, target)
        return f"copy {source} over {target}"

    # --- edits of files ---

    def list_model_files(self) -> list[str]:
        """The files of the models."""
        return self.project.list_files("models")

    @action(2)
    def change_a_byte(self, draw: random.Random) -> str:
        return self.project.change_byte(draw.choice(self.list_model_files()), draw)

    @action(1)
    def touch_a_file(self, draw: random.Random) -> str:
        name = draw.choice(self.project.list_files())
        self.project.touch(name)
        return f"touch {name}"

    @action(2)
    def restore_older_file(self, draw: random.Random) -> str | None:
        names = sorted(name for name in self.project.older if self.project.find_path(name).is_file())
        if not names:
            return None
        name = draw.choice(names)
        content, moment = draw.choice(self.project.older[name])
        self.project.write(name, content, at=moment)
        return f"restore an older {name} with its modification time"

    @action(1)
    def link_a_file(self, draw: random.Random) -> str | None:
        names = [name for name in self.list_model_files() if self.project.older.get(name)]
        if not names:
            return None
        name = draw.choice(names)
        content, moment = draw.choice(self.project.older[name])
        target = f"elsewhere/{draw.randrange(10**6)}-{Path(name).name}"
        self.project.write(target, content, at=moment)
        self.project.find_path(name).unlink()
        self.project.find_path(name).symlink_to(self.project.find_path(target))
        return f"replace {name} by a link to an older version of it"

    @action(1)
    def copy_model_folder(self, draw: random.Random) -> str | None:
        folders = sorted(path.name for path in self.project.find_path("models").iterdir() if path.is_dir())
        source, target = draw.sample(folders, 2)
        self.project.copy_folder(f"models/{source}", f"models/{target}")
        return f"copy models/{source} over models/{target}"

    # --- edits of the suite ---

    def _list_variants(self) -> list[str]:
        return sorted(self.project.read_tables(SUITE).get("variants", {}))

    def _edit_suite(self, edit: Callable[[Tables], None]) -> None:
        tables = self.project.read_tables(SUITE)
        edit(tables)
        self.project.write_tables(SUITE, tables)

    def _scale_budget(self, draw: random.Random, factor: float, **added: str) -> str | None:
        budgets = self.project.read_tables(SUITE).get("budgets", {})
        names = sorted(name for name, budget in budgets.items() if "drop_points" in budget)
        if not names:
            return None
        name = draw.choice(names)
        limit = min(90.0, budgets[name]["drop_points"] * factor)

        def edit(tables: Tables) -> None:
            tables["budgets"][name] = {**budgets[name], "drop_points": limit, **added}

        self._edit_suite(edit)
        return f"budget {name}: drop_points = {limit:g}" + "".join(f", {key} given" for key in added)

    @action(2)
    def loosen_budget(self, draw: random.Random) -> str | None:
        return self._scale_budget(draw, 4)

    @action(1)
    def loosen_budget_with_reason(self, draw: random.Random) -> str | None:
        return self._scale_budget(draw, 4, reason=f"agreed on day {draw.randrange(10**6)}")

    @action(1)
    def tighten_budget(self, draw: random.Random) -> str | None:
        return self._scale_budget(draw, 0.5)

    @action(2)
    def delete_budget(self, draw: random.Random) -> str | None:
        budgets = sorted(self.project.read_tables(SUITE).get("budgets", {}))
        if len(budgets) < 2:
            return None
        name = draw.choice(budgets)
        self._edit_suite(lambda tables: tables["budgets"].pop(name))
        return f"delete budget {name}"

    @action(1)
    def add_budget(self, draw: random.Random) -> str:
        self._edit_suite(
            lambda tables: tables["budgets"].update({self.unlimited_metric: {"drop_points": 10.0}})
        )
        return f"add budget {self.unlimited_metric}: drop_points = 10"

    @action(2)
    def make_informational(self, draw: random.Random) -> str | None:
        if not (variants := self._list_variants()):
            return None
        name = draw.choice(variants)
        self._edit_suite(lambda tables: tables["variants"][name].update(gated=False, reason="later"))
        return f'{name}: gated = false, reason = "later"'

    @action(1)
    def rename_variant(self, draw: random.Random) -> str | None:
        if not (variants := self._list_variants()):
            return None
        name = draw.choice(variants)
        new = f"renamed{draw.randrange(100)}"
        self._edit_suite(lambda tables: tables["variants"].update({new: tables["variants"].pop(name)}))
        return f"rename variant {name} to {new}"

    @action(1)
    def change_seed(self, draw: random.Random) -> str:
        seed = draw.randrange(100)
        self._edit_suite(lambda tables: tables["suite"].update(seed=seed))
        return f"seed = {seed}"

    @action(1)
    def only_warn(self, draw: random.Random) -> str:
        self._edit_suite(lambda tables: tables.setdefault("measure", {}).update(on_inconclusive="warn"))
        return 'on_inconclusive = "warn"'

    # --- edits of the rows ---

    def _read_gate_lines(self) -> list[str]:
        return self.project.read(self.gate).decode().splitlines()

    def _read_gate(self) -> tuple[list[str], list[str]]:
        """The header of a CSV file, as a list of one line or none, and the lines of the rows."""
        lines = self._read_gate_lines()
        header_lines = 1 if self.gate.endswith(".csv") else 0
        return lines[:header_lines], lines[header_lines:]

    def _write_gate(self, lines: Sequence[str]) -> None:
        self.project.write(self.gate, "".join(f"{line}\n" for line in lines))

    @action(1)
    def delete_rows(self, draw: random.Random) -> str:
        header, rows = self._read_gate()
        count = draw.choice((3, 20, 60))
        deleted = set(draw.sample(range(len(rows)), min(count, len(header) + len(rows) - 40)))
        self._write_gate(header + [row for at, row in enumerate(rows) if at not in deleted])
        return f"delete {len(deleted)} gate rows"

    @action(1)
    def reorder_rows(self, draw: random.Random) -> str:
        header, rows = self._read_gate()
        draw.shuffle(rows)
        self._write_gate(header + rows)
        return "reorder the gate rows"

    @action(1)
    def duplicate_rows(self, draw: random.Random) -> str:
        header, rows = self._read_gate()
        self._write_gate(header + rows + draw.sample(rows, 20))
        return "write 20 gate rows a second time"


def make_files_source(train: str, gate: str) -> Tables:
    """The source of a suite that reads two files of the project's folder."""
    return {"name": "files", "train": f"../{train}", "gate": f"../{gate}", "real": False}
