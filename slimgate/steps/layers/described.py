"""The bases of layers that slimgate puts into a model, and their biases.

An artifact describes such a layer by its constructor's arguments (replace_modules.py).
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
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


class DerivingLayer(DescribedLayer):
    """A layer that derives values from its state at its first call, and keeps them outside of the state.

    It forgets them when it is loaded, moved or copied. derived: the names of their attributes, None until
    they are made.
    """

    derived: ClassVar[tuple[str, ...]]

    def __init__(self) -> None:
        super().__init__()
        self.forget()

    def forget(self) -> None:
        """Drops the derived values, so that the next call derives them again."""
        for name in self.derived:
            setattr(self, name, None)

    def _apply(self, *args: object, **kwargs: object) -> Any:
        self.forget()
        return super()._apply(*args, **kwargs)  # type: ignore[no-untyped-call]

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        self.forget()
        super()._load_from_state_dict(*args, **kwargs)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, **dict.fromkeys(self.derived)}


def make_frozen_parameter(values: torch.Tensor) -> nn.Parameter:
    """A parameter that no training changes."""
    return nn.Parameter(values, requires_grad=False)


def copy_bias(bias: torch.Tensor | None) -> nn.Parameter | None:
    """A frozen copy in float32; None for a layer without a bias."""
    return None if bias is None else make_frozen_parameter(bias.detach().to(torch.float32, copy=True))
