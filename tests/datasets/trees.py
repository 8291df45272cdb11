"""Made-up corpora with the layout, names and metadata of the public ones, and empty videos."""

import json
from pathlib import Path
from typing import Any

from mover_ray.storage import join, storage_for


def plant(root: str, files: dict[str, Any]) -> str:
    """Writes files by name: text as it is, anything else as JSON."""
    for name, content in files.items():
        text = content if isinstance(content, str) else json.dumps(content)
        uri = join(root, name)
        if storage_for(uri).is_local:  # thousands of files: without the store's fsync
            Path(uri).parent.mkdir(parents=True, exist_ok=True)
            Path(uri).write_text(text, encoding="utf-8")
        else:
            storage_for(uri).write(uri, text.encode())
    return root


def videos(*names: str) -> dict[str, str]:
    return {name: f"bytes of {name}" for name in names}


def faceforensics(pairs: dict[str, list[tuple[str, str]]], methods=("Deepfakes",), c="c23"):
    """Both directions of every pair, with masks, and the splits."""
    names = []
    for pair in (pair for split in pairs.values() for pair in split):
        names += [f"original_sequences/youtube/{c}/videos/{one}.mp4" for one in pair]
        for a, b in (pair, pair[::-1]):
            for method in methods:
                names.append(f"manipulated_sequences/{method}/{c}/videos/{a}_{b}.mp4")
                names.append(f"manipulated_sequences/{method}/masks/videos/{a}_{b}.mp4")
    splits = {
        f"splits/{split}.json": [list(pair) for pair in pairs.get(split, [])]
        for split in ("train", "val", "test")
    }
    return {**videos(*names), **splits}
