"""schemathesis asks everything that the OpenAPI document allows, and much that it does not."""

from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings

from tests.made_results import small_run
from tests.serving.service import serving

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]


def test_no_answer_is_undocumented_and_none_a_fault(
    settings: dict[str, Any], the_keys: dict[str, str], tmp_path: Path
) -> None:
    more = {
        "datasets": {"run": small_run(tmp_path / "run")},
        "limits": {"burst": 10**6, "rate_per_minute": 1e9},
    }
    headers = {"Authorization": f"Bearer {the_keys['alice']}"}
    asked: set[str] = set()
    with serving(settings | more) as service:
        schema = schemathesis.openapi.from_asgi("/openapi.json", service.app)
        for found in schema.get_all_operations():
            operation = found.ok()  # type: ignore[union-attr] # an error fails the test

            @hypothesis_settings(
                max_examples=20,
                deadline=None,
                database=None,
                suppress_health_check=list(HealthCheck),
            )
            @given(case=operation.as_strategy())
            def ask(case: Any) -> None:
                case.call_and_validate(headers=headers)

            ask()
            asked.add(operation.label)
    assert len(asked) >= 12
