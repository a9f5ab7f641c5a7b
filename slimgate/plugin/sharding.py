"""pytest's side of `--slimgate-shard 2/5`: the tests of other shards' variants are deselected.

Every shard runs the teacher, with its self-test and times, so each variant is compared with the teacher on
the same machine.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import pytest

from slimgate.plugin.collect import find_suite, list_named_models, list_params
from slimgate.plugin.config import SESSION, read_shard_option

if TYPE_CHECKING:
    from slimgate.suite.suite import Suite


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselects the tests of variants that belong to other shards."""
    shard = read_shard_option(config)
    if shard is None:
        return
    from slimgate.run.shards import list_shard_variants

    @cache
    def find_others(path: object) -> frozenset[str]:
        suite = config.stash[SESSION].suites[path]  # type: ignore[index]
        return frozenset(suite.variants) - set(list_shard_variants(suite, shard))

    deselected = [
        item
        for item in items
        if (suite := _find_test_suite(item)) is not None
        and find_others(suite.path).intersection(list_named_models(item))
    ]
    if deselected:
        config.hook.pytest_deselected(items=deselected)
        removed = set(map(id, deselected))
        items[:] = [item for item in items if id(item) not in removed]


def _find_test_suite(item: pytest.Item) -> Suite | None:
    """The suite of a gate, or of a hand-written test whose mark names one."""
    path = list_params(item).get("slimgate_run")
    return find_suite(item) if path is None else item.config.stash[SESSION].suites.get(path)
