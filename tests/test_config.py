"""Settings: precedence, types, and messages that name the setting."""

import os
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mover_ray import config
from mover_ray.errors import ConfigError


@dataclass(frozen=True, kw_only=True, slots=True)
class Inner:
    size: int = 1
    share: float = 0.5
    name: str | None = None
    words: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        config.check_range(self, "share", 0.0, 1.0)


@dataclass(frozen=True, kw_only=True, slots=True)
class Outer:
    inner: Inner = field(default_factory=Inner)
    on: bool = False


@pytest.fixture(autouse=True)
def nowhere(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home"))
    for name in [name for name in os.environ if name.startswith("MOVER_RAY_")]:
        monkeypatch.delenv(name)


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def test_each_layer_beats_the_one_below(monkeypatch, tmp_path):
    def size(**arguments):
        return config.gather(**arguments)["inner"]["size"]

    write(config.user_file(), "inner.size = 1\ninner.name = 'user'")
    assert size() == 1
    write(tmp_path / "mover-ray.toml", "[inner]\nsize = 2")
    assert size() == 2
    named = write(tmp_path / "named.toml", "[inner]\nsize = 3")
    assert size(config_file=named) == 3
    monkeypatch.setenv("MOVER_RAY_INNER__SIZE", "4")
    assert size(config_file=named) == 4
    assert size(config_file=named, assignments=["inner.size=5", "inner.size=6"]) == 6
    assert config.gather()["inner"]["name"] == "user"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3", 3),
        ("0.5", 0.5),
        ("true", True),
        ("[1, 2]", [1, 2]),
        ("'3'", "3"),
        ("word", "word"),
        ("s3://a/b=c", "s3://a/b=c"),
        ("", ""),
        ("2024-01", "2024-01"),
    ],
)
def test_values_are_toml_or_bare_words(text, value):
    assert config.parse_assignments([f"a.b={text}"]) == {"a": {"b": value}}


@given(st.text(alphabet="abc./:= ", max_size=12))
def test_words_are_kept_as_they_are(text):
    assert config.parse_assignments([f"a={text}"]) == {"a": text.strip()}


@pytest.mark.parametrize("text", ["a", "", "=1", "a.=1", ".a=1", "a..b=1"])
def test_what_is_no_assignment_is_refused(text):
    with pytest.raises(ConfigError, match="not an assignment"):
        config.parse_assignments([text])


def test_a_variable_without_a_section_is_another_switch(monkeypatch):
    monkeypatch.setenv("MOVER_RAY_DATA", "/somewhere")
    assert config.gather() == {}


def test_from_mapping_fills_and_converts():
    built = config.from_mapping(Outer, {"inner": {"size": 3, "share": 1, "words": ["a", "b"]}})
    assert built == Outer(inner=Inner(size=3, share=1.0, words=("a", "b")))
    assert isinstance(built.inner.share, float)
    assert config.from_mapping(Outer, config.to_mapping(built)) == built


@pytest.mark.parametrize(
    ("settings", "message", "hint"),
    [
        ({"iner": {}}, "unknown setting: `iner`", "did you mean `inner`?"),
        ({"inner": {"sise": 1}}, "unknown setting: `inner.sise`", "did you mean `inner.size`?"),
        ({"inner": {"zzz": 1}}, "unknown setting: `inner.zzz`", "known are `inner.size`"),
        ({"inner": 3}, "`inner` is a section", None),
        ({"inner": {"size": "3"}}, "`inner.size` has the wrong type", "int is expected"),
        ({"inner": {"size": True}}, "`inner.size` has the wrong type", "int is expected"),
        ({"inner": {"size": 1.5}}, "`inner.size` has the wrong type", "int is expected"),
        ({"on": 1}, "`on` has the wrong type", "bool is expected"),
        ({"inner": {"name": 3}}, "`inner.name` has the wrong type", "str or NoneType"),
        ({"inner": {"words": [1]}}, "`inner.words` has the wrong type", "str is expected"),
        ({"inner": {"share": 2}}, "share is out of range: `2.0`", "0.0 to 1.0"),
    ],
)
def test_wrong_settings_are_named(settings, message, hint):
    with pytest.raises(ConfigError) as told:
        config.from_mapping(Outer, settings)
    assert message in str(told.value)
    assert hint is None or hint in (told.value.hint or "")


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"a = ", "cannot be read"), (b"\xff", "cannot be read"), (None, "no such configuration")],
)
def test_a_wrong_file_is_named(tmp_path, content, message):
    path = tmp_path / "x.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=message):
        config.gather(path)


def test_checks_name_the_field_and_the_choices():
    with pytest.raises(ConfigError, match="unknown name: `c`") as told:
        config.check_choice(Inner(name="c"), "name", ("a", "b"))
    assert told.value.hint == "choose one of `a`, `b`"
    with pytest.raises(ConfigError, match="size is too small: `1`"):
        config.check_at_least(Inner(), "size", 2)
    with pytest.raises(ConfigError, match="out of range: `nan`"):
        Inner(share=float("nan"))


settings = st.dictionaries(st.text(max_size=3), st.integers() | st.text(max_size=3), max_size=4)


@given(settings, settings)
def test_fingerprint_is_of_the_values_and_not_of_their_order(one, other):
    turned = dict(reversed(list(one.items())))
    assert config.fingerprint(one) == config.fingerprint(turned)
    assert (config.fingerprint(one) == config.fingerprint(other)) == (one == other)
    assert len(config.fingerprint(one)) == 16


def test_a_profile_is_stronger_than_files_and_weaker_than_what_is_named(monkeypatch, tmp_path):
    write(config.user_file(), "[profile.prod.inner]\nsize = 1\nname = 'user'\n[inner]\nshare = 0.1")
    write(tmp_path / "mover-ray.toml", "inner.size = 2\n[profile.prod.inner]\nshare = 0.3")
    named = write(tmp_path / "named.toml", "inner.size = 5")

    def inner(**arguments):
        return config.gather(**arguments)["inner"]

    assert inner() == {"size": 2, "share": 0.1}
    assert inner(profile="prod") == {"size": 1, "share": 0.3, "name": "user"}
    assert inner(profile="prod", config_file=named)["size"] == 5
    monkeypatch.setenv("MOVER_RAY_INNER__SIZE", "6")
    assert inner(profile="prod", config_file=named)["size"] == 6
    assert "profile" not in config.gather(profile="prod")


@pytest.mark.parametrize(
    ("text", "name", "message", "hint"),
    [
        ("", "prod", "unknown profile: `prod`", "[profile.prod]"),
        ("[profile.prod]", "prd", "unknown profile: `prd`", "did you mean `prod`?"),
        ("profile = 'prod'", None, "`profile` holds a section", "[profile.NAME]"),
        ("profile.prod = 1", None, "`profile` holds a section", "[profile.NAME]"),
    ],
)
def test_a_wrong_profile(tmp_path, text, name, message, hint):
    write(tmp_path / "mover-ray.toml", text)
    with pytest.raises(ConfigError, match=message) as error:
        config.gather(profile=name)
    assert hint in str(error.value.hint)


def test_sections_that_no_run_reads_are_left_out():
    settings = {"jobs": {"stop_s": 9}, "prices": {}, "inner": {"size": 1}}
    assert config.for_command(settings, "score", ("score",)) == {"inner": {"size": 1}}
    assert config.read_section(Inner, {"inner": {"size": 3}}, "inner").size == 3
    assert config.read_section(Inner, {}, "inner") == Inner()
