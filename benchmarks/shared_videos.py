"""Lists the project's research material for `default_model.py`: who is learned from, who is not.

    python benchmarks/shared_videos.py --data DATA --out videos.csv

Two sources of talking heads and two people of FaceForensics++ are kept out; so are all clips of
generators, which no training sees.
"""

import argparse
import csv
from collections.abc import Iterator
from pathlib import Path

from tiny_corpus import person_of

#: Sources of talking heads that validation sees.
KEPT_OUT = ("LivePortrait", "Talking-Face_PC-AVS")
#: People of FaceForensics++ that validation sees.
KEPT_OUT_PEOPLE = ("469", "481")

Row = dict[str, str]


def main() -> None:
    """Writes the list."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    data: Path = options.data.resolve()
    rows = [*talking(data / "talking"), *faceforensics(data / "ffpp"), *generated(data)]
    with options.out.open("w", encoding="utf-8", newline="") as file:
        names = ("uri", "label", "dataset", "method", "split", "identity", "source_id", "pair_uri")
        writer = csv.DictWriter(file, names, restval="")
        writer.writeheader()
        writer.writerows(rows)


def talking(folder: Path) -> Iterator[Row]:
    """Gives real talking heads; the source is the beginning of the file's name."""
    for path in sorted(folder.iterdir()):
        source = path.name.partition("__")[0]
        yield {
            "uri": str(path),
            "label": "real",
            "dataset": source,
            "split": "val" if source in KEPT_OUT else "train",
            "identity": f"{source}/{person_of(path.name)}",
        }


def faceforensics(folder: Path) -> Iterator[Row]:
    """Gives originals and fakes in the corpus's own layout."""
    originals = {path.stem: path for path in (folder / "original_sequences").rglob("*.mp4")}
    for path in sorted(folder.rglob("*.mp4")):
        target = path.stem.partition("_")[0]
        row = {
            "uri": str(path),
            "label": "real" if path == originals.get(path.stem) else "fake",
            "dataset": "faceforensics-c40",
            "split": "val" if target in KEPT_OUT_PEOPLE else "train",
            "identity": f"faceforensics/{target}",
            "source_id": target,
        }
        if row["label"] == "fake":
            method = path.relative_to(folder / "manipulated_sequences").parts[0]
            row |= {"method": method, "pair_uri": str(originals[target])}
        yield row


def generated(data: Path) -> Iterator[Row]:
    """Gives clips that a generator drew as a whole."""
    for path in sorted((data / "generated").glob("*.mp4")):
        generator = path.name.partition("__")[0]
        yield {
            "uri": str(path),
            "label": "fake",
            "dataset": "generated",
            "method": generator,
            "split": "val",
        }


if __name__ == "__main__":
    main()
