"""The base of layers that an artifact describes by their constructors' arguments (replace_modules.py)."""

from __future__ import annotations

from typing import Any, ClassVar

from torch import nn


class DescribedLayer(nn.Module):
    """A layer whose constructor takes what its attributes hold.

    arguments: the names of its constructor's arguments. `bias` is whether the layer has one.
    """

    arguments: ClassVar[tuple[str, ...]]

    def list_options(self) -> dict[str, Any]:
        """The arguments of its constructor."""
        options = {name: getattr(self, name) for name in self.arguments}
        return options | ({"bias": options["bias"] is not None} if "bias" in options else {})

    def extra_repr(self) -> str:
        return ", ".join(f"{name}={value}" for name, value in self.list_options().items())
