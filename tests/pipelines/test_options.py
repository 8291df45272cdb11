"""One settings file for all commands, and what each of them makes of it."""

import pytest

from mover_ray.errors import ConfigError
from mover_ray.pipelines.extract import ExtractOptions, resolve
from mover_ray.pipelines.score import ScoreOptions

SHARED = {
    "pipeline": {"workers": 3},
    "extract": {"faces": {"margin": 1.5}, "pipeline": {"workers": 1}},
    "score": {"scoring": {"masks": "all"}},
}


def test_a_shared_file_speaks_to_each_command_alone() -> None:
    config = resolve(ExtractOptions(source="a", dest="b", settings=SHARED))
    assert (config.faces.margin, config.pipeline.workers) == (1.5, 1)
    settings = ScoreOptions(source="a", dest="b", settings=SHARED).settings_of("score")
    assert settings == {"pipeline": {"workers": 3}, "scoring": {"masks": "all"}}


@pytest.mark.parametrize(
    ("command", "section", "hint"),
    [
        ("score", "faces", "extract.faces"),
        ("score", "sampling", "extract.sampling"),
        ("extract", "scoring", "score.scoring"),
    ],
)
def test_a_section_of_another_command_is_refused(command: str, section: str, hint: str) -> None:
    options = ScoreOptions(source="a", dest="b", settings={section: {}})
    with pytest.raises(ConfigError, match=f"`{section}` cannot be set for") as caught:
        options.settings_of(command)
    assert hint in str(caught.value.hint)


def test_unknown_sections_and_keys_are_refused() -> None:
    options = ExtractOptions(source="a", dest="b", settings={"pipelin": {}})
    with pytest.raises(ConfigError, match="unknown setting: `pipelin`") as caught:
        resolve(options)
    assert "did you mean `pipeline`" in str(caught.value.hint)
