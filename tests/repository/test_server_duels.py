"""The suite and the table of tools.measuring.server_duels, from duels by hand."""

from __future__ import annotations

import argparse
import json
import tomllib
from dataclasses import asdict
from pathlib import Path

from tools.measuring.server_duels import Duel, make_table, read_duels, write_suite
from tools.measuring.slow_proxy import SERVER_PORT

DUELS = [
    Duel(0, "again", "c1", 1.01, 0.9, 1.1, 0.05),
    Duel(0, "slower", "c1", 0.9, 0.85, 0.98, 0.05),
    Duel(0, "slower", "c1-ttft", 0.9, 0.85, 0.97, 0.05),
    Duel(1, "again", "c1", 1.2, 1.1, 1.3, 0.05),
    Duel(1, "slower", "c1", 0.95, 0.9, 1.02, 0.05),
    Duel(1, "slower", "c1-ttft", 0.95, 0.9, 1.01, 0.05),
]


def test_duels_are_read_again_and_counted(tmp_path: Path) -> None:
    log = tmp_path / "duels.jsonl"
    assert list(read_duels(log)) == []
    log.write_text("".join(json.dumps(asdict(duel)) + "\n" for duel in DUELS))
    duels = list(read_duels(log))
    assert duels == DUELS
    table, _, runs = make_table(duels).rpartition("\n\n")
    cells = [[cell.strip() for cell in line.split("|")[1:6]] for line in table.splitlines()[2:]]
    assert cells == [
        ["again", "c1", "2", "0", "1"],
        ["slower", "c1", "2", "1", "0"],
        ["slower", "c1-ttft", "2", "1", "0"],
    ]
    assert runs == "again: claimed in 1 of 2 runs; slower: claimed in 1 of 2 runs"


def test_the_proxy_and_its_server_have_ports_of_their_own() -> None:
    options = argparse.Namespace(
        command="serve a --port {port}",
        other="serve b --port {port}",
        model="m",
        slower=0.1,
        tokens=8,
        users=1,
        requests=1,
        blocks=1,
    )
    suite = tomllib.loads(write_suite(options))
    for model in (suite["teacher"], suite["variants"]["other"], suite["variants"]["slower"]):
        proxy, server = " ".join(model["server"]["command"]).split(" -- ")
        assert proxy.endswith("{port}")
        assert server.endswith(f"--port {SERVER_PORT}")
