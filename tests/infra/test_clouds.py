"""The template of the cloud, and the cluster of `ray up`, by the tools that will read them."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
TEMPLATE = ROOT / "infra" / "aws" / "mover-ray.yaml"


class CloudLoader(yaml.SafeLoader):
    """Reads CloudFormation's short functions as `{name: value}`."""


def _function(loader: yaml.SafeLoader, suffix: str, node: yaml.Node) -> dict[str, Any]:
    if isinstance(node, yaml.SequenceNode):
        return {suffix: loader.construct_sequence(node, deep=True)}
    return {suffix: loader.construct_scalar(node)}  # type: ignore[arg-type]


CloudLoader.add_multi_constructor("!", _function)


@pytest.fixture(scope="module")
def resources() -> dict[str, Any]:
    document = yaml.load(TEMPLATE.read_text(encoding="utf-8"), CloudLoader)  # noqa: S506
    return dict(document["Resources"])


def statements(resources: dict[str, Any], role: str) -> list[dict[str, Any]]:
    (policy,) = resources[role]["Properties"]["Policies"]
    given = policy["PolicyDocument"]["Statement"]
    return [each["If"][1] if "If" in each else each for each in given]


def actions(resources: dict[str, Any], role: str, effect: str) -> set[str]:
    found: set[str] = set()
    for statement in statements(resources, role):
        if statement["Effect"] == effect:
            named = statement["Action"]
            found.update([named] if isinstance(named, str) else named)
    return found


def test_the_template_passes_its_linter():
    linter = Path(sys.executable).with_name("cfn-lint")
    if not linter.exists():
        pytest.skip("cfn-lint is not installed")
    done = subprocess.run([linter, TEMPLATE], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_no_bucket_is_public_open_or_unencrypted(resources):
    buckets = {
        name: each["Properties"]
        for name, each in resources.items()
        if each["Type"] == "AWS::S3::Bucket"
    }
    assert set(buckets) == {"Results", "AccessLogs"}
    for bucket in buckets.values():
        assert all(bucket["PublicAccessBlockConfiguration"].values())
        assert bucket["BucketEncryption"]
        assert bucket["LifecycleConfiguration"]["Rules"]
    assert buckets["Results"]["VersioningConfiguration"] == {"Status": "Enabled"}
    for name in buckets:
        policy = resources[f"{name}Policy"]["Properties"]["PolicyDocument"]["Statement"]
        assert any(
            each["Effect"] == "Deny"
            and each["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
            for each in policy
        )


def test_roles_may_do_no_more_than_they_must(resources):
    assert actions(resources, "AnalystRole", "Allow") == {
        "s3:ListBucket",
        "s3:GetObject",
        "kms:Decrypt",
    }
    assert "s3:DeleteObject" in actions(resources, "VacuumRole", "Allow")
    assert "s3:DeleteObject" in actions(resources, "ScannerRole", "Deny")
    for role in ("ScannerRole", "AnalystRole", "VacuumRole"):
        for action in actions(resources, role, "Allow"):
            assert "*" not in action
        for statement in statements(resources, role):
            assert statement["Resource"] != "*"


def test_the_scanner_neither_overwrites_nor_deletes_rows(resources):
    named = {each["Sid"]: each for each in statements(resources, "ScannerRole")}
    overwrite = named["NeverOverwriteRows"]
    assert overwrite["Effect"] == "Deny"
    assert overwrite["Condition"] == {
        "Null": {"s3:if-none-match": "true"},
        "Bool": {"s3:ObjectCreationOperation": "true"},
    }
    assert named["NeverDeleteRows"]["Resource"] == overwrite["Resource"]
    deletable = named["ReplaceOwnNotes"]["Resource"]["Sub"]
    pattern = re.escape(deletable.partition("/")[2]).replace(r"\*", ".*")
    assert re.fullmatch(pattern, "run7/_lease.json")
    assert not re.fullmatch(pattern, "run7/results/00001-000001.parquet")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_rays_own_validator_takes_the_cluster():
    from ray.autoscaler._private.util import prepare_config, validate_config

    config = yaml.safe_load((ROOT / "cluster" / "aws.yaml").read_text(encoding="utf-8"))
    validate_config(prepare_config(config))
    with pytest.raises(Exception, match="max_worker"):
        validate_config(prepare_config({**config, "max_worker": 3}))


def test_machines_of_ray_up_carry_what_ray_believes():
    config = yaml.safe_load((ROOT / "cluster" / "aws.yaml").read_text(encoding="utf-8"))
    types = config["available_node_types"]
    assert types["head"]["resources"] == {"CPU": 0}
    for node in types.values():
        assert node["node_config"]["MetadataOptions"]["HttpTokens"] == "required"
        assert node["node_config"]["IamInstanceProfile"] == {"Name": "mover-ray-scanner"}
    assert types["cpu"]["node_config"]["InstanceMarketOptions"] == {"MarketType": "spot"}
    assert "InstanceMarketOptions" not in types["gpu"]["node_config"]
    assert any("RAY_AUTH_MODE=token" in option for option in config["docker"]["run_options"])
