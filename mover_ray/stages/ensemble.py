"""Stage 2 of `score` for an ensemble: each member scores as it would alone, then they are joined.

Columns in: `schemas.FACES`, crops of every view. Columns out: as `score`.
"""

import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import chain
from operator import itemgetter

from mover_ray.errors import InputError
from mover_ray.models.ensemble import Ensemble, calibrated_logit, logit_of
from mover_ray.stages.base import Row
from mover_ray.stages.joined_tracks import join_tracks
from mover_ray.stages.score import Scorer
from mover_ray.stages.shared_features import SharedPass
from mover_ray.status import Status

#: Flag of a video in which a member's view has no face to score while another's has.
MEMBER_WITHOUT_FACE = "member_without_face"


class EnsembleScorer:
    """Detectors that score videos together."""

    def __init__(
        self, ensemble: Ensemble, scorers: Sequence[Scorer], passes: Sequence[SharedPass] = ()
    ) -> None:
        """Takes a scorer of each member, in their order, and what their detectors share."""
        self._ensemble = ensemble
        self._scorers = scorers
        self._passes = passes

    def __call__(self, row: Row) -> Row:
        """Gives the result of one video."""
        return self.score_rows([row])[0]

    def score_rows(self, rows: Sequence[Row]) -> list[Row]:
        """Gives the results of several videos; see `Scorer.score_rows`."""
        started = time.perf_counter()
        for shared in self._passes:
            shared.begin()
        places = self._ensemble.places
        by_member = [
            scorer.score_rows([_as_seen(row, place) for row in rows])
            for scorer, place in zip(self._scorers, places, strict=True)
        ]
        outs = [self._joined(row, results) for row, *results in zip(rows, *by_member, strict=True)]
        for out in outs:
            out["score_ms"] = (time.perf_counter() - started) * 1000 / len(outs)
            out["scored_at"] = datetime.now(UTC)
        return outs

    def close(self) -> None:
        """Frees what the members hold."""
        for scorer in self._scorers:
            scorer.close()

    def _joined(self, row: Row, results: Sequence[Row]) -> Row:
        ensemble = self._ensemble
        tracks = _Tracks(ensemble, results)
        out = {
            **row,
            "score": None,
            "logit": None,
            "trained": ensemble.trained,
            "model_id": ensemble.model_id,
            "model_sha256": ensemble.model_sha256,
            "faces": tracks.faces(),
            "segments": tracks.of_all("segments", "start_s"),
            "masks": tracks.of_all("masks", "frame_index"),
        }
        if row["status"] != Status.OK:
            return out
        failed = [one for one in results if one["status"] not in (Status.OK, Status.NO_FACE)]
        if failed:
            return {**out, "status": failed[0]["status"], "error": failed[0]["error"]}
        if any(one["status"] == Status.NO_FACE for one in results):
            out["flags"] = [*row["flags"], MEMBER_WITHOUT_FACE]
        try:
            return {**out, **self._score(results, tracks.num_scored)}
        except InputError as error:
            return {**out, "status": str(error.status), "error": str(error)}

    def _score(self, results: Sequence[Row], num_tracks: int) -> Row:
        """Averages the calibrated logits of the members that have a face to score."""
        ensemble, logits, heads = self._ensemble, [], {}
        for name, member, one in zip(ensemble.names, ensemble.members, results, strict=True):
            if one["status"] == Status.OK:
                logits.append(calibrated_logit(member, one["logit"], one["num_tracks"]))
                heads[name] = one["score"]
        logit = sum(logits) / len(logits)
        return {
            "score": ensemble.calibration.apply(logit, num_tracks),
            "logit": logit,
            "head_scores": sorted(heads.items()),
            "disagreement": max(heads.values()) - min(heads.values()) if len(heads) > 1 else None,
            "num_tracks": num_tracks,
        }


class _Tracks:
    """The members' faces of one video, those of one face together."""

    def __init__(self, ensemble: Ensemble, results: Sequence[Row]) -> None:
        self._calibration = ensemble.calibration
        self._results = results
        of_view = dict(zip(ensemble.places, results, strict=True))
        views = sorted(of_view)
        joined = join_tracks([of_view[view]["faces"] for view in views])
        by_view = dict(zip(views, joined, strict=True))
        self._numbers = [by_view[place] for place in ensemble.places]
        self._members: dict[int, list[Row]] = defaultdict(list)
        for result, numbers in zip(results, self._numbers, strict=True):
            for face in result["faces"]:
                self._members[numbers[int(face["track_id"])]].append(face)

    @property
    def num_scored(self) -> int:
        """Faces that a member has scored."""
        return sum(
            any(face["score"] is not None for face in faces) for faces in self._members.values()
        )

    def faces(self) -> list[Row]:
        """Gives the entries of the `faces` column."""
        return [self._face(number, self._members[number]) for number in sorted(self._members)]

    def of_all(self, column: str, order: str) -> list[Row]:
        """Gives the entries of another column, of every member, with the faces' numbers."""
        entries = [
            {**entry, "track_id": numbers[int(entry["track_id"])]}
            for result, numbers in zip(self._results, self._numbers, strict=True)
            for entry in result[column]
        ]
        return sorted(entries, key=itemgetter("track_id", order))

    def _face(self, number: int, faces: Sequence[Row]) -> Row:
        seen: dict[int, list[Row]] = defaultdict(list)
        for frame in chain.from_iterable(face["frames"] for face in faces):
            seen[frame["frame_index"]].append(frame)
        return {
            "track_id": number,
            "score": self._mean(faces),
            "first_s": min(face["first_s"] for face in faces),
            "last_s": max(face["last_s"] for face in faces),
            "frames": [
                {**frames[0], "score": self._mean(frames)} for _, frames in sorted(seen.items())
            ],
        }

    def _mean(self, scored: Sequence[Mapping[str, float | None]]) -> float | None:
        """Joins scores of members as those of the video are joined; None if there are none."""
        logits = [logit_of(score) for score in _scores(scored)]
        if not logits:
            return None
        return self._calibration.apply(sum(logits) / len(logits), max(1, self.num_scored))


def _scores(scored: Sequence[Mapping[str, float | None]]) -> Iterator[float]:
    return (one["score"] for one in scored if one["score"] is not None)


def _as_seen(row: Row, place: int) -> Row:
    """Gives the row as a member sees it whose view is at this place."""
    crops = [crop for crop in row["crops"] if (crop.get("view") or 0) == place]
    seen = {**row, "crops": crops}
    if row["status"] == Status.OK and all(crop["pixels"] is None for crop in crops):
        seen["status"] = str(Status.NO_FACE)
    return seen
