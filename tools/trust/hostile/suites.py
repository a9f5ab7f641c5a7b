"""Suite files: bad TOML, huge numbers, paths out of the folder, text that controls a terminal."""

from __future__ import annotations

import os
from pathlib import Path

from tools.trust.hostile.cases import SUITE, Input, Write
from tools.trust.hostile.repository import PLAN, write_repository

TITLE = 'title = "hostile"'
MODEL = 'model = "../model"'
ROWS = 'path = "rows.csv"'


def edit(old: str, new: str) -> Write:
    """The suite with one text replaced."""

    def write(folder: Path) -> list[str]:
        write_repository(folder, (old, new))
        return PLAN

    return write


def replace(content: bytes) -> Write:
    """A suite file with other content."""

    def write(folder: Path) -> list[str]:
        write_repository(folder)
        (folder / "bench/x.toml").write_bytes(content)
        return PLAN

    return write


def _write_circle(folder: Path) -> list[str]:
    write_repository(folder, (ROWS, 'path = "a.csv"'))
    for name, to in (("a.csv", "b.csv"), ("b.csv", "a.csv")):
        if not (folder / "bench" / name).is_symlink():
            os.symlink(to, folder / "bench" / name)
    return PLAN


def _write_suite_circle(folder: Path) -> list[str]:
    write_repository(folder)
    if not (folder / "bench/loop.toml").is_symlink():
        os.symlink("loop.toml", folder / "bench/loop.toml")
    return ["bench", "--slimgate-plan"]


def _write_package_link(folder: Path) -> list[str]:
    """Writes a package whose weights are a link to a file outside of the package."""
    write_repository(folder, (MODEL, 'model = "package:linked/model"'))
    inner = folder / "linked/model"
    inner.mkdir(parents=True, exist_ok=True)
    (folder / "linked/__init__.py").touch()
    for name in ("config.json", "model.safetensors"):
        (inner / name).unlink(missing_ok=True)
        os.symlink(folder / "model" / name, inner / name)
    return PLAN


HASH, LONG = "0" * 64, "x" * 5000
INPUTS = [
    Input("suite: YAML in a .toml", SUITE, replace(b"suite:\n  title: x\n  opt_in: true\n")),
    Input("suite: brackets nested 50,000 deep", SUITE, replace(b"[suite]\nx = " + b"[" * 50_000)),
    Input("suite: tables nested 20,000 deep", SUITE, replace(b"[suite." + b"a." * 20_000 + b"b]\n")),
    Input("suite: a comment of 2 MB", SUITE, replace(b"[suite]\n#" + b"x" * 2_000_000)),
    Input("suite: NUL bytes", SUITE, replace(b'[suite]\ntitle = "a\0b"\n')),
    Input("suite: Latin-1 bytes", SUITE, replace('[suite]\ntitle = "é"\n'.encode("latin-1"))),
    Input("suite: UTF-16", SUITE, replace('[suite]\ntitle = "x"\n'.encode("utf-16"))),
    Input("suite: half of a surrogate pair", SUITE, replace(b'[suite]\ntitle = "\\ud800"\n')),
    Input("suite: a seed of 5,000 digits", SUITE, edit(TITLE, f"{TITLE}\nseed = {'9' * 5000}")),
    Input("suite: a seed of 30 digits", SUITE, edit(TITLE, f"{TITLE}\nseed = {'9' * 30}")),
    Input("suite: a budget of nan", SUITE, edit("50.0", "nan")),
    Input("suite: a budget of inf", SUITE, edit("50.0", "inf")),
    Input("suite: 1e18 rows", SUITE, edit("train = 40", "train = 1000000000000000000"), slow=True),
    Input("suite: a batch of 1e15", SUITE, edit("batch = 1 }", "batch = 1000000000000000 }"), codes=(0, 4)),
    Input("suite: a key that occurs twice", SUITE, edit(TITLE, f"{TITLE}\n{TITLE}")),
    Input("suite: a variant named ../../x", SUITE, edit("student =", '"../../x" =')),
    Input("suite: a variant named with ESC", SUITE, edit("student =", '"\\u001b[2J" =')),
    Input("suite: an unknown key with ESC", SUITE, edit(TITLE, '"\\u001b]0;x\\u0007" = 1')),
    Input("suite: extends itself", SUITE, edit(TITLE, f'{TITLE}\nextends = "x.toml"')),
    Input("suite: extends a NUL byte", SUITE, edit(TITLE, f'{TITLE}\nextends = "\\u0000"')),
    Input("suite: rows with a path of 5,000 characters", SUITE, edit(ROWS, f'path = "{LONG}.csv"')),
    Input("suite: rows in /dev/zero", SUITE, edit(ROWS, 'path = "/dev/zero", format = "csv"')),
    Input("suite: rows whose path is a loop of links", SUITE, _write_circle),
    Input("suite: a link in bench/ that points to itself", SUITE, _write_suite_circle, codes=(0, 5)),
    Input("suite: a model in ~nobody-here", SUITE, edit(MODEL, 'model = "~nobody-here/x"')),
    Input("suite: package:json/../../..", SUITE, edit(MODEL, 'model = "package:json/../../.."')),
    Input("suite: package:json//etc", SUITE, edit(MODEL, 'model = "package:json//etc"')),
    Input("suite: a package with weights that link out of the package", SUITE, _write_package_link),
    Input("suite: weights with another digest", SUITE, edit(MODEL, f'{MODEL}\nsha256 = "{HASH}"')),
    Input("suite: trust_remote_code", SUITE, edit(MODEL, f"{MODEL}\ntrust_remote_code = true")),
    Input("suite: a step named os:system", SUITE, edit("keep_layers = [0]", '"os:system" = {}')),
]
