"""What became of a video: the one word that every row carries."""

from enum import StrEnum


class Status(StrEnum):
    """Outcome of one video. The words are part of the result contract."""

    OK = "ok"
    NO_FACE = "no_face"
    CORRUPT = "corrupt"
    UNSUPPORTED = "unsupported"
    TOO_LARGE = "too_large"
    TIMEOUT = "timeout"
    CRASHED = "crashed"
    OUT_OF_MEMORY = "out_of_memory"
    FETCH_ERROR = "fetch_error"
    NOT_FOUND = "not_found"
    CHANGED = "changed"
    ARCHIVED = "archived"
    ACCESS_DENIED = "access_denied"
    MODEL_ERROR = "model_error"
    QUARANTINED = "quarantined"


#: Outcomes that an unchanged video may leave on a later try; the next start
#: of a run takes them up again unless told otherwise (design, decision 13).
RETRIED_BY_DEFAULT = (
    Status.FETCH_ERROR,
    Status.TIMEOUT,
    Status.ACCESS_DENIED,
    Status.OUT_OF_MEMORY,
)

#: Outcomes that are not failures: the video was looked at as asked.
ANSWERED = (Status.OK, Status.NO_FACE)
