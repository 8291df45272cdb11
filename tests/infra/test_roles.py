"""The roles of the template, tried on a real S3 server: what each may do, and what it may not.

SeaweedFS has no roles, but buckets with policies: the statements of a role stand there
as the policy of its bucket, for a key that has no rights of its own. It does not know
AWS' keys for conditional writes, so the statement that forbids overwriting is tried
without its exception for new objects, and what is allowed is tried without it.
"""

import json
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.infra.test_clouds import resources, statements
from tests.s3_server import READER, S3Server

pytestmark = pytest.mark.cluster

__all__ = ["resources"]

ROW, NEW_ROW = "run7/results/00001-000001.parquet", "run7/results/00001-000002.parquet"
NOTE = "run7/_progress.json"


def policy_of(given: list[dict[str, Any]], bucket: str) -> str:
    """Gives a role's statements about results as the policy of a bucket."""
    kept = []
    for statement in given:
        named = statement["Resource"]
        places = [_place(each, bucket) for each in (named if isinstance(named, list) else [named])]
        if None not in places and "kms" not in str(statement["Action"]):
            known = {"Principal": {"AWS": "*"}, "Resource": places}
            kept.append({**statement, **known, "Condition": {}})
    return json.dumps({"Version": "2012-10-17", "Statement": kept})


def _place(resource: dict[str, str], bucket: str) -> str | None:
    text = resource.get("Sub") or resource.get("GetAtt") or ""
    if not text.strip("${}").startswith("Results.Arn"):
        return None
    path = text.partition("}")[2]
    return f"arn:aws:s3:::{bucket}{path}"


class Role:
    """A client with the rights of one role on a bucket of its own."""

    def __init__(self, server: S3Server, given: list[dict[str, Any]]) -> None:
        self.bucket = server.make_bucket()
        for key in (ROW, NOTE):
            server.client.put_object(Bucket=self.bucket, Key=key, Body=b"before")
        server.client.put_bucket_policy(Bucket=self.bucket, Policy=policy_of(given, self.bucket))
        self._client = boto3.client(
            "s3",
            endpoint_url=server.endpoint,
            aws_access_key_id=READER[0],
            aws_secret_access_key=READER[1],
            region_name="us-east-1",
            config=Config(retries={"max_attempts": 1}),
        )

    def may(self, operation: str, key: str | None = None, **more: Any) -> bool:
        if key is not None:
            more["Key"] = key
        try:
            getattr(self._client, operation)(Bucket=self.bucket, **more)
        except ClientError as error:
            if error.response["Error"]["Code"] != "AccessDenied":
                raise
            return False
        return True

    def may_write(self, key: str, **more: Any) -> bool:
        return self.may("put_object", key, Body=b"after", **more)


@pytest.fixture
def role(s3_server, resources, request) -> Role:
    return Role(s3_server, statements(resources, request.param))


def test_the_scanner_adds_rows_and_keeps_its_notes(s3_server, resources):
    given = statements(resources, "ScannerRole")
    role = Role(s3_server, [each for each in given if each["Sid"] != "NeverOverwriteRows"])
    assert role.may("list_objects_v2")
    assert role.may("get_object", ROW)
    assert role.may_write(NEW_ROW, IfNoneMatch="*")
    assert role.may_write(NOTE)
    assert role.may("delete_object", NOTE)


@pytest.mark.parametrize("role", ["ScannerRole"], indirect=True)
def test_the_scanner_neither_overwrites_nor_deletes_rows(role):
    assert not role.may_write(ROW)
    assert not role.may("delete_object", ROW)


@pytest.mark.parametrize("role", ["AnalystRole"], indirect=True)
def test_the_analyst_reads_and_writes_nothing(role):
    assert role.may("list_objects_v2")
    assert role.may("get_object", ROW)
    for key in (NEW_ROW, NOTE, ROW):
        assert not role.may_write(key)
        assert not role.may("delete_object", key)


@pytest.mark.parametrize("role", ["VacuumRole"], indirect=True)
def test_the_vacuum_replaces_and_deletes(role):
    assert role.may_write(ROW)
    assert role.may("delete_object", ROW)
