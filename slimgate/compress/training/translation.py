"""Texts said in other words by a user's own function: back-translation where a translator is given."""

from __future__ import annotations

from collections.abc import Sequence

from slimgate.errors import BuildError
from slimgate.loading import load_object


def translated(texts: Sequence[str], name: str) -> list[str]:
    """What the function "package.module:function" makes of the texts: as many, in their order.

    It is called once with all of them, so that it batches as suits its model. Raises BuildError where it
    gives anything else than a text for each.
    """
    found = load_object(name)(list(texts))
    if not isinstance(found, list | tuple):
        raise BuildError(f"translator {name} gave {type(found).__name__} back, expected a list of texts")
    if len(found) != len(texts):
        raise BuildError(f"translator {name} gave {len(found)} texts for {len(texts)}, expected one for each")
    for place, text in enumerate(found):
        if not isinstance(text, str):
            came = f"{type(text).__name__} for text {place}"
            raise BuildError(f"translator {name} gave {came}, expected str")
    return list(found)
