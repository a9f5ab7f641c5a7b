"""Artifacts, which are stored models: reads their manifests, and loads them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slimgate.errors import BuildError
from slimgate.plugins.loading import find_default_runtime, load_plugins
from slimgate.store.store import Entry


@dataclass(frozen=True)
class Artifact:
    """A stored model: its folder, and its manifest (kind, digest, bytes, parameters, build log, …)."""

    entry: Entry

    @property
    def folder(self) -> Path:
        return self.entry.folder

    @property
    def kind(self) -> str:
        return str(self.entry.manifest["kind"])

    @property
    def digest(self) -> str:
        """Digest of the files' contents."""
        return str(self.entry.manifest["digest"])

    @property
    def manifest(self) -> dict[str, Any]:
        return self.entry.manifest

    @property
    def loader(self) -> Callable[[Path, str], Any] | None:
        """The function that loads artifacts of this kind for a step; None if no step can start from them."""
        runtime = find_default_runtime(self.kind)
        return runtime[1].load_model if runtime else None

    def load(self, device: str) -> Any:
        """Loads the model as it is judged. Raises BuildError if no runtime loads artifacts of this kind."""
        loader = self.loader
        if loader is None:
            kinds = (
                runtime.default_for for runtime in load_plugins("runtime").values() if runtime.load_model
            )
            known = ", ".join(sorted(frozenset[str]().union(*kinds)))
            raise BuildError(f"{self.folder}: an artifact of unknown kind {self.kind}; known: {known}")
        return loader(self.folder, device)
