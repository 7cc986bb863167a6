"""An OCI image made here: a busybox root as one layer, in the layout that every engine can load (image-spec)."""
from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.bundles import PATH, busybox_root

NAME = "docker.io/pyrunc/busybox:latest"


def _layer() -> bytes:
    """An uncompressed tar of the root file system."""
    stream = io.BytesIO()
    with tempfile.TemporaryDirectory() as folder, tarfile.open(fileobj=stream, mode="w") as tar:
        root = busybox_root(Path(folder))
        root.chmod(0o755)               # a temporary folder is its owner's alone
        tar.add(root, ".", recursive=True)
    return stream.getvalue()


def write(path: Path, name: str = NAME, command: Sequence[str] = ("sh",)) -> Path:
    """Write the image as a tar with an OCI layout; its name is an annotation that engines take it by."""
    layer = _layer()
    packed = gzip.compress(layer, 1, mtime=0)
    blobs: dict[str, bytes] = {}

    def blob(kind: str, data: bytes) -> dict[str, Any]:
        digest = hashlib.sha256(data).hexdigest()
        blobs[f"blobs/sha256/{digest}"] = data
        return {"mediaType": f"application/vnd.oci.image.{kind}", "digest": f"sha256:{digest}", "size": len(data)}

    config = {"architecture": "amd64", "os": "linux", "config": {"Env": [PATH], "Cmd": list(command)},
              "history": [{"created_by": "busybox"}],           # one entry a layer: buildah counts them
              "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]}}
    manifest = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
                "config": blob("config.v1+json", json.dumps(config).encode()),
                "layers": [blob("layer.v1.tar+gzip", packed)]}
    entry = {**blob("manifest.v1+json", json.dumps(manifest).encode()),
             "platform": {"architecture": "amd64", "os": "linux"},
             "annotations": {"io.containerd.image.name": name, "org.opencontainers.image.ref.name": name}}
    blobs["index.json"] = json.dumps({"schemaVersion": 2, "manifests": [entry]}).encode()
    blobs["oci-layout"] = b'{"imageLayoutVersion": "1.0.0"}'
    with tarfile.open(path, "w") as tar:
        for member, data in blobs.items():
            info = tarfile.TarInfo(member)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path
