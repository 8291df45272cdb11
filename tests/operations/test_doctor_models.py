"""The doctor tells whether a model is whole, and what binds its use."""

import dataclasses
from functools import partial

import pytest

from mover_ray.errors import ArtifactError
from mover_ray.models import bundle as bundles
from mover_ray.models.bundle_card import Training
from mover_ray.operations.doctor_check import FAIL, OK, WARN, guarded
from mover_ray.operations.doctor_models import check_model
from tests.archive import make_model


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return make_model(tmp_path_factory.mktemp("model") / "small")


@pytest.mark.parametrize(
    ("licence", "datasets", "level", "words"),
    [
        ("Apache-2.0", (), OK, "licence: Apache-2.0"),
        ("CC-BY-NC-4.0", (), WARN, "the licence CC-BY-NC-4.0"),
        ("Apache-2.0", ("faceforensics", "forged"), WARN, "the terms of faceforensics"),
    ],
)
def test_what_binds_the_use_of_a_model_is_named(
    model, monkeypatch, licence, datasets, level, words
):
    training = Training(code_version="test", datasets=datasets)
    told = dataclasses.replace(model, trained=True, licence=licence, training=training)
    monkeypatch.setattr(bundles, "verify", lambda _: told)
    check = check_model("model")
    assert check.level == level
    assert words in check.found


def test_random_weights_are_called_so(model):
    check = check_model(str(model.path))
    assert check.level == WARN
    assert "not trained" in check.found


def test_an_altered_model_has_failed(model, tmp_path):
    with pytest.raises(ArtifactError):
        check_model(str(tmp_path / "nothing"))
    check = guarded("model", partial(check_model, str(tmp_path / "nothing")))
    assert check.level == FAIL
