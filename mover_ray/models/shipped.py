"""The bundles that come with the package, known by their names."""

from pathlib import Path

_FOLDER = Path(__file__).parent / "bundles"

#: What `score` uses where no model is named.
DEFAULT = "mover-s"


def shipped() -> list[str]:
    """Gives the names of the bundles that come with the package."""
    return sorted(path.name for path in _FOLDER.iterdir() if path.is_dir())


def is_shipped(name: str) -> bool:
    """Says whether a bundle of this name comes with the package."""
    return name in shipped()


def locate(name: str | Path) -> Path:
    """Gives the folder of a model: of a shipped one by its name, else the path as it is.

    Each process asks anew, because the package may lie elsewhere on another node.
    """
    return _FOLDER / name if is_shipped(str(name)) else Path(name)
