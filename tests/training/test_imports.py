import subprocess
import sys

from tests.training.toys import ROOT

#: What a bare GPU machine need not have.
ABSENT = ("ray", "av", "dlib", "boto3", "botocore", "onnxruntime", "sklearn", "matplotlib")

SCRIPT = f"""
import importlib, pkgutil, sys
for name in {ABSENT}:
    sys.modules[name] = None
import mover_ray.training as package
for module in pkgutil.iter_modules(package.__path__, "mover_ray.training."):
    importlib.import_module(module.name)
    print(module.name)
"""


def test_training_imports_on_a_machine_with_torch_alone() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert "mover_ray.training.finetune" in done.stdout.split()
