"""How a face gets from a frame into a detector's input."""

from dataclasses import dataclass

from mover_ray.config import check_at_least, check_choice, check_range


@dataclass(frozen=True, kw_only=True, slots=True)
class FacePolicy:
    """Which faces are looked at and how they are cropped.

    Part of a model bundle: crop margins alone move the AUC on Celeb-DF by ten
    points, so training and scoring must use the same ones.
    """

    detector: str = "centerface"
    """Name in `faces.registry.DETECTORS`."""
    detector_weights: str | None = None
    """Weights file of a detector that does not carry its own; a local path."""
    detector_sha256: str | None = None
    """SHA-256 of that file; a file with another hash is refused."""
    detection_face_px: int = 20
    """A frame is searched down-scaled until a face of `eligible_face_px` has this many pixels.

    `centerface` finds all plain faces of 20 pixels and 97 % of those of 16 (docs/faces.md);
    time grows with the square. `dlib` needs 80.
    """
    detection_size_px: int = 1152
    """Longest side of the down-scaled frame, in pixels, whatever `detection_face_px` asks for."""
    search_every: int = 16
    """A frame is searched everywhere at least once in so many sampled frames.

    Between, faces are searched for near their last places and where the picture has
    changed most (`faces.search`): a fraction of the work, and no face fewer on real videos
    (docs/faces.md). 1 searches every frame everywhere, eight at a time: for detectors on
    a GPU.
    """
    min_score: float = 0.5
    """Detections below this score are dropped. In [0, 1] on the scale of `faces.scores`."""
    max_faces: int = 20
    """Most faces kept in one frame, by score; more sets the flag `too_many_faces`."""
    landmarker: str = "dlib68"
    """Name in `faces.registry.LANDMARKERS`."""
    alignment: str = "similarity"
    """`similarity`: eyes, nose and mouth onto a template; `box`: the square around the box."""
    margin: float = 1.3
    """Side of the crop in faces: squares around the 68 points (`similarity`) or longer
    sides of the box (`box`)."""
    size_px: int = 224
    """Side of the square crop that the detector sees."""
    max_crops: int = 1024
    """Most crops of one video, best tracks first; more sets the flag `too_many_faces`."""
    track_iou: float = 0.3
    """Least overlap of the boxes of one track in neighbouring sampled frames."""
    eligible_frames: int = 3
    """A track is scored if at least this many of its frames are good ..."""
    eligible_face_px: int = 40
    """... with a face of at least this many pixels (shorter side of the box) ..."""
    eligible_score: float = 0.8
    """... at this detector score, on the scale of `faces.scores` (design, decision 11)."""

    def __post_init__(self) -> None:
        """Raises `ConfigError` with the name and the value of a wrong field."""
        check_choice(self, "alignment", ("similarity", "box"))
        check_range(self, "min_score", 0.0, 1.0)
        check_range(self, "eligible_score", 0.0, 1.0)
        check_range(self, "track_iou", 0.0, 1.0)
        check_range(self, "margin", 1.0, 4.0)
        check_range(self, "size_px", 32, 1024)
        check_range(self, "detection_size_px", 64, 8192)
        check_range(self, "detection_face_px", 8, 512)
        check_at_least(self, "search_every", 1)
        for name in ("max_faces", "max_crops", "eligible_frames", "eligible_face_px"):
            check_at_least(self, name, 1)
