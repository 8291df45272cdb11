"""Makes the model that is to ship: corpus, training, calibration, and the table of its validation.

    python benchmarks/default_model.py --videos videos.csv --faces FOLDER \
        --start dinov2_vits14.safetensors --work WORK

`videos.csv` lists videos as `mover-ray score` reads them: `uri, label, dataset, method, split,
identity, source_id, pair_uri`; split `train` is learned from, `val` is kept out. `--faces` is a
folder of photographs of real faces, one a file. `benchmarks/shared_videos.py` writes the list of
the project's own material. Every step is skipped where an earlier start has finished it, and a
training goes on from its newest checkpoint. For a model without bonds, give videos and
photographs of which you have the rights, and landmarks from a predictor that allows it.
"""

import argparse
import csv
import json
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mover_ray.operations.calibrate import CalibrateOptions, calibrate
from mover_ray.operations.evaluate import EvaluateOptions, evaluate, write
from mover_ray.pipelines.extract import ExtractOptions, extract
from mover_ray.pipelines.forge import ForgeOptions, forge
from mover_ray.pipelines.progress import Quiet
from mover_ray.pipelines.score import ScoreOptions, score
from mover_ray.pipelines.train import TrainOptions, train

PRESET = "mover-s"
SIZE_PX = 168
#: Manipulations of the kept-out clips; `deepfakes` is in no training.
FORGED = ("self_blended", "faceswap", "deepfakes", "face2face", "neuraltextures")

_COLUMNS = (
    "uri",
    "label",
    "dataset",
    "method",
    "split",
    "identity",
    "source_id",
    "pair_uri",
    "mask_uri",
)
#: What the table calls clips that no training saw, forged or drawn by a generator.
KEPT_OUT = "kept-out"
#: Photographs of one archive: it is read once for each of them.
_SHARD = 100


def main() -> None:
    """Runs every step and prints the table."""
    options = _parse()
    work: Path = options.work
    work.mkdir(parents=True, exist_ok=True)
    rows = list(_read(options.videos))
    started = time.monotonic()
    lists = _write_lists(rows, options.faces, work)
    forge(_forging(lists["kept_out"], work / "forged"), Quiet())
    validation = _validation(rows, work)
    corpora = [
        _extract(lists["train"], work / "train", frames=32),
        _extract(lists["faces"], work / "faces", frames=1, eligible_frames=1),
        _extract(validation, work / "validation", frames=4),
    ]
    trained = train("finetune", _training(options, corpora), Quiet())
    results = work / "scores"
    score(ScoreOptions(source=str(validation), dest=str(results), model=trained.model), Quiet())
    bundle = work / PRESET
    if not bundle.exists():
        calibrate(CalibrateOptions(bundle=trained.model, results=str(results), out=str(bundle)))
    found = evaluate(EvaluateOptions(results=(str(results),), split="val"))
    write(found, str(work / "report"))
    print(json.dumps({"bundle": str(bundle), "seconds": round(time.monotonic() - started)}))


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--videos", type=Path, required=True)
    parser.add_argument("--faces", type=Path, required=True)
    parser.add_argument("--start", required=True, help="safetensors file with DINOv2 ViT-S/14")
    parser.add_argument("--work", type=Path, required=True)
    return parser.parse_args()


def _read(path: Path) -> Iterator[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            yield {name: row.get(name) or "" for name in _COLUMNS}


def _write(path: Path, rows: list[dict[str, str]]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, _COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
    return path


def _write_lists(rows: list[dict[str, str]], faces: Path, work: Path) -> dict[str, Path]:
    """Writes what is trained on, the photographs, and the real clips that are kept out."""
    kept_out = [row for row in rows if row["split"] == "val" and row["label"] == "real"]
    paired = {row["pair_uri"] for row in rows if row["pair_uri"]}
    # Fakes of a corpus have their own originals; the other clips are forged here.
    lonely = [row for row in kept_out if row["uri"] not in paired]
    return {
        "train": _write(work / "train.csv", [row for row in rows if row["split"] == "train"]),
        "faces": _write(work / "faces.csv", list(_photographs(faces, work / "shards"))),
        "kept_out": _write(work / "kept_out.csv", lonely),
    }


def _photographs(folder: Path, shards: Path) -> Iterator[dict[str, str]]:
    """Packs photographs into archives, each a sequence of one picture."""
    shards.mkdir(exist_ok=True)
    paths = sorted(path for path in folder.iterdir() if path.suffix in (".jpg", ".png"))
    for first in range(0, len(paths), _SHARD):
        archive = shards / f"faces-{first // _SHARD:04d}.tar"
        some = paths[first : first + _SHARD]
        if not archive.exists():
            draft = archive.with_suffix(".tmp")
            with tarfile.open(draft, "w") as file:
                for path in some:
                    file.add(path, arcname=f"{path.stem}/0{path.suffix}")
            draft.rename(archive)
        for path in some:
            known = {"label": "real", "dataset": "photographs", "identity": path.stem}
            uri = f"{archive}!/{path.stem}"
            yield {**dict.fromkeys(_COLUMNS, ""), **known, "uri": uri, "split": "train"}


def _forging(source: Path, dest: Path) -> ForgeOptions:
    settings = {"survey": {"footage": {"max_frames": 40}}}
    return ForgeOptions(
        source=str(source), dest=str(dest), methods=FORGED, engine="local", settings=settings
    )


def _validation(rows: list[dict[str, str]], work: Path) -> Path:
    """Lists what is kept out: given videos, and the forged clips with their originals."""
    import pyarrow.parquet as pq

    forged = pq.read_table(work / "forged" / "manifest.parquet", columns=list(_COLUMNS))
    made = [
        {name: value or "" for name, value in row.items()} | {"split": "val", "dataset": KEPT_OUT}
        for row in forged.to_pylist()
    ]
    given = [row for row in rows if row["split"] == "val" and (row["pair_uri"] or row["method"])]
    originals = {row["pair_uri"] for row in given}
    given += [row for row in rows if row["uri"] in originals and row["split"] == "val"]
    for row in given:
        if not row["pair_uri"] and row["label"] == "fake":  # its real counterparts are the clips
            row["dataset"] = KEPT_OUT
    return _write(work / "validation.csv", made + given)


def _extract(source: Path, dest: Path, *, frames: int, **policy: Any) -> str:
    settings = {
        "faces": {"size_px": SIZE_PX, **policy},
        "sampling": {"policy": "uniform", "frames": frames},
    }
    extract(
        ExtractOptions(source=str(source), dest=str(dest), engine="local", settings=settings),
        Quiet(),
    )
    return str(dest)


def _training(options: argparse.Namespace, corpora: list[str]) -> TrainOptions:
    return TrainOptions(
        preset=PRESET,
        dest=str(options.work / "training"),
        corpus=tuple(corpora),
        start=options.start,
        command="python benchmarks/default_model.py",
    )


if __name__ == "__main__":
    main()
