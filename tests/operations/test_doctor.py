"""The doctor finds what is wrong with a machine, and nothing wrong with a good one."""

import shutil
import sys
from collections import namedtuple
from importlib import metadata

import pytest

from mover_ray.errors import ArtifactError
from mover_ray.operations import doctor
from mover_ray.operations.doctor_check import FAIL, OK, WARN, format_bytes

Usage = namedtuple("Usage", ["total", "used", "free"])


def test_the_machine_that_runs_the_tests_passes():
    checks = {check.name: check for check in doctor.examine()}
    failed = [check for check in checks.values() if check.level == FAIL]
    assert not failed
    assert {"python", "packages", "torch", "ffmpeg", "face detector", "landmarks"} <= set(checks)
    assert {"sandbox", "ray", "shared memory", "temporary files"} <= set(checks)
    assert "destination" not in checks


def test_the_licence_of_the_landmarks_is_named():
    assert "excludes commercial use" in (doctor.check_landmarks().hint or "")


@pytest.mark.parametrize(
    ("version", "level"),
    [((3, 10, 9), FAIL), ((3, 11, 0), OK), ((3, 13, 5), OK), ((3, 14, 0), FAIL)],
)
def test_python_versions(monkeypatch, version, level):
    monkeypatch.setattr(sys, "version_info", version)
    assert doctor.check_python().level == level


def test_unmet_requirements_are_named_and_extras_are_not():
    numpy = metadata.version("numpy")
    found = list(
        doctor.unmet_requirements(
            [
                "numpy>=2",
                "numpy<2",
                "no-such-package>=1",
                "no-such-extra>=1; extra == 'more'",
                "no-such-system>=1; sys_platform == 'plan9'",
            ]
        )
    )
    assert found == [f"numpy is {numpy}, needed is <2", "no-such-package is missing"]


@pytest.mark.parametrize(
    ("error", "found", "hint"),
    [
        (ImportError("libtorch is broken"), "libtorch is broken", "make setup"),
        (OSError("no space"), "no space", "make setup"),
        (ArtifactError("weights were altered", hint="put them back"), "altered", "put them back"),
    ],
)
def test_what_cannot_even_be_tried_has_failed(monkeypatch, error, found, hint):
    def fail():
        raise error

    monkeypatch.setattr(doctor, "check_ray", fail)
    check = next(check for check in doctor.examine() if check.name == "ray")
    assert check.level == FAIL
    assert found in check.found
    assert hint in (check.hint or "")


def test_a_bug_in_a_check_is_not_hidden(monkeypatch):
    monkeypatch.setattr(doctor, "check_ray", lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        doctor.examine()


@pytest.mark.parametrize(("level", "expected"), [("bwrap", OK), ("seccomp", OK), ("rlimits", WARN)])
def test_an_unsafe_sandbox_is_called_so(monkeypatch, level, expected):
    monkeypatch.setattr("mover_ray.video.sandbox.sandbox_level", lambda: level)
    check = doctor.check_sandbox()
    assert check.level == expected
    assert check.found.startswith(level)
    assert ("unsafe" in check.found) == (expected == WARN)
    demanded = doctor.check_sandbox(require=True)
    assert demanded.level == (FAIL if expected == WARN else OK)


def test_a_sandbox_level_that_does_not_exist_has_failed(monkeypatch):
    monkeypatch.setenv("MOVER_RAY_SANDBOX", "chroot")
    check = next(check for check in doctor.examine() if check.name == "sandbox")
    assert check.level == FAIL
    assert "one of bwrap, seccomp, rlimits" in (check.hint or "")


@pytest.mark.parametrize(("free", "level"), [(1 << 30, WARN), (50 << 30, OK)])
def test_space(monkeypatch, tmp_path, free, level):
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: Usage(free, 0, free))
    assert doctor.check_disk("disk", str(tmp_path / "not" / "there")).level == level
    assert doctor.check_shared_memory().level == level


def test_a_local_destination_need_not_exist(tmp_path):
    checks = doctor.examine(str(tmp_path / "out"))
    assert checks[-1].name == "destination"
    assert checks[-1].level in (OK, WARN)
    assert not (tmp_path / "out").exists()


def test_a_store_that_does_not_answer_has_failed(monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "")
    check = doctor.examine("s3://bucket/prefix")[-1]
    assert (check.name, check.level) == ("destination", FAIL)


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0 MiB"), (512 << 20, "512 MiB"), (1 << 30, "1.0 GiB")]
)
def test_sizes_read_well(size, text):
    assert format_bytes(size) == text
