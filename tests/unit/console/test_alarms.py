"""What the console tells about alarms."""

from datetime import UTC, datetime

from tests.unit.console.builders import NOW, STACK, Browser, MemoryCloudWatch, metric_alarm
from tests.unit.console.test_metrics import workers


def test_an_alarm_says_what_on_call_needs(browser: Browser) -> None:
    (alarm,) = browser.get("/api/alarms").json["alarms"]
    assert alarm == {
        "name": f"{STACK}-AlarmsVirtualWithoutReal1D234811-81765F4DEF05",
        "title": "Virtual without real",
        "state": "OK",
        "since": datetime.fromtimestamp(NOW, UTC).isoformat().replace("+00:00", "Z"),
        "reason": "because",
        "severity": "PAGE",
        "meaning": "Nobody hears orders.",
        "section": "Virtual without real",
        "runbook": "/runbook#virtual-without-real",
        "metric": "VirtualOnlyBusinesses",
        "threshold": 3.0,
    }


def test_those_that_fire_come_first(browser: Browser, cloudwatch: MemoryCloudWatch) -> None:
    cloudwatch.alarms += [
        metric_alarm("B", StateValue="ALARM"),
        metric_alarm("A", StateValue="INSUFFICIENT_DATA"),
        {
            **metric_alarm("A", StateValue="ALARM", AlarmName=f"{STACK}-ServiceImpaired"),
            "AlarmRule": "…",
        },
        metric_alarm("RESTLatency"),
    ]
    alarms = browser.get("/api/alarms").json["alarms"]
    assert [alarm["title"] for alarm in alarms] == [
        *("B", "Service impaired", "A", "REST latency", "Virtual without real"),
    ]


def test_alarms_of_another_environment_are_left_out(
    browser: Browser, cloudwatch: MemoryCloudWatch
) -> None:
    cloudwatch.alarms.append(metric_alarm("X", AlarmName=f"{STACK}2-AlarmsX"))
    assert len(browser.get("/api/alarms").json["alarms"]) == 1


def test_a_threshold_is_told_only_for_a_metric_that_is_drawn(
    browser: Browser, cloudwatch: MemoryCloudWatch
) -> None:
    percentage = workers("0", "1")
    percentage["AlarmName"] = f"{STACK}-AlarmsShare"
    percentage["Metrics"].append({"Id": "share", "Expression": "100 * sum"})
    of_aws = metric_alarm("Throttles", Namespace="AWS/Lambda")
    cloudwatch.alarms = [
        workers("0", "1"),
        percentage,
        of_aws,
        metric_alarm("Burst", Period=360),
        metric_alarm("Entered", MetricName="AttentionEntered", Period=120),
    ]
    alarms = browser.get("/api/alarms").json["alarms"]
    drawn = {alarm["title"]: (alarm["metric"], alarm["threshold"]) for alarm in alarms}
    assert drawn == {
        "Virtual without real": ("VirtualOnlyBusinesses", 3.0),
        "Entered": ("AttentionEntered", 3.0),
        **dict.fromkeys(("Share", "Throttles", "Burst"), (None, None)),
    }


def test_a_description_that_somebody_changed_is_shown_as_it_is(
    browser: Browser, cloudwatch: MemoryCloudWatch
) -> None:
    cloudwatch.alarms = [metric_alarm("VirtualWithoutReal", AlarmDescription="<b>mine</b>")]
    (alarm,) = browser.get("/api/alarms").json["alarms"]
    assert (alarm["meaning"], alarm["severity"], alarm["section"]) == ("<b>mine</b>", None, None)
    assert alarm["runbook"] == "/runbook"


def test_an_environment_without_alarms_is_explained(
    browser: Browser, cloudwatch: MemoryCloudWatch
) -> None:
    cloudwatch.alarms = []
    assert "deploy it again" in browser.get("/api/alarms").json["error"]
