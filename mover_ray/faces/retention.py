"""Which tracks are scored, and whose crops are given up when there are too many."""

from collections import Counter
from collections.abc import Iterable

from mover_ray.faces.observations import FaceObservation
from mover_ray.faces.policy import FacePolicy


def eligible_tracks(observations: Iterable[FaceObservation], policy: FacePolicy) -> set[int]:
    """Gives the tracks with enough good frames (design, decision 11)."""
    counts = _good_frames(observations, policy)
    return {track for track, count in counts.items() if count >= policy.eligible_frames}


class CropBudget:
    """Keeps the crops of a video within `max_crops` while its frames stream by.

    When there are too many, the track with the fewest good frames so far loses all its
    crops for good; of two equals the later one. A single track that is longer than the
    budget keeps its first crops.
    """

    def __init__(self, policy: FacePolicy) -> None:
        self._policy = policy
        self.dropped: set[int] = set()
        """Tracks that have lost their crops."""
        self.shortened = False
        """Whether the last remaining track has lost some."""

    def enforce(self, observations: Iterable[FaceObservation]) -> None:
        """Takes crops away from `observations` until the rest is within the budget."""
        holding = [seen for seen in observations if seen.crop is not None]
        _empty(seen for seen in holding if seen.track_id in self.dropped)
        holding = [seen for seen in holding if seen.crop is not None]
        good = _good_frames(holding, self._policy)
        kept = Counter(seen.track_id for seen in holding)
        while kept.total() > self._policy.max_crops and len(kept) > 1:
            worst = min(kept, key=lambda track: (good[track], -track))
            del kept[worst]
            self.dropped.add(worst)
        _empty(seen for seen in holding if seen.track_id in self.dropped)
        last = [seen for seen in holding if seen.crop is not None][self._policy.max_crops :]
        self.shortened |= bool(last)
        _empty(last)


def _good_frames(observations: Iterable[FaceObservation], policy: FacePolicy) -> Counter[int]:
    """Counts, by track, frames with a face that is big and certain enough."""
    return Counter(
        seen.track_id
        for seen in observations
        if seen.score >= policy.eligible_score
        and (seen.box[2:] - seen.box[:2]).min() >= policy.eligible_face_px
    )


def _empty(observations: Iterable[FaceObservation]) -> None:
    for seen in observations:
        seen.crop = None
