"""slimgate.models.cache_argument: the name of the cache in every release of transformers."""

from __future__ import annotations

import pytest
from torch import nn

from slimgate.models import cache_argument as module
from slimgate.models.cache_argument import make_cache_keyword


class Earlier(nn.Module):
    def forward(self, input_ids: object, past_key_values: object = None) -> None: ...


class Later(nn.Module):
    def forward(self, input_ids: object, cache: object = None) -> None: ...


class Wrapper(nn.Module):
    def forward(self, *args: object, **kwargs: object) -> None: ...


@pytest.mark.parametrize(
    ("network", "release", "name"),
    [
        (Earlier(), "5.24.0", "past_key_values"),
        (Later(), "5.23.0", "cache"),
        (Wrapper(), "5.23.0", "past_key_values"),
        (Wrapper(), "5.24.0", "cache"),
    ],
    ids=["earlier", "later", "wrapper before", "wrapper after"],
)
def test_the_cache_has_the_name_that_forward_has(
    network: nn.Module, release: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "version", {"transformers": release}.__getitem__)
    module._find_argument_name.cache_clear()
    assert make_cache_keyword(network, None) == {name: None}  # type: ignore[arg-type]
    module._find_argument_name.cache_clear()
