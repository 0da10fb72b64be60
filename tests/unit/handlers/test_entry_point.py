"""Entry points: what Lambda calls, with the `Service` of the process."""

from typing import Any

import pytest
from aws_lambda_powertools.utilities.typing import LambdaContext

from lambdas.bootstrap import Service
from lambdas.handlers.entry_point import Event, entry_point
from lambdas.observability import MetricName
from tests.events import Context
from tests.unit.handlers.conftest import Deployed


def test_all_calls_of_a_process_share_one_service() -> None:
    services = []

    @entry_point
    def handler(service: Service, event: Event, context: LambdaContext) -> dict[str, Any]:
        services.append(service)
        return {}

    handler({}, Context())
    handler({}, Context())
    first, second = services
    assert first is second


def test_what_was_counted_is_written_once_even_if_the_function_fails(
    deployed: Deployed, capsys: pytest.CaptureFixture[str]
) -> None:
    @entry_point
    def handler(service: Service, event: Event, context: LambdaContext) -> dict[str, Any]:
        if event:
            service.metrics.count(MetricName.CONNECTED)
            raise RuntimeError("a defect")
        return {}

    with pytest.raises(RuntimeError, match="a defect"):
        deployed.invoke(handler, {"count": 1})
    assert capsys.readouterr().out.count("Connected") == 2  # its definition and its value
    deployed.invoke(handler, {})
    assert capsys.readouterr().out == ""


def test_a_function_that_counts_nothing_needs_no_environment_variable(
    capsys: pytest.CaptureFixture[str],
) -> None:
    @entry_point
    def handler(service: Service, event: Event, context: LambdaContext) -> dict[str, Any]:
        return {"status": "fine"}

    assert handler({}, Context(), service=Service({})) == {"status": "fine"}
    assert capsys.readouterr().out == ""
