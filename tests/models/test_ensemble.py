import json
import math
from pathlib import Path

import pytest

from mover_ray.errors import ArtifactError, ConfigError, InputError, LocationError
from mover_ray.models import bundle as bundles
from mover_ray.models import ensemble as ensembles
from mover_ray.models.bundle import Bundle
from mover_ray.models.bundle_folder import CARD_NAME, WEIGHTS_NAME
from mover_ray.models.calibration import Calibration
from mover_ray.models.ensemble import Ensemble, calibrated_logit, logit_of
from mover_ray.models.load_model import InitOptions, describe, init_model, load_model, verify_model

SMALL = {"mae": {"image_px": 32}, "branches": ["finetuning"]}
MOTION = {"image_px": 32, "segment_frames": 2}


@pytest.fixture(scope="module")
def members(tmp_path_factory: pytest.TempPathFactory) -> list[Bundle]:
    folder = tmp_path_factory.mktemp("members")
    return [
        bundles.init(folder / "mover", "mover", SMALL),
        bundles.init(folder / "motion", "motion", MOTION),
        bundles.init(folder / "second", "motion", MOTION, seed=1),
    ]


@pytest.fixture
def ensemble(members: list[Bundle], tmp_path: Path) -> Ensemble:
    return ensembles.create(tmp_path / "ensemble", members)


def test_an_ensemble_holds_its_members_whole(ensemble: Ensemble, members: list[Bundle]) -> None:
    assert ensemble.names == ("motion-untrained-0", "motion-untrained-1", "mover-untrained-0")
    by_name = [members[1], members[2], members[0]]
    assert [one.model_sha256 for one in ensemble.members] == [one.model_sha256 for one in by_name]
    assert all(one.path.is_relative_to(ensemble.path) for one in ensemble.members)
    assert not ensemble.trained
    assert ensemble.calibration == Calibration()
    assert verify_model(ensemble.path) == load_model(ensemble.path) == ensemble


def test_members_of_equal_views_share_one(ensemble: Ensemble, members: list[Bundle]) -> None:
    assert ensemble.views == (*members[1].views, *members[0].views)
    assert ensemble.places == (0, 0, 1)
    assert members[0].members == (members[0],)


def test_a_model_is_loaded_by_what_it_is(ensemble: Ensemble, members: list[Bundle]) -> None:
    assert isinstance(load_model(ensemble.path), Ensemble)
    assert load_model(members[0].path) == members[0]
    with pytest.raises(ArtifactError, match=r"lacks `|unknown key"):
        bundles.load(ensemble.path)
    with pytest.raises(ArtifactError, match="describes no ensemble"):
        ensembles.load(members[0].path)


def test_what_a_model_says_of_itself_fits_json(ensemble: Ensemble, members: list[Bundle]) -> None:
    for model in (ensemble, members[0]):
        said = json.loads(json.dumps(describe(model)))
        assert said["model_sha256"] == model.model_sha256
        assert said["path"] == str(model.path)


def test_two_models_of_one_name_are_numbered(members: list[Bundle], tmp_path: Path) -> None:
    other = bundles.init(tmp_path / "other", "motion", {**MOTION, "anomaly": False})
    ensemble = ensembles.create(tmp_path / "ensemble", [members[1], other], "pair")

    assert ensemble.names == ("motion-untrained-0-0", "motion-untrained-0-1")
    assert ensemble.model_id == "pair"


def test_too_few_members_and_twins_are_refused(members: list[Bundle], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="an ensemble of 1 members"):
        ensembles.create(tmp_path / "one", members[:1])
    with pytest.raises(ConfigError, match="each bundle once"):
        ensembles.create(tmp_path / "twins", [members[0], members[0]])
    with pytest.raises(LocationError, match="the destination exists"):
        ensembles.create(members[0].path, members)
    assert [path.name for path in tmp_path.iterdir()] == []


def test_an_altered_member_is_noticed(ensemble: Ensemble, members: list[Bundle]) -> None:
    weights = ensemble.members[0].path / WEIGHTS_NAME
    content = weights.read_bytes()
    weights.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(ArtifactError, match="not those that the bundle was made with"):
        load_model(ensemble.path)

    weights.write_bytes(content)
    card = ensemble.members[0].path / CARD_NAME
    card.write_text(card.read_text(encoding="utf-8").replace("motion-untrained", "motion-other"))
    with pytest.raises(ArtifactError, match="not the one that the ensemble names"):
        load_model(ensemble.path)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"trained": True}, "an untrained member says it is trained"),
        ({"format_version": 9}, "unknown format_version"),
        ({"surprise": 1}, "unknown setting: `surprise`"),
        ({"member_sha256": {}}, "an ensemble of 0 members"),
        ({"member_sha256": {"../up": "0", "b": "1"}}, "model_id is not acceptable"),
        ({"training": {}}, "not acceptable"),
    ],
)
def test_an_altered_card_is_refused(
    change: dict[str, object], said: str, ensemble: Ensemble
) -> None:
    card = ensemble.path / CARD_NAME
    document = json.loads(card.read_text(encoding="utf-8"))
    card.write_text(json.dumps({**document, **change}), encoding="utf-8")

    with pytest.raises(ArtifactError, match=said):
        load_model(ensemble.path)


def test_models_are_made_by_name(members: list[Bundle], tmp_path: Path) -> None:
    paths = [one.path for one in members[:2]]
    made = init_model(
        InitOptions(
            out=tmp_path / "made", name="ensemble", settings={"model_id": "both"}, members=paths
        )
    )
    assert (made.model_id, len(made.members)) == ("both", 2)
    with pytest.raises(ConfigError, match="unknown setting: `seeds`"):
        init_model(InitOptions(out=tmp_path / "a", name="ensemble", settings={"seeds": 1}))
    with pytest.raises(ConfigError, match="a detector has no members: `mover`"):
        init_model(InitOptions(out=tmp_path / "a", name="mover", settings={}, members=paths))


def test_a_members_calibration_comes_before_the_mean(
    ensemble: Ensemble, members: list[Bundle]
) -> None:
    card = ensembles.recarded(ensemble, model_id="other")
    assert (card.model_id, card.member_sha256) == ("other", ensemble.member_sha256)
    member = members[0]
    assert calibrated_logit(member, 3.0, 2) == 3.0
    with pytest.raises(InputError, match="no finite logit"):
        calibrated_logit(member, math.nan, 1)


def test_certain_scores_have_finite_logits() -> None:
    assert [logit_of(score) for score in (0.0, 0.5, 1.0)] == [-30.0, 0.0, 30.0]
    assert logit_of(1 / (1 + math.exp(-2.5))) == pytest.approx(2.5)
    assert logit_of(1e-300) == -30.0
