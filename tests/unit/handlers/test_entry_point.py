"""Entry points: what Lambda calls, with the `Service` of the process."""

import json
import re
from typing import Any

import pytest
from aws_lambda_powertools.utilities.typing import LambdaContext

from lambdas.bootstrap import Service
from lambdas.handlers.entry_point import Event, entry_point, logger
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


def test_lambda_can_read_the_level_and_the_time_of_a_line(
    deployed: Deployed,
) -> None:
    """It takes a line without a valid time, in RFC 3339, for one of level INFO."""

    @entry_point
    def handler(service: Service, event: Event, context: LambdaContext) -> dict[str, Any]:
        logger.warning("something")
        return {}

    deployed.invoke(handler, {})
    (line,) = deployed.log_lines
    assert line["level"] == "WARNING"
    moment = re.sub(r"\.\d+", "", line["timestamp"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(Z|[+-]\d\d:\d\d)", moment)


def test_metrics_are_lines_without_a_level_so_that_lambda_keeps_them(
    deployed: Deployed, capsys: pytest.CaptureFixture[str]
) -> None:
    @entry_point
    def handler(service: Service, event: Event, context: LambdaContext) -> dict[str, Any]:
        service.metrics.count(MetricName.CONNECTED)
        return {}

    deployed.invoke(handler, {})
    line = json.loads(capsys.readouterr().out)
    assert "_aws" in line
    assert "level" not in line


def test_a_function_that_counts_nothing_needs_no_environment_variable(
    capsys: pytest.CaptureFixture[str],
) -> None:
    @entry_point
    def handler(service: Service, event: Event, context: LambdaContext) -> dict[str, Any]:
        return {"status": "fine"}

    assert handler({}, Context(), service=Service({})) == {"status": "fine"}
    assert capsys.readouterr().out == ""
