"""Damages entries of a real store, and checks that slimgate detects each damage and makes the entry again.

    python -m tools.trust.damaged_store [DAMAGES] [SEED]

The store is that of the tiny suite of tools/trust/kill_nine.py. There are seven kinds of damage, in turn, at
random places of random entries: a truncated file, a flipped bit, two swapped files or entries, a changed
manifest, a missing file, an added file. After each damage, the store must not find the entry, must make it
again, and must set the damaged entry aside. To make an entry, this program copies the undamaged one, because
it tests the store and not the build.
"""

from __future__ import annotations

import json
import random
import shutil
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slimgate.store.seal import MANIFEST
from slimgate.store.store import DAMAGED, DamagedEntry, Store
from tools.trust import kill_nine

Entries = list[Path]
# Damages an entry, given the other entries and a random generator. Returns the entries that it has changed.
Damage = Callable[[Path, Entries, random.Random], Entries]


def _list_files(entry: Path) -> list[Path]:
    """The files of an entry that are not empty, with the manifest."""
    return [path for path in sorted(entry.rglob("*")) if path.is_file() and path.stat().st_size]


def truncate(entry: Path, _others: Entries, draw: random.Random) -> Entries:
    """Truncates a file, as a full disk does."""
    file = draw.choice(_list_files(entry))
    with file.open("r+b") as stream:
        stream.truncate(draw.randrange(file.stat().st_size))
    return [entry]


def flip_bit(entry: Path, _others: Entries, draw: random.Random) -> Entries:
    """Flips a bit of a file."""
    file = draw.choice(_list_files(entry))
    content = bytearray(file.read_bytes())
    content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
    file.write_bytes(content)
    return [entry]


def swap_files(entry: Path, other_entries: Entries, draw: random.Random) -> Entries:
    """Swaps a file with a file of the same name in another entry; does nothing if no such files differ."""
    pairs = [
        (file, other / file.relative_to(entry)) for file in _list_files(entry) for other in other_entries
    ]
    pairs = [
        (first, second)
        for first, second in pairs
        if second.is_file() and first.read_bytes() != second.read_bytes()
    ]
    if not pairs:
        return []
    first, second = draw.choice(pairs)
    _swap(first, second)
    return [entry, next(other for other in other_entries if other in second.parents)]


def swap_entries(entry: Path, other_entries: Entries, draw: random.Random) -> Entries:
    """Swaps two whole entries."""
    other = draw.choice(other_entries)
    _swap(entry, other)
    return [entry, other]


def change_manifest(entry: Path, _others: Entries, draw: random.Random) -> Entries:
    """Changes the manifest, which stays JSON."""
    manifest: dict[str, Any] = json.loads((entry / MANIFEST).read_text("utf-8"))
    name = draw.choice(sorted(manifest))
    if draw.random() < 0.5:
        del manifest[name]
    else:
        manifest[name] = "another" if manifest[name] != "another" else None
    (entry / MANIFEST).write_text(json.dumps(manifest), "utf-8")
    return [entry]


def remove_file(entry: Path, _others: Entries, draw: random.Random) -> Entries:
    """Removes a file."""
    draw.choice(_list_files(entry)).unlink()
    return [entry]


def add_file(entry: Path, _others: Entries, draw: random.Random) -> Entries:
    """Adds a file, which a library might read with the others."""
    (entry / draw.choice(["added_tokens.json", "model.bin", "x"])).write_bytes(draw.randbytes(20))
    return [entry]


KINDS: tuple[Damage, ...] = (
    *(truncate, flip_bit, swap_files, swap_entries),
    *(change_manifest, remove_file, add_file),
)


def _swap(first: Path, second: Path) -> None:
    aside = first.with_name(first.name + ".swapped")
    first.rename(aside)
    second.rename(first)
    aside.rename(second)


@dataclass(frozen=True)
class DamageReport:
    """The number of damages of each kind, and the rules that were broken."""

    damages: Counter[str]
    entries: int
    wrong: list[str]


def damage_all(root: Path, damages: int, seed: int = 0) -> DamageReport:
    """Damages entries of a store, and checks each time what the store returns."""
    draw = random.Random(seed)
    copy = Path(shutil.copytree(root, root.with_name(root.name + "-whole")))
    entries = [path.parent.relative_to(root) for path in sorted(root.glob("*/*/" + MANIFEST))]
    stored = [Store(root).find(entry.parent.name, entry.name) for entry in entries]
    shown = DamageReport(Counter(), len(entries), ["an entry was damaged before"] if None in stored else [])
    while shown.damages.total() < damages:
        kind = KINDS[shown.damages.total() % len(KINDS)]
        entry = draw.choice(entries)
        other_entries = [root / name for name in entries if name != entry]
        changed = kind(root / entry, other_entries, draw)
        if changed:
            shown.damages[kind.__name__] += 1
        shown.wrong.extend(
            wrong for changed_entry in changed for wrong in _check_damaged_entry(root, changed_entry, copy)
        )
    return shown


def _check_damaged_entry(root: Path, entry: Path, copy: Path) -> list[str]:
    """The rules that the store breaks for a damaged entry. Afterwards the entry is undamaged."""
    kind, key = entry.parent.name, entry.name

    def fill(folder: Path) -> dict[str, Any]:
        shutil.copytree(copy / kind / key, folder, dirs_exist_ok=True)
        (folder / MANIFEST).unlink()
        facts: dict[str, Any] = json.loads((copy / kind / key / MANIFEST).read_text("utf-8"))
        return facts

    before, wrong = len(list((root / DAMAGED).glob("*"))), []
    if Store(root).find(kind, key) is not None:
        wrong.append(f"{kind}/{key}: served as it was")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", DamagedEntry)
        if Store(root).make(kind, key, fill).from_store:
            wrong.append(f"{kind}/{key}: not made again")
    if len(caught) != 1 or key not in str(caught[0].message):
        wrong.append(f"{kind}/{key}: not one warning that names it, but {len(caught)}")
    if len(list((root / DAMAGED).glob("*"))) != before + 1:
        wrong.append(f"{kind}/{key}: not set aside")
    if Store(root).find(kind, key) is None:
        wrong.append(f"{kind}/{key}: not found though it was made again")
    return wrong


def main(damages: int = 300, seed: int = 0) -> int:
    """Prints the counts. Returns 0 if no rule was broken."""
    folder = kill_nine.write_repository(Path(tempfile.mkdtemp(prefix="damaged-store-")))
    building = ("-k", "not latency and not speedup", "-p", "no:benchmark")
    wrong = kill_nine.finish(folder, "store", *building)
    shown = damage_all(folder / "store", damages, seed)
    for kind, count in shown.damages.items():
        sys.stdout.write(f"{kind}: {count}\n")
    wrong += shown.wrong
    summary = f"{shown.damages.total()} damages over {shown.entries} entries: "
    summary += f"{len(wrong)} rules broken" if wrong else "all seen, none served, all made again"
    sys.stdout.write("\n".join([summary, *wrong]) + "\n")
    shutil.rmtree(folder)
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
