"""Exit codes of the design, and errors that keep what they carry across processes."""

import pickle
import signal

import pytest

from mover_ray import errors
from mover_ray.status import ANSWERED, RETRIED_BY_DEFAULT, Status

EXIT_CODES = {
    errors.ConfigError: 2,
    errors.ArtifactError: 3,
    errors.LocationError: 5,
    errors.StorageError: 5,
    errors.PreconditionFailed: 5,
    errors.HeldError: 6,
}


@pytest.mark.parametrize(("kind", "code"), EXIT_CODES.items())
def test_exit_codes_are_those_of_the_design(kind, code):
    assert kind.exit_code == code
    assert issubclass(kind, errors.MoverRayError)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interrupted_exits_as_a_shell_would_say(number, code):
    assert errors.Interrupted(number).exit_code == code


@pytest.mark.parametrize(
    "error",
    [
        errors.ConfigError("told", hint="do"),
        errors.ArtifactError("told", hint="do"),
        errors.HeldError("told"),
        errors.InputError(Status.CORRUPT, "told"),
        errors.StorageError(Status.CHANGED, "told", hint="do"),
        errors.PreconditionFailed(Status.CHANGED, "told"),
        errors.Interrupted(signal.SIGTERM),
    ],
)
def test_errors_cross_process_borders(error):
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error)
    assert str(copy) == str(error)
    assert copy.hint == error.hint
    assert copy.exit_code == error.exit_code
    assert getattr(copy, "status", None) == getattr(error, "status", None)


def test_statuses_are_plain_words_of_the_contract():
    words = """
        ok no_face corrupt unsupported too_large timeout crashed out_of_memory fetch_error
        not_found changed archived access_denied model_error quarantined
    """
    assert [str(status) for status in Status] == words.split()
    assert Status("ok") is Status.OK


def test_what_is_retried_is_a_failure():
    assert not set(RETRIED_BY_DEFAULT) & set(ANSWERED)
    assert set(RETRIED_BY_DEFAULT) == {"fetch_error", "timeout", "access_denied", "out_of_memory"}
