"""Wrong input of every kind answers with one clear line, a hint and the right exit code."""

import pytest

WRONG = {
    "no such command": (["scroe"], 2, "No such command 'scroe'.", "see `mover-ray --help`"),
    "no such option": (["demo", "--speed"], 2, "No such option: --speed", "see `mover-ray demo"),
    "no source": (["score"], 2, "Missing argument 'SOURCE'", "see `mover-ray score --help`"),
    "no destination": (["score", "."], 2, "Missing option '--out'", "see `mover-ray score --help`"),
    "unknown engine": (["score", ".", "--out", "o", "--engine", "dask"], 2, "'dask'", "see"),
    "unknown masks": (["score", ".", "--out", "o", "--masks", "some"], 2, "'some'", "see"),
    "limit of none": (["score", ".", "--out", "o", "--limit", "0"], 2, "'--limit'", "see"),
    "no assignment": (["score", ".", "--out", "o", "--set", "a"], 2, "`a`", "section.key=value"),
    "unknown setting": (
        ["extract", ".", "--out", "o", "--set", "pipeline.videos_per_blok=1"],
        2,
        "unknown setting: `pipeline.videos_per_blok`",
        "did you mean `pipeline.videos_per_block`?",
    ),
    "no such config": (
        ["score", ".", "--out", "o", "--config", "no.toml"],
        2,
        "no such configuration file: `no.toml`",
        None,
    ),
    "unknown status": (
        ["extract", "videos", "--out", "o", "--retry", "sad"],
        2,
        "unknown status: `sad`",
        "timeout",
    ),
    "unknown level": (["--log-level", "loud", "doctor"], 2, "unknown log level: `loud`", "debug"),
    "no model": (["score", "videos", "--out", "o"], 3, "no model is given", "models init"),
    "missing model": (
        ["score", "videos", "--out", "o", "--model", "m"],
        3,
        "no such bundle: `",
        "models init",
    ),
    "missing bundle": (["models", "show", "m"], 3, "no such bundle: `", "models init"),
    "unknown detector": (
        ["models", "init", "mver", "--out", "m"],
        2,
        "unknown detector: `mver`",
        "did you mean `mover`?",
    ),
    "missing source": (["extract", "nowhere", "--out", "o"], 5, "nowhere`", None),
    "empty source": (["extract", "empty", "--out", "o"], 5, "no video in the source", "misspelt"),
    "unknown scheme": (["extract", "gs://a/b", "--out", "o"], 5, "unknown scheme", None),
    "no manifest": (["manifest", "show", "m.parquet"], 5, "m.parquet", None),
    "no run": (["runs", "verify", "empty"], 5, "no run at", "--out"),
    "not a demo's folder": (["demo", "--out", "videos"], 2, "holds something else", "--out"),
    "no number": (["score", ".", "--out", "o", "--limit", "many"], 2, "'many'", "see"),
    "no share": (["extract", "videos", "--out", "o", "--sample", "200%"], 2, "`200%`", None),
    "no such profile": (
        ["extract", "videos", "--out", "o", "--profile", "prod"],
        2,
        "unknown profile: `prod`",
        "`[profile.prod]`",
    ),
    "unknown preset": (
        ["train", "pretrain", "mea", "--out", "o"],
        2,
        "unknown preset: `mea`",
        "mae",
    ),
    "no method": (["forge", "videos", "--out", "o"], 2, "no manipulation is named", "--methods"),
    "unknown method": (
        ["forge", "videos", "--out", "o", "--methods", "facswap"],
        2,
        "`facswap`",
        "`faceswap`",
    ),
    "unknown protocol": (
        ["evaluate", "empty", "--protocol", "cross"],
        2,
        "unknown protocol: `cross`",
        "cross-dataset",
    ),
    "no results": (["evaluate", "empty"], 5, "empty", None),
    "unknown dataset": (
        ["manifest", "dataset", "ffpp", "empty", "--out", "m"],
        2,
        "`ffpp`",
        "faceforensics",
    ),
    "a group alone": (["jobs", "stat"], 2, "No such command 'stat'", "see `mover-ray jobs"),
    "no cluster": (
        ["jobs", "list", "--address", "http://127.0.0.1:9"],
        5,
        "no Jobs API answers at: `http://127.0.0.1:9`",
        "8265",
    ),
    "not a Jobs API": (
        ["jobs", "list", "--address", "ray://a:10001"],
        2,
        "not the address of a Jobs API: `ray://a:10001`",
        "http://",
    ),
    "no job": (["jobs", "submit", "doctor"], 2, "no command that can be a job: `doctor`", "score"),
    "no command": (["jobs", "submit"], 2, "Missing argument 'COMMAND", "see `mover-ray jobs"),
    "wrong within a job": (
        ["jobs", "submit", "score", "videos"],
        2,
        "Missing option '--out'",
        "see `mover-ray score --help`",
    ),
    "local engine as a job": (
        ["extract", "videos", "--out", "o", "--engine", "local", "--address", "http://127.0.0.1:9"],
        2,
        "a job cannot use the engine: `local`",
        "`--engine`",
    ),
    "unknown state": (["jobs", "list", "--state", "runing"], 2, "`runing`", "`running`"),
    "label without a value": (["jobs", "list", "--label", "team"], 2, "`team`", "name=value"),
    "job of no cluster": (
        ["extract", "videos", "--out", "o", "--address", "http://127.0.0.1:9"],
        5,
        "no Jobs API answers",
        "8265",
    ),
    "no plan": (["plan", "--videos", "many", "--hours", "4"], 2, "not a number: `many`", "10M"),
    "no time": (["plan", "--videos", "10M", "--hours", "0"], 2, "nothing to plan", None),
    "no run to measure": (
        ["plan", "--videos", "10", "--hours", "1", "--like", "empty"],
        5,
        "no rows of `score` at",
        "--out",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_input_says_what_and_what_to_do_and_writes_nothing(mover_ray, tmp_path, case):
    arguments, code, message, hint = WRONG[case]
    (tmp_path / "empty").mkdir()
    (tmp_path / "videos").mkdir()
    (tmp_path / "videos" / "a.mp4").write_bytes(b"no video")
    ended = mover_ray(*arguments)
    assert ended.code == code
    assert message in ended.error
    assert hint is None or hint in ended.hint
    assert "Traceback" not in ended.err
    assert not ended.out
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "videos"]


def test_a_wrong_settings_file_names_the_file_and_the_setting(mover_ray, tmp_path):
    (tmp_path / "videos").mkdir()
    (tmp_path / "videos" / "a.mp4").write_bytes(b"no video")
    settings = tmp_path / "mover-ray.toml"
    for text, message in (
        ("[pipeline\n", "configuration file cannot be read: `mover-ray.toml`"),
        ("[pipelin]\n", "unknown setting: `pipelin`"),
        ("[prices]\ncpu_hour = -1\n", "cpu_hour is too small: `-1.0`"),
        ("[jobs]\nweel = 'a'\n", "unknown setting: `jobs.weel`"),
        ("profile = 3\n", "`profile` holds a section for each profile"),
    ):
        settings.write_text(text)
        where = ["--address", "http://127.0.0.1:9"] if "jobs" in text else ["--dry-run"]
        ended = mover_ray("extract", "videos", "--out", "o", *where)
        assert (ended.code, message in ended.error) == (2, True), ended.err
