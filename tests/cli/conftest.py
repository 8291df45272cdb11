import signal
import sys
from dataclasses import dataclass

import pytest

from mover_ray.cli import main


@dataclass
class Ended:
    code: int
    out: str
    err: str

    @property
    def error(self) -> str:
        return next(line for line in self.err.splitlines() if line.startswith("error: "))

    @property
    def hint(self) -> str:
        return next(line for line in self.err.splitlines() if line.startswith("hint: "))


@pytest.fixture
def mover_ray(monkeypatch, capsys, tmp_path):
    """Runs the command line as the installed entry point does, in this process."""
    previous = signal.getsignal(signal.SIGTERM)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home"))

    def run(*arguments: object) -> Ended:
        monkeypatch.setattr(sys, "argv", ["/bin/mover-ray", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        captured = capsys.readouterr()
        return Ended(int(ended.value.code or 0), captured.out, captured.err)

    yield run
    signal.signal(signal.SIGTERM, previous)
