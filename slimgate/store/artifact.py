"""Artifacts: which code loads each kind, and what their manifests say."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slimgate.errors import BuildError
from slimgate.loading import load_object
from slimgate.store.store import Entry

LOADERS = {
    "torch": "slimgate.models.torch_model:load_torch_model",
    "torch_quantized": "slimgate.models.torch_model:load_torch_model",
    "onnx": "slimgate.models.onnx_model:load_onnx_model",
    "openvino": "slimgate.models.openvino_model:load_openvino_model",
}


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

    def load(self, device: str) -> Any:
        """The model, ready for a step. Raises BuildError for a kind that this version does not know."""
        if self.kind not in LOADERS:
            raise BuildError(
                f"{self.folder}: an artifact of unknown kind {self.kind}; known: {', '.join(LOADERS)}"
            )
        return load_object(LOADERS[self.kind])(self.folder, device=device)
