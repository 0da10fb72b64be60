"""The change feed: what reaches its functions, when it is given up, and how it is turned off."""

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import pytest

from infra.configuration import Environment
from infra.environments import DEV
from lambdas.table_schema import CONNECTION_PREFIX, LAST_TRANSITION_KEY, SETTINGS_KEY
from tests.infra.every_option import EVERY_OPTION
from tests.infra.permissions import RUNTIME, Permissions, allowed
from tests.infra.synthesis import Templates, synthesize
from tests.infra.template import Properties, Template, flat, function_name

FUNCTIONS = ("Recorder", "Publisher")
HISTORY_VARIABLES = {"HISTORY_TABLE_NAME", "HISTORY_DAYS"}
VARIABLES = HISTORY_VARIABLES | {"DEAD_LETTERS_URL", "EVENT_BUS_NAME"}
READS_A_STREAM = ("DescribeStream", "GetRecords", "GetShardIterator")


@pytest.fixture
def mappings(service: Template) -> dict[str, Properties]:
    """The mappings from a stream to a function, by function."""
    return {
        function_name(properties["FunctionName"]["Ref"]): properties
        for properties in service.properties("AWS::Lambda::EventSourceMapping").values()
    }


@pytest.fixture(scope="module")
def without_feed(
    tmp_path_factory: pytest.TempPathFactory, source: Path
) -> tuple[dict[str, Template], dict[str, Template]]:
    """The stacks of dev without its feed, and of the environment that uses every other option."""
    environments = [dataclasses.replace(each, feed=None) for each in (DEV, EVERY_OPTION)]
    stacks = synthesize(tmp_path_factory.mktemp("cdk.out"), source, environments)
    return stacks[DEV.name], stacks[EVERY_OPTION.name]


@pytest.mark.parametrize(
    ("event", "sort_key", "recorded"),
    [
        ("INSERT", SETTINGS_KEY, True),
        ("MODIFY", SETTINGS_KEY, True),
        ("REMOVE", SETTINGS_KEY, True),
        ("INSERT", f"{CONNECTION_PREFIX}O9oRTfeAoAMCK6g=", True),
        ("REMOVE", f"{CONNECTION_PREFIX}O9oRTfeAoAMCK6g=", True),
        ("INSERT", f"{CONNECTION_PREFIX}VIRTUAL#b1#u1", True),
        pytest.param("MODIFY", f"{CONNECTION_PREFIX}O9oRTfeAoAMCK6g=", False, id="a ping"),
        pytest.param("INSERT", LAST_TRANSITION_KEY, False, id="what the recorder writes"),
        pytest.param("MODIFY", LAST_TRANSITION_KEY, False, id="what the recorder writes again"),
        pytest.param("INSERT", "TICKET", False, id="a ticket"),
        pytest.param("MODIFY", "CENSUS", False, id="a census"),
    ],
)
def test_only_changes_that_can_be_a_transition_reach_the_recorder(
    mappings: dict[str, Properties], event: str, sort_key: str, recorded: bool
) -> None:
    record = {
        "eventName": event,
        "dynamodb": {"Keys": {"pk": {"S": "BUSINESS#b1"}, "sk": {"S": sort_key}}},
    }
    assert _passes(mappings["Recorder"], record) is recorded


@pytest.mark.parametrize(
    ("event", "published"), [("INSERT", True), ("MODIFY", False), ("REMOVE", False)]
)
def test_a_transition_is_published_when_it_is_recorded_and_not_when_it_expires(
    mappings: dict[str, Properties], event: str, published: bool
) -> None:
    assert _passes(mappings["Publisher"], {"eventName": event}) is published


def test_a_batch_that_fails_is_halved_and_retried_and_then_kept_as_a_dead_letter(
    mappings: dict[str, Properties], service: Template
) -> None:
    assert mappings.keys() == set(FUNCTIONS)
    for mapping in mappings.values():
        assert mapping["BisectBatchOnFunctionError"] is True
        assert mapping["MaximumRetryAttempts"] == -1  # as often as its age allows
        queue = flat(mapping["DestinationConfig"]["OnFailure"]["Destination"])
        assert queue == f"<{_dead_letters(service)}.Arn>"
        assert "FunctionResponseTypes" not in mapping


def test_an_outage_of_most_of_a_day_loses_no_transition(mappings: dict[str, Properties]) -> None:
    """A stream keeps its records for 24 hours. A record that is given up needs some time too."""
    publisher = mappings["Publisher"]
    assert 20 * 3_600 <= publisher["MaximumRecordAgeInSeconds"] < 24 * 3_600
    assert publisher["StartingPosition"] == "TRIM_HORIZON"
    assert publisher.get("MaximumBatchingWindowInSeconds", 0) <= 1


def test_the_recorder_waits_for_a_device_that_reconnects_and_leaves_old_changes_to_the_cleanup(
    mappings: dict[str, Properties], environment: Environment
) -> None:
    recorder = mappings["Recorder"]
    window = recorder["MaximumBatchingWindowInSeconds"]
    assert 1 <= window < environment.alarms.feed_age
    assert recorder["StartingPosition"] == "LATEST"
    assert recorder["MaximumRecordAgeInSeconds"] > environment.cleanup.interval


def test_each_function_reads_its_own_stream(mappings: dict[str, Properties]) -> None:
    streams = {name: flat(each["EventSourceArn"]) for name, each in mappings.items()}
    assert re.search(r":ExportsOutputFnGetAttConnectionsTable\w{8}StreamArn", streams["Recorder"])
    assert re.search(r":ExportsOutputFnGetAttHistoryTable\w{8}StreamArn", streams["Publisher"])


def test_a_stream_that_a_mapping_reads_cannot_be_replaced(
    data: Template, mappings: dict[str, Properties]
) -> None:
    """A new mapping would collide with the old one. CloudFormation changes no export that is
    imported, and knows what it imports when it plans an update.
    """
    exports = {each["Export"]["Name"] for each in data.outputs.values() if "Export" in each}
    for mapping in mappings.values():
        assert mapping["EventSourceArn"]["Fn::ImportValue"] in exports


def test_permissions_are_there_before_a_mapping_is_made(service: Template) -> None:
    """Lambda checks them then."""
    for mapping in service.resources("AWS::Lambda::EventSourceMapping").values():
        function = function_name(mapping["Properties"]["FunctionName"]["Ref"])
        role = service.function(function)["Role"]["Fn::GetAtt"][0]
        (policy,) = (
            name
            for name, properties in service.properties("AWS::IAM::Policy").items()
            if {"Ref": role} in properties["Roles"]
        )
        assert {role, policy} <= set(mapping["DependsOn"])


def test_the_functions_of_the_feed_may_do_what_they_must_and_nothing_else(
    service: Template,
) -> None:
    assert allowed(service, "Recorder") - RUNTIME == {
        *_reads("table"),
        ("dynamodb:Query", "table BUSINESS#*"),
        ("dynamodb:UpdateItem", "table BUSINESS#*"),
        ("dynamodb:Query", "history BUSINESS#*"),
        ("dynamodb:PutItem", "history BUSINESS#*"),
        ("sqs:SendMessage", "dead letters"),
    }
    assert allowed(service, "Publisher") - RUNTIME == {
        *_reads("history"),
        ("events:PutEvents", "bus"),
        ("sqs:SendMessage", "dead letters"),
    }


@pytest.mark.parametrize("function", ["Recorder", "Cleanup", "Rest"])
def test_who_records_gets_the_history(
    service: Template, environment: Environment, function: str
) -> None:
    assert environment.feed is not None
    variables = service.function(function)["Environment"]["Variables"]
    assert variables["HISTORY_DAYS"] == str(environment.feed.history_days)
    assert "HistoryTable" in flat(variables["HISTORY_TABLE_NAME"])
    assert {each for each in allowed(service, function) if each[1].startswith("history")} == {
        ("dynamodb:PutItem", "history BUSINESS#*"),
        ("dynamodb:Query", "history BUSINESS#*"),
    }


def test_the_functions_of_the_feed_know_where_to_send_to(service: Template) -> None:
    for function in FUNCTIONS:
        variables = service.function(function)["Environment"]["Variables"]
        assert variables["DEAD_LETTERS_URL"] == {"Ref": _dead_letters(service)}
    assert re.search(r":ExportsOutputRefBus[0-9A-F]{8}", flat(variables["EVENT_BUS_NAME"]))


def test_without_the_feed_nothing_records_or_publishes(
    without_feed: tuple[dict[str, Template], ...],
) -> None:
    for stacks in without_feed:
        service = stacks["Service"]
        assert not service.functions().keys() & set(FUNCTIONS)
        assert not service.resources("AWS::Lambda::EventSourceMapping")
        assert len(service.resources("AWS::SQS::Queue")) == 1  # that of the cleanup
        assert not re.search(r"Output\w+(Stream|History|Bus[0-9A-F])", service.text)
        for function in service.functions().values():
            assert not VARIABLES & function["Environment"]["Variables"].keys()
        for name in ("Cleanup", "Rest"):
            assert "history" not in str(allowed(service, name))


def test_without_the_feed_nothing_watches_it(
    without_feed: tuple[dict[str, Template], ...], templates: Templates
) -> None:
    def watched(monitoring: Template) -> set[str]:
        alarms = monitoring.resources("AWS::CloudWatch::Alarm")
        return {name for name in alarms if re.search("Recorder|Publisher|Feed", name)}

    assert len(watched(templates[DEV.name]["Monitoring"])) == 5
    for stacks in without_feed:
        assert watched(stacks["Monitoring"]) == set()
        assert "Change feed" not in stacks["Monitoring"].text


def test_turning_the_feed_off_keeps_the_history_the_streams_and_the_bus(
    without_feed: tuple[dict[str, Template], ...], templates: Templates
) -> None:
    on, off = templates[DEV.name]["Data"], without_feed[0]["Data"]
    for kind in ("AWS::DynamoDB::Table", "AWS::Events::EventBus"):
        assert off.resources(kind) == on.resources(kind)
    # *Data* is deployed first, and cannot drop an export that *Service* still imports.
    assert off.outputs == on.outputs


def _passes(mapping: Properties, record: dict[str, Any]) -> bool:
    filters = mapping["FilterCriteria"]["Filters"]
    return any(_matches(json.loads(each["Pattern"]), record) for each in filters)


def _matches(pattern: Any, value: Any) -> bool:
    """Whether a value matches a pattern of text and prefixes.

    https://docs.aws.amazon.com/lambda/latest/dg/invocation-eventfiltering.html
    """
    if isinstance(pattern, dict):
        return all(key in value and _matches(each, value[key]) for key, each in pattern.items())
    return any(
        value.startswith(rule["prefix"]) if isinstance(rule, dict) else value == rule
        for rule in pattern
    )


def _reads(source: str) -> Permissions:
    return {
        ("dynamodb:ListStreams", "*"),
        *((f"dynamodb:{operation}", f"stream of {source}") for operation in READS_A_STREAM),
    }


def _dead_letters(service: Template) -> str:
    (queue,) = (name for name in service.resources("AWS::SQS::Queue") if "ChangeFeed" in name)
    return queue
