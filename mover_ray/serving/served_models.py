"""Models by name, and the batch path's own stages for each of them."""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from mover_ray.errors import ArtifactError
from mover_ray.pipelines.job import Job
from mover_ray.pipelines.score import ScoreOptions, open_model, plan
from mover_ray.serving.config import ServeConfig
from mover_ray.stages.base import Row, Stage


@dataclass(frozen=True, slots=True)
class ModelRef:
    """One version of a model. Changed files under the same path are another version."""

    name: str
    """What requests call it."""
    path: str
    model_id: str
    model_sha256: str
    trained: bool

    @property
    def key(self) -> str:
        """What a replica keeps the loaded model under."""
        return f"{self.model_sha256}:{self.path}"

    def as_json(self) -> dict[str, Any]:
        """Gives what clients may know; where it lies is none of it."""
        return {name: value for name, value in asdict(self).items() if name != "path"}


class Stages(Protocol):
    """Builds the two stages of a model; picklable."""

    def find_faces(self, model: ModelRef) -> Stage:
        """Gives the first stage."""
        ...

    def scorer(self, model: ModelRef, masks: str) -> tuple[Stage, Row]:
        """Gives the second stage, and the columns that are the same in all its rows."""
        ...


class BatchStages:
    """The stages that `mover-ray score` runs with the same settings."""

    def __init__(self, settings: Mapping[str, Any], *, allow_untrained: bool) -> None:
        """Keeps the settings of `score`."""
        self._settings = settings
        self._allow_untrained = allow_untrained

    def find_faces(self, model: ModelRef) -> Stage:
        """Gives the first stage.

        Raises:
            ArtifactError: The model is not the one that was found at the start.
        """
        return self._job(model, "none").prepare.build()

    def scorer(self, model: ModelRef, masks: str) -> tuple[Stage, Row]:
        """Gives the second stage with the model's weights in memory.

        Raises:
            ArtifactError: The model is not the one that was found at the start.
        """
        finish = self._job(model, masks).finish
        return finish.build(), finish.stamp

    def _job(self, model: ModelRef, masks: str) -> Job:
        job, _ = plan(
            ScoreOptions(
                source="",  # the rows come one by one
                dest="",
                model=model.path,
                masks=masks,
                allow_untrained=self._allow_untrained,
                settings=self._settings,
            )
        )
        if job.identity["model"] != model.model_sha256:
            hint = "deploy the service again to change a model"
            raise ArtifactError(f"the model was changed on disk: `{model.path}`", hint=hint)
        return job


def find_models(config: ServeConfig) -> dict[str, ModelRef]:
    """Reads what each model says of itself.

    Raises:
        ArtifactError: One is missing, altered or not trained.
    """
    found = {}
    for name, path in config.models.items():
        model = open_model(path, allow_untrained=config.allow_untrained)
        found[name] = ModelRef(
            name=name,
            path=path,
            model_id=model.model_id,
            model_sha256=model.model_sha256,
            trained=model.trained,
        )
    return found


class StageCache:
    """The few stages that were used last; those that drop out are closed."""

    def __init__(self, size: int) -> None:
        """Keeps at most `size` stages."""
        self._size = size
        self._stages: OrderedDict[str, tuple[Stage, Row]] = OrderedDict()

    def get(self, key: str) -> tuple[Stage, Row] | None:
        """Gives a stage and its stamp, if it is there."""
        if key in self._stages:
            self._stages.move_to_end(key)
        return self._stages.get(key)

    def put(self, key: str, stage: Stage, stamp: Row) -> None:
        """Adds a stage."""
        self._stages[key] = (stage, stamp)
        while len(self._stages) > self._size:
            _, (oldest, _) = self._stages.popitem(last=False)
            oldest.close()

    def close(self) -> None:
        """Closes every stage."""
        for stage, _ in self._stages.values():
            stage.close()
        self._stages.clear()


def score_together(stage: Stage, rows: Sequence[Row]) -> list[Row]:
    """Scores rows in shared batches where the stage can do that."""
    many = getattr(stage, "score_rows", None)
    return list(many(rows)) if many is not None else [stage(row) for row in rows]
