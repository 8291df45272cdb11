"""The plan of a corpus in the layout of FaceForensics++: numbers, splits, pairs, names.

    original_sequences/youtube/c23/videos/003.mp4
    manipulated_sequences/FaceSwap/c23/videos/003_007.mp4     frames of 003, face of 007
    manipulated_sequences/FaceSwap/masks/videos/003_007.mp4   lossless gray
    splits/train.json                                         [["003", "007"], ...]

A fake that needs nobody else is named after its own number twice, `003_003`. Everything
here is arithmetic on tables: the same sources and seed give the same plan.
"""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from mover_ray.config import check_range
from mover_ray.datasets.rows import table_from_columns
from mover_ray.errors import ConfigError
from mover_ray.status import Status
from mover_ray.storage import join

Row = Mapping[str, Any]

SPLITS = ("train", "val", "test")
ORIGINALS = "original_sequences"
FAKES = "manipulated_sequences"

#: Folder of each manipulation: FaceForensics++'s own name where it has one.
FOLDERS = {
    "deepfakes": "Deepfakes",
    "face2face": "Face2Face",
    "faceswap": "FaceSwap",
    "neuraltextures": "NeuralTextures",
    "self_blended": "SelfBlended",
}

# Faces of nearly the same size among which the one that is turned most alike is chosen.
_CANDIDATES = 32
# A partner twice as large is as bad as a jaw that is off by a twentieth of the face.
_SIZE_PRICE = 0.07

_STEM = re.compile(r"(\d{3,})_(\d{3,})\.mp4")


@dataclass(frozen=True, kw_only=True, slots=True)
class SplitConfig:
    """How people are shared out."""

    val_share: float = 0.14
    """Share of the people whose videos are for validation, as in FaceForensics++. Two
    people at least, because a swap takes two; none where there are fewer than six."""
    test_share: float = 0.14
    """Share of the people whose videos are for testing, likewise."""
    identity_pattern: str | None = None
    """Regular expression that finds a person's name in a uri, for sources whose manifest
    has no `identity`: its first group, or else the whole match. Without it, and where it
    finds nothing, each video counts as a person of its own."""

    def __post_init__(self) -> None:
        """Raises `ConfigError` with the name and the value of a wrong field."""
        check_range(self, "val_share", 0.0, 0.5)
        check_range(self, "test_share", 0.0, 0.5)
        try:
            re.compile(self.identity_pattern or "")
        except re.error as error:
            raise ConfigError(
                f"identity_pattern is no regular expression: `{self.identity_pattern}`: {error}"
            ) from error


@dataclass(frozen=True, slots=True, eq=False)
class Original:
    """One source video and its place in the corpus."""

    number: str
    """Three digits or more; its place in the manifest."""
    identity: str
    split: str
    source: Row
    """Row of `schemas.SURVEY`."""

    @property
    def usable(self) -> bool:
        """Whether it has a clip with a face."""
        return bool(self.source["status"] == Status.OK)

    @property
    def face_px(self) -> float:
        """Size of the face; only of usable ones."""
        return float(self.source["face_px"])

    def size_difference(self, other: "Original") -> float:
        """Gives how much the faces' sizes differ, as a logarithm."""
        return abs(math.log(self.face_px / other.face_px))

    def unlikeness(self, other: "Original") -> float:
        """Gives how badly the two faces fit: their turn, mirrored if that fits better, and size."""
        jaw, theirs = (np.array(one.source["jaw"], np.float64) for one in (self, other))
        turned = min(_rms(jaw - theirs), _rms(jaw - (theirs * (-1, 1) + (1, 0))[::-1]))
        return turned + _SIZE_PRICE * self.size_difference(other)


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the files of a corpus lie."""

    base: str
    """Folder or prefix of the corpus."""
    compression: str
    """FaceForensics++'s name of the quality, such as `c23`."""

    def original(self, number: str) -> str:
        """Gives the uri of a real video."""
        folder = (ORIGINALS, "youtube", self.compression, "videos")
        return join(self.base, *folder, f"{number}.mp4")

    def fake(self, manipulation: str, stem: str) -> str:
        """Gives the uri of a fake."""
        folder = (FAKES, folder_of(manipulation), self.compression, "videos")
        return join(self.base, *folder, f"{stem}.mp4")

    def mask(self, manipulation: str, stem: str) -> str:
        """Gives the uri of a fake's mask."""
        folder = (FAKES, folder_of(manipulation), "masks", "videos")
        return join(self.base, *folder, f"{stem}.mp4")

    def split(self, name: str) -> str:
        """Gives the uri of a list of pairs."""
        return join(self.base, "splits", f"{name}.json")


def folder_of(manipulation: str) -> str:
    """Gives the name of a manipulation's folder, which is also its `method`."""
    words = manipulation.split("_")
    return FOLDERS.get(manipulation) or "".join(word.capitalize() for word in words)


def number_originals(
    sources: Sequence[Row], config: SplitConfig, seed: int, kept: Mapping[str, str] | None = None
) -> list[Original]:
    """Numbers the sources in their order and shares the people out.

    Args:
        sources: Rows of `schemas.SURVEY`, in the order of the manifest.
        config: Who is who, and how many go where.
        seed: Decides who goes where.
        kept: Side by person as an earlier start chose them; they stay.

    Raises:
        ConfigError: The sources' own `split` puts one person on two sides, or names no split.
    """
    identities = [_identity(source, config.identity_pattern) for source in sources]
    sides = dict(kept or {}) | _given_sides(identities, [source["split"] for source in sources])
    usable = {
        who for who, row in zip(identities, sources, strict=True) if row["status"] == Status.OK
    }
    sides |= draw_splits(sorted(usable - sides.keys()), config, seed)
    digits = max(3, len(str(len(sources) - 1)))
    return [
        # Who cannot be used for now goes where it does no harm: a split needs two.
        Original(f"{index:0{digits}d}", who, sides.get(who, "train"), source)
        for index, (source, who) in enumerate(zip(sources, identities, strict=True))
    ]


def draw_splits(people: Sequence[str], config: SplitConfig, seed: int) -> dict[str, str]:
    """Gives each person a side.

    Args:
        people: Each once.
        config: Shares of the sides.
        seed: Decides who goes where.
    """
    test, val = (
        max(2, round(share * len(people))) if share and len(people) >= 6 else 0
        for share in (config.test_share, config.val_share)
    )
    names = ["test"] * test + ["val"] * val + ["train"] * (len(people) - test - val)
    order = np.random.default_rng(seed).permutation(len(people))
    return {people[place]: name for place, name in zip(order, names, strict=True)}


def choose_partners(
    originals: Sequence[Original], kept: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Finds another person of the same split for each usable original, of similar size and turn.

    Originals are matched in pairs, so that both directions exist as in FaceForensics++;
    who is left over takes a partner who has one already.

    Args:
        originals: All of them.
        kept: Partners chosen by an earlier start; they stay.

    Returns:
        Number of the partner by number. Who is alone in a split has none.
    """
    partners = dict(kept or {})
    for split in SPLITS:
        ranked = sorted(
            (one for one in originals if one.usable and one.split == split),
            key=lambda one: (one.face_px, one.number),
        )
        open_ones = [one for one in ranked if one.number not in partners]
        while open_ones:
            one = open_ones.pop(0)
            if other := _best(one, open_ones):
                open_ones.remove(other)
                partners[one.number], partners[other.number] = other.number, one.number
            elif other := _best(one, sorted(ranked, key=one.size_difference)):
                partners[one.number] = other.number
    return partners


def plan_files(
    originals: Sequence[Original],
    partners: Mapping[str, str],
    manipulations: Mapping[str, bool],
    layout: Layout,
    dataset: str,
) -> pa.Table:
    """Gives the manifest of the files that are to be made; nothing is known of their bytes.

    Args:
        originals: One without a usable clip gives one row, that of its real file.
        partners: From `choose_partners`.
        manipulations: By name: whether it takes a partner.
        layout: Where files go.
        dataset: Name of the corpus.
    """
    rows = []
    for one in originals:
        rows.append(_file(one, layout, dataset))
        for manipulation, takes_partner in manipulations.items() if one.usable else ():
            other = partners.get(one.number, one.number) if takes_partner else one.number
            stem = f"{one.number}_{other}"
            rows.append(_file(one, layout, dataset) | _fake(manipulation, one, stem, layout))
    return table_from_columns({name: [row[name] for row in rows] for name in rows[0]})


def stem_of(uri: str) -> tuple[str, str]:
    """Gives the numbers in the name of a fake: whose frames and whose face.

    Raises:
        ValueError: It is not the name of a fake.
    """
    match = _STEM.fullmatch(uri.rpartition("/")[2])
    if match is None:
        raise ValueError(f"not the name of a fake: {uri}")
    return match[1], match[2]


def partners_in(planned: Iterable[Row]) -> dict[str, str]:
    """Gives the partners that an earlier plan chose."""
    stems = [stem_of(row["uri"]) for row in planned if row["method"]]
    return {target: partner for target, partner in stems if target != partner}


def sides_in(planned: Iterable[Row]) -> dict[str, str]:
    """Gives the side of each person in an earlier plan."""
    return {row["identity"]: row["split"] for row in planned}


def split_lists(
    originals: Sequence[Original], partners: Mapping[str, str]
) -> dict[str, list[list[str]]]:
    """Gives the content of `splits/*.json`: pairs of numbers, each pair once.

    Who has no partner is paired with oneself.
    """
    lists: dict[str, list[list[str]]] = {name: [] for name in SPLITS}
    seen = set()
    for one in originals:
        pair = (one.number, partners.get(one.number, one.number))
        if one.usable and frozenset(pair) not in seen:
            seen.add(frozenset(pair))
            lists[one.split].append(list(pair))
    return lists


def _identity(source: Row, pattern: str | None) -> str:
    if source["identity"]:
        return str(source["identity"])
    found = re.search(pattern, source["uri"]) if pattern else None
    if found is None:
        return str(source["uri"])
    return found[1] if found.re.groups and found[1] else found[0]


def _given_sides(identities: Sequence[str], given: Sequence[str | None]) -> dict[str, str]:
    sides: dict[str, str] = {}
    for identity, side in zip(identities, given, strict=True):
        if side is None:
            continue
        if side not in SPLITS:
            raise ConfigError(
                f"unknown split in the source's manifest: `{side}`",
                hint="known are " + ", ".join(f"`{name}`" for name in SPLITS),
            )
        if sides.setdefault(identity, side) != side:
            raise ConfigError(
                f"one person on two sides of the source's split: `{identity}`",
                hint="mend the columns `split` and `identity`, or leave `split` out",
            )
    return sides


def _best(one: Original, others: Iterable[Original]) -> Original | None:
    """Gives the best of the first few other people, if there is any."""
    strangers = (other for other in others if other.identity != one.identity)
    return min(islice(strangers, _CANDIDATES), key=one.unlikeness, default=None)


def _rms(offsets: npt.NDArray[np.float64]) -> float:
    return float(np.sqrt((offsets**2).sum(axis=1).mean()))


def _file(one: Original, layout: Layout, dataset: str) -> dict[str, Any]:
    return {
        "uri": layout.original(one.number),
        "label": "real",
        "dataset": dataset,
        "method": None,
        "split": one.split,
        "identity": one.identity,
        "source_id": one.number,
        "pair_uri": None,
        "mask_uri": None,
    }


def _fake(manipulation: str, one: Original, stem: str, layout: Layout) -> dict[str, Any]:
    return {
        "uri": layout.fake(manipulation, stem),
        "label": "fake",
        "method": folder_of(manipulation),
        "pair_uri": layout.original(one.number),
        "mask_uri": layout.mask(manipulation, stem),
    }
