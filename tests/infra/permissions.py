"""What a function's role allows: as names to compare, and as IAM would judge a request."""

import re
from typing import Any, NamedTuple

from tests.infra.template import Template, as_list, flat

Permissions = set[tuple[str, str]]
"""Pairs of an action and a short name of the resource. If only some partition keys are allowed, the
pattern of the keys follows: `table TICKET#*`.
"""

_LEADING_KEYS = "dynamodb:LeadingKeys"


class Request(NamedTuple):
    """What IAM is asked for one item, Query or Scan. A Scan has no partition key."""

    action: str
    resource: str
    key: str | None


LOGS = {("logs:CreateLogStream", "own logs"), ("logs:PutLogEvents", "own logs")}
"""What the Lambda service itself needs to write a function's logs."""

RUNTIME = LOGS | {("xray:PutTraceSegments", "*"), ("xray:PutTelemetryRecords", "*")}
"""The same for a function that is traced."""


def allowed(service: Template, function: str) -> Permissions:
    """What the role of a function allows."""
    statements = service.statements_of_function(function)
    assert all(statement["Effect"] == "Allow" for statement in statements)
    return {
        (action, _resource(function, resource) + keys)
        for statement in statements
        for action in as_list(statement["Action"])
        for resource in as_list(statement["Resource"])
        for keys in _keys(statement)
    }


def refused(service: Template, function: str, requests: set[Request]) -> set[Request]:
    """The requests that the role of a function does not allow, judged by IAM's rules.

    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-single-vs-multi-valued-context-keys.html
    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html
    """
    statements = [
        (
            as_list(statement["Action"]),
            {_resource(function, resource) for resource in as_list(statement["Resource"])},
            statement.get("Condition", {}),
        )
        for statement in service.statements_of_function(function)
    ]
    return {
        request
        for request in requests
        if not any(
            request.action in actions
            and request.resource in resources
            and _holds(conditions, request.key)
            for actions, resources, conditions in statements
        )
    }


def _holds(conditions: dict[str, dict[str, Any]], key: str | None) -> bool:
    """Judge all conditions of a statement. Fails for an operator that is not known."""
    context = {} if key is None else {_LEADING_KEYS: [key]}

    def holds(operator: str, name: str, wanted: Any) -> bool:
        values = context.get(name, [])
        match operator:
            case "ForAllValues:StringLike":
                return all(any(_is_like(value, each) for each in wanted) for value in values)
            case "Null":
                return bool(wanted == "true") is not bool(values)
        raise AssertionError(f"no evaluation of {operator}")

    return all(
        holds(operator, name, wanted)
        for operator, tests in conditions.items()
        for name, wanted in tests.items()
    )


def _is_like(value: str, pattern: str) -> bool:
    wildcards = {"*": ".*", "?": "."}
    regex = "".join(wildcards.get(each, re.escape(each)) for each in pattern)
    return re.fullmatch(regex, value, re.DOTALL) is not None


def _keys(statement: Any) -> list[str]:
    """Name the keys that a statement allows. Another condition is returned as it is, so a test
    fails.
    """
    condition = statement.get("Condition")
    if condition is None:
        return [""]
    patterns = condition.get("ForAllValues:StringLike", {}).get(_LEADING_KEYS, [])
    only_these = {
        "ForAllValues:StringLike": {_LEADING_KEYS: patterns},
        "Null": {_LEADING_KEYS: "false"},
    }
    return [f" {each}" for each in patterns] if condition == only_these else [f" {condition}"]


def _resource(function: str, value: Any) -> str:
    """Name a resource. An unknown one is returned as it is, so a test fails."""
    text = flat(value)
    table = text.startswith("<import ") and ":ExportsOutputFnGetAttConnectionsTable" in text
    if re.fullmatch(r"<CanaryCredential[0-9A-F]*>", text):
        return "credential"
    if ":userpool/<import " in text and ":ExportsOutputRefIdentityPool" in text:
        return "user pool"
    if re.fullmatch(r"<ChangeFeedDeadLetters[0-9A-F]{8}\.Arn>", text):
        return "dead letters"
    data = {
        "ConnectionsTable916FDB22Arn": "table",
        "ConnectionsTable916FDB22StreamArn": "stream of table",
        "HistoryTable4479EEA3Arn": "history",
        "HistoryTable4479EEA3StreamArn": "stream of history",
        "BusEA82B648Arn": "bus",
    }
    if export := re.fullmatch(r"<import [\w-]+:ExportsOutputFnGetAtt(\w+)[0-9A-F]{8}>", text):
        return data.get(export[1], text)
    if table and "/index/" in text:
        return text.rpartition("/")[2]
    if text.startswith(f"<Functions{function}Logs") and text.endswith(".Arn>"):
        return "own logs"
    sockets, _, method = text.removesuffix("/@connections/*").partition("/v1/")
    if ":execute-api:" in sockets and sockets.endswith(">") and "<WebSocketApi" in sockets:
        return method
    return text
