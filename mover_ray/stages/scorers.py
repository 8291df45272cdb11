"""The scoring stage of any model."""

from collections.abc import Sequence

from mover_ray.models.base import Detector
from mover_ray.models.ensemble import Ensemble
from mover_ray.models.load_model import Model
from mover_ray.stages.ensemble import EnsembleScorer
from mover_ray.stages.score import Scorer
from mover_ray.stages.scoring_config import ScoringConfig
from mover_ray.stages.shared_features import share_features


def build_scorer(
    model: Model, detectors: Sequence[Detector], config: ScoringConfig
) -> Scorer | EnsembleScorer:
    """Gives the stage that scores with a model.

    Args:
        model: A bundle, or an ensemble.
        detectors: With their weights, one of each of the model's `members`.
        config: How to run them.
    """
    if not isinstance(model, Ensemble):
        (detector,) = detectors
        return Scorer(model, detector, config)
    sharing, passes = share_features(detectors, model.places)
    scorers = [
        Scorer(member, detector, config)
        for member, detector in zip(model.members, sharing, strict=True)
    ]
    return EnsembleScorer(model, scorers, passes)
