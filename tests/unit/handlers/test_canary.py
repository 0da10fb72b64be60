"""The canary: where its token comes from, what a run publishes, and that it counts nowhere.

`tests/unit/test_story.py` has what each step finds.
"""

import json
from dataclasses import replace
from typing import Any

import pytest

from lambdas.adapters.credential import NoCredential
from lambdas.adapters.items import settings_key
from lambdas.domain.identifiers import CANARY
from lambdas.handlers import canary, cleanup, recorder, rest, websocket
from lambdas.observability import CanaryStep, MetricName
from tests.builders import business, real, settings, virtual
from tests.events import changed_record, rest_event, socket_event
from tests.fake_apis import ISSUED, FakeApis
from tests.unit.handlers.conftest import FORM, Deployed, new_secret, put_secret


def published(output: str) -> dict[str, float]:
    """The metrics in the output, by name and, for durations, step."""
    found: dict[str, float] = {}
    for line in map(json.loads, output.splitlines()):
        (directive,) = line["_aws"]["CloudWatchMetrics"]
        (metric,) = directive["Metrics"]
        (value,) = line[metric["Name"]]
        found[f"{metric['Name']} {line['step']}" if "step" in line else metric["Name"]] = value
    return found


def test_a_run_publishes_that_it_succeeded_and_how_long_each_step_took(
    playing: Deployed, capsys: pytest.CaptureFixture[str]
) -> None:
    report = playing.invoke(canary.handler, {})
    assert report["succeeded"]
    metrics = published(capsys.readouterr().out)
    assert metrics.pop(MetricName.CANARY_SUCCEEDED) == 1
    assert list(metrics) == [f"{MetricName.CANARY_STEP_DURATION} {step}" for step in CanaryStep]
    assert list(metrics.values()) == list(report["milliseconds"].values())


def test_it_plays_its_own_business_with_the_token_of_its_credential(
    playing: Deployed, apis: FakeApis
) -> None:
    playing.invoke(canary.handler, {})
    assert apis.forms == [{name: [value] for name, value in FORM.items()}]
    named = {request.split("/")[2] for request, _ in apis.requests if "businesses" in request}
    assert named == {CANARY}


@pytest.mark.parametrize(
    ("broken", "step"),
    [("issuer", "sign-in"), ("health", "begin"), ("connect", "connect"), ("push", "push")],
)
def test_a_run_that_fails_publishes_that_and_logs_the_step_and_the_reason(
    playing: Deployed, apis: FakeApis, capsys: pytest.CaptureFixture[str], broken: str, step: str
) -> None:
    apis.broken = {broken}
    report = playing.invoke(canary.handler, {})
    assert (report["succeeded"], report["step"]) == (False, step)
    metrics = published(capsys.readouterr().out)
    assert metrics.pop(MetricName.CANARY_SUCCEEDED) == 0
    assert f"{MetricName.CANARY_STEP_DURATION} {step}" not in metrics
    (line,) = playing.log_lines
    assert (line["level"], line["message"], line["step"]) == ("ERROR", "canary failed", step)
    assert line["reason"] == report["reason"]


def test_the_next_run_after_a_failed_one_succeeds(playing: Deployed, apis: FakeApis) -> None:
    apis.broken = {"pong"}
    assert not playing.invoke(canary.handler, {})["succeeded"]
    apis.broken = set()
    assert playing.invoke(canary.handler, {})["succeeded"]


@pytest.mark.parametrize("value", [None, {}, {"tokenUrl": "https://id.example"}, ["a list"]])
def test_without_a_credential_a_run_ends_and_publishes_nothing(
    deployed: Deployed, capsys: pytest.CaptureFixture[str], value: Any
) -> None:
    """Nobody has given it one yet: it must not page."""
    deployed.environ["CREDENTIAL_ARN"] = new_secret()
    if value is not None:
        put_secret(value, deployed.environ["CREDENTIAL_ARN"])
    with pytest.raises(NoCredential, match="the secret arn:"):
        deployed.invoke(canary.handler, {})
    assert capsys.readouterr().out == ""


def test_a_user_of_the_user_pool_gets_in_with_the_password_of_the_secret(
    playing: Deployed, pool_user: dict[str, str]
) -> None:
    put_secret(pool_user, playing.environ["CREDENTIAL_ARN"])
    assert playing.invoke(canary.handler, {})["succeeded"]


def test_a_wrong_password_is_a_failed_run(playing: Deployed, pool_user: dict[str, str]) -> None:
    put_secret({**pool_user, "password": "wrong"}, playing.environ["CREDENTIAL_ARN"])
    report = playing.invoke(canary.handler, {})
    assert report["step"] == CanaryStep.SIGN_IN
    assert "NotAuthorizedException" in report["reason"]


def test_an_issuer_that_cannot_be_reached_is_a_failed_run(playing: Deployed) -> None:
    put_secret({"tokenUrl": "http://127.0.0.1:1/", "form": FORM}, playing.environ["CREDENTIAL_ARN"])
    assert playing.invoke(canary.handler, {})["step"] == CanaryStep.SIGN_IN


def test_no_secret_and_no_token_is_logged(playing: Deployed, apis: FakeApis) -> None:
    for broken in ("issuer", "routes", "connect"):
        apis.broken = {broken}
        playing.invoke(canary.handler, {})
    assert ISSUED not in playing.log.getvalue()
    assert "s3cret" not in playing.log.getvalue()


# Its business counts nowhere.

LEFT_BEHIND = business(
    real("silent", business_id=CANARY, seen=4_000, age=5_000),
    virtual(business_id=CANARY),
    declared=settings(),
    business_id=CANARY,
)
"""What a run that was killed leaves: it looks open, and its device has been silent for an hour."""


def test_what_a_killed_run_left_behind_is_in_no_census_and_pages_nobody(
    feed: Deployed, capsys: pytest.CaptureFixture[str]
) -> None:
    feed.seed(LEFT_BEHIND)
    stored = feed.items()
    for _ in range(2):
        report = feed.invoke(cleanup.handler, {})
        assert report["complete"]
        assert not any(
            value for name, value in report.items()
            if name not in {"complete", "workers", "readUnits", "milliseconds"} and value
        ), report  # fmt: skip
        feed.clock.advance(3_600)
    metrics = published_sums(capsys.readouterr().out)
    del metrics[MetricName.CLEANUP_COMPLETED], metrics[MetricName.CLEANUP_DURATION]
    assert set(metrics.values()) == {0}
    assert [item for item in feed.items() if item["pk"]["S"] != "CENSUS"] == stored
    assert feed.sent() == []


def published_sums(output: str) -> dict[str, float]:
    sums: dict[str, float] = {}
    for line in map(json.loads, output.splitlines()):
        for metric in line["_aws"]["CloudWatchMetrics"][0]["Metrics"]:
            name = metric["Name"]
            sums[name] = sums.get(name, 0) + sum(line[name])
    return sums


def test_an_operator_who_cleans_it_up_is_answered_and_pages_nobody(
    feed: Deployed, capsys: pytest.CaptureFixture[str]
) -> None:
    feed.seed(replace(LEFT_BEHIND, real=()))
    request = rest_event(
        "POST",
        "/businesses/{businessId}/cleanup",
        body="{}",
        business_id=CANARY,
        roles=("operator",),
    )
    for _ in range(2):
        assert feed.invoke(rest.handler, request)["statusCode"] == 200
        feed.clock.advance(600)
    assert capsys.readouterr().out == ""
    status = feed.service.status_reader.comprehensive_business_status(CANARY)
    assert (status.overall_status, status.attention) == ("VIRTUAL_ONLY", None)


def test_what_it_does_is_no_transition_and_not_counted(
    feed: Deployed, capsys: pytest.CaptureFixture[str]
) -> None:
    member = {"businessId": CANARY, "userId": "canary"}
    feed.invoke(websocket.on_connect, socket_event(event_type="CONNECT", authorizer=member))
    for path, body in (("availability", '{"available": true}'), ("messages", '"hello"')):
        method = "PUT" if path == "availability" else "POST"
        request = rest_event(
            method,
            f"/businesses/{{businessId}}/{path}",
            body=body,
            business_id=CANARY,
            businesses=(CANARY,),
        )
        assert feed.invoke(rest.handler, request)["statusCode"] == 200
    batch = {"Records": [changed_record(settings_key(CANARY))]}
    assert feed.invoke(recorder.handler, batch) == {"businesses": 1, "recorded": 0}
    # With the business in the event's context, and without it.
    feed.invoke(websocket.on_disconnect, socket_event(event_type="DISCONNECT", authorizer={}))
    feed.invoke(websocket.on_disconnect, socket_event(event_type="DISCONNECT", authorizer=member))
    assert capsys.readouterr().out == ""
    assert feed.client.scan(TableName=feed.environ["HISTORY_TABLE_NAME"])["Items"] == []


def test_a_member_of_it_pushes_to_it_but_to_no_other_business(feed: Deployed) -> None:
    def push(business_id: str) -> int:
        request = rest_event(
            "POST",
            "/businesses/{businessId}/messages",
            body='"hello"',
            business_id=business_id,
            businesses=(CANARY, "b2"),
        )
        return int(feed.invoke(rest.handler, request)["statusCode"])

    assert push(CANARY) == 200
    assert push("b1") == 403
    assert push("b2") == 403
