"""The series that the page draws."""

from typing import Any

from tests.unit.console.builders import NOW, Browser, MemoryCloudWatch, metric_alarm, points

NEWEST = NOW // 60 * 60


def workers(*names: str) -> dict[str, Any]:
    """An alarm on the sum of what several workers counted, as DescribeAlarms returns it."""
    alarm = metric_alarm("VirtualWithoutReal")
    for name in ("Namespace", "MetricName", "Dimensions", "Period"):
        del alarm[name]
    alarm["Metrics"] = [
        {"Id": "sum", "Expression": "IF(…, w0 + w1)"},
        *(
            {
                "Id": f"w{name}",
                "MetricStat": {
                    "Metric": {
                        "Namespace": "BusinessConnections",
                        "MetricName": "VirtualOnlyBusinesses",
                        "Dimensions": [
                            {"Name": "environment", "Value": "dev"},
                            {"Name": "worker", "Value": name},
                        ],
                    },
                    "Period": 120,
                },
            }
            for name in names
        ),
    ]
    return alarm


def test_every_period_has_a_point(browser: Browser, cloudwatch: MemoryCloudWatch) -> None:
    cloudwatch.values["RealConnections", None] = {NEWEST - 60: 7.0}
    document = browser.get("/api/metrics?hours=1").json
    series = document["series"]["RealConnections"]
    assert [moment for moment, _ in series] == list(range(NEWEST - 3600, NEWEST, 60))
    assert points(document, "RealConnections") == [(NEWEST - 60, 7.0)]
    assert document["period"] == 60
    assert document["asOf"] == "2027-01-15T08:00:00Z"


def test_the_running_period_is_included_as_soon_as_it_has_data(
    browser: Browser, cloudwatch: MemoryCloudWatch
) -> None:
    cloudwatch.values["RealConnections", None] = {NEWEST: 7.0}
    document = browser.get("/api/metrics?hours=1").json
    assert document["series"]["RealConnections"][-1] == [NEWEST, 7.0]
    assert document["series"]["OnlineBusinesses"][-1] == [NEWEST - 60, None]


def test_a_gauge_is_the_sum_of_all_workers_and_unknown_while_one_is_missing(
    browser: Browser, cloudwatch: MemoryCloudWatch
) -> None:
    cloudwatch.alarms = [workers("0", "1")]
    start = NOW // 120 * 120 - 240
    cloudwatch.values["RealConnections", "0"] = {start: 3.0, start + 120: 4.0}
    cloudwatch.values["RealConnections", "1"] = {start: 5.0}
    cloudwatch.values["Transitions", None] = {start: 2.0}
    document = browser.get("/api/metrics?hours=1").json
    assert document["period"] == 120
    assert points(document, "RealConnections") == [(start, 8.0)]
    assert points(document, "Transitions") == [(start, 2.0)]


def test_a_gauge_is_not_added_up_over_time_and_a_count_is(
    browser: Browser, cloudwatch: MemoryCloudWatch
) -> None:
    browser.get("/api/metrics")
    (_, asked) = cloudwatch.asked
    statistics = {
        query["MetricStat"]["Metric"]["MetricName"]: query["MetricStat"]["Stat"]
        for query in asked["MetricDataQueries"]
    }
    assert statistics["RealConnections"] == "Maximum"
    assert statistics["Connected"] == "Sum"
    assert len(statistics) == 12


def test_a_week_has_longer_periods_instead_of_too_many_points(browser: Browser) -> None:
    document = browser.get("/api/metrics?hours=168").json
    assert document["period"] % 60 == 0
    assert 400 < len(document["series"]["RealConnections"]) <= 721
