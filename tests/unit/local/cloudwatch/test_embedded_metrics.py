"""Reading metrics from log lines in the embedded metric format."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from local.cloudwatch.embedded_metrics import metric_data

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


def line(**changes: Any) -> str:
    fields: dict[str, Any] = {
        "_aws": {
            "Timestamp": int(NOON.timestamp() * 1000),
            "CloudWatchMetrics": [
                {
                    "Namespace": "Shop",
                    "Dimensions": [["environment"]],
                    "Metrics": [{"Name": "Orders", "Unit": "Count"}],
                }
            ],
        },
        "environment": "local",
        "businessId": "b1",
        "Orders": 3,
    }
    return json.dumps(fields | changes)


def test_a_metric_keeps_its_namespace_dimensions_unit_and_time() -> None:
    assert list(metric_data(line())) == [
        (
            "Shop",
            {
                "MetricName": "Orders",
                "Dimensions": [{"Name": "environment", "Value": "local"}],
                "Timestamp": NOON,
                "Unit": "Count",
                "Values": [3],
            },
        )
    ]


def test_a_metric_with_several_values_is_published_with_all_of_them() -> None:
    ((_, datum),) = metric_data(line(Orders=[1, 0, 2.5]))
    assert datum["Values"] == [1, 0, 2.5]


def test_each_dimension_set_is_a_separate_metric() -> None:
    document = json.loads(line(worker="2"))
    document["_aws"]["CloudWatchMetrics"][0]["Dimensions"] = [
        [],
        ["environment"],
        ["environment", "worker"],
    ]
    published = [datum["Dimensions"] for _, datum in metric_data(json.dumps(document))]
    assert published == [
        [],
        [{"Name": "environment", "Value": "local"}],
        [{"Name": "environment", "Value": "local"}, {"Name": "worker", "Value": "2"}],
    ]


def test_a_metric_without_dimensions_and_unit_is_published_without_them() -> None:
    document = json.loads(line())
    directive = document["_aws"]["CloudWatchMetrics"][0]
    del directive["Dimensions"], directive["Metrics"][0]["Unit"]
    ((_, datum),) = metric_data(json.dumps(document))
    assert (datum["Dimensions"], datum["Unit"]) == ([], "None")


@pytest.mark.parametrize(
    "other",
    [
        "START RequestId: 1 Version: 2",
        "{not json CloudWatchMetrics",
        '"CloudWatchMetrics"',
        json.dumps({"message": "connected", "businessId": "b1"}),
        json.dumps({"message": "CloudWatchMetrics", "_aws": None}),
        line(Orders="three"),
        line(Orders=True),
        line(Orders=None),
        line(Orders=[]),
    ],
)
def test_a_line_without_metrics_yields_nothing(other: str) -> None:
    assert list(metric_data(other)) == []
