"""What is trained on: selected videos and their segments."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mover_ray.config import check_range
from mover_ray.errors import ConfigError
from mover_ray.models.segments import cut_track
from mover_ray.training.corpus import REAL, Corpus
from mover_ray.training.sampler import Indices
from mover_ray.training.sources import held_out


@dataclass(frozen=True, kw_only=True, slots=True)
class Selection:
    """Which videos of the corpus take part; an empty list of names means all."""

    labels: tuple[str, ...] = ("real", "fake")
    """`real` and `fake`; a video without a label never takes part."""
    datasets: tuple[str, ...] = ()
    """Names as in the manifest."""
    methods: tuple[str, ...] = ()
    """Manipulations; real videos, which have none, always stay."""
    split: str = "train"
    """What is trained on, as the manifest's `split` calls it."""
    validation_split: str = "val"
    """What validation sees."""
    holdout: float = 0.1
    """Share of the people that validation sees, among videos whose `split` is empty. All
    videos of a person, and all fakes of a video, are on one side."""

    def __post_init__(self) -> None:
        """Raises `ConfigError` with the name and the value of a wrong field."""
        check_range(self, "holdout", 0.0, 0.9)


@dataclass(frozen=True, slots=True)
class Samples:
    """Segments of neighbouring frames of one face."""

    corpus: Corpus
    crops: Indices
    """Positions in the corpus [S, T]."""
    labels: Indices
    """`REAL` or `FAKE` [S]."""

    def __len__(self) -> int:
        return len(self.crops)

    @property
    def videos(self) -> Indices:
        """Each segment's video [S], a row of `corpus.videos`."""
        return self.corpus.crops["video"][self.crops[:, 0]].astype(np.int64)

    @property
    def times_s(self) -> npt.NDArray[np.float64]:
        """When each segment starts [S]."""
        return np.asarray(self.corpus.crops["time_s"][self.crops[:, 0]])

    def of(self, label: int) -> Indices:
        """Gives the segments with this label."""
        return np.flatnonzero(self.labels == label)

    def name(self, sample: int) -> str:
        """Gives a segment's name for messages: video id, track and first frame."""
        return self.corpus.name(int(self.crops[sample, 0]))


def select(corpus: Corpus, selection: Selection, *, validation: bool) -> Indices:
    """Gives the videos that take part in training, or in validation.

    Args:
        corpus: All videos.
        selection: The rule.
        validation: Whether the held-out side is wanted.

    Raises:
        ConfigError: No video is left.
    """
    split = np.array([text or "" for text in corpus.column("split")], dtype=object)
    wanted = selection.validation_split if validation else selection.split
    unnamed = (split == "") & (held_out(corpus, selection.holdout) == validation)
    kept = ((split == wanted) | unnamed) & _among(corpus, "label", selection.labels)
    if selection.datasets:
        kept &= _among(corpus, "dataset", selection.datasets)
    if selection.methods:
        kept &= _among(corpus, "method", selection.methods) | (corpus.labels == REAL)
    if not kept.any():
        hint = "the labels, datasets, methods and splits of the corpus are those of its manifest"
        raise ConfigError(f"no video is selected of {len(kept)}: `{selection}`", hint=hint)
    return np.flatnonzero(kept)


def segments(
    corpus: Corpus, videos: Indices, segment_frames: int, *, clips: bool = False
) -> Samples:
    """Cuts the tracks of the videos into segments, as scoring does.

    Args:
        corpus: Holds the crops.
        videos: Rows of `corpus.videos`.
        segment_frames: T, the frames of a segment; 1 gives every crop.
        clips: Whether segments are clips; see `InputSpec`.
    """
    chosen = np.flatnonzero(np.isin(corpus.crops["video"], videos))
    tracks = np.stack([corpus.crops["video"][chosen], corpus.crops["track_id"][chosen]])
    borders = np.flatnonzero((tracks[:, 1:] != tracks[:, :-1]).any(axis=0)) + 1
    cut = [
        track[cut_track(corpus.crops["time_s"][track], segment_frames, clips=clips)]
        for track in np.split(chosen, borders)
        if len(track)
    ]
    crops = np.concatenate(cut) if cut else np.zeros((0, segment_frames), np.int64)
    labels = corpus.labels[corpus.crops["video"][crops[:, 0]]]
    return Samples(corpus, crops, labels)


def check_crop_size(corpus: Corpus, size_px: int) -> None:
    """Raises `ConfigError` unless the corpus was cropped at the model's size."""
    found = corpus.facts["faces"]["size_px"]
    if found != size_px:
        hint = f"extract with `faces.size_px = {size_px}`, or build the model for {found} px"
        raise ConfigError(f"the corpus has crops of `{found}` px, not `{size_px}`", hint=hint)


def require_real(samples: Samples) -> None:
    """Raises `ConfigError` if pretraining, which is to know real faces alone, sees others."""
    others = np.unique(samples.videos[samples.labels != REAL])
    if len(others):
        raise ConfigError(
            f"pretraining sees real faces only, but {len(others)} selected videos are not real",
            hint='set `data.labels = ["real"]`',
        )


def _among(corpus: Corpus, column: str, names: Sequence[str]) -> npt.NDArray[np.bool_]:
    return np.array([value in names for value in corpus.column(column)], dtype=bool)
