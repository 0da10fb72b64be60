"""What a function's role allows, as pairs of an action and a short name of the resource."""

import re
from typing import Any

from tests.infra.template import Template, as_list, flat

Permissions = set[tuple[str, str]]

LOGS = {("logs:CreateLogStream", "own logs"), ("logs:PutLogEvents", "own logs")}
"""What the Lambda service itself needs to write a function's logs."""

RUNTIME = LOGS | {("xray:PutTraceSegments", "*"), ("xray:PutTelemetryRecords", "*")}
"""The same for a function that is traced."""


def allowed(service: Template, function: str) -> Permissions:
    """Return what the role of a function allows."""
    statements = service.statements_of_function(function)
    assert all(statement["Effect"] == "Allow" for statement in statements)
    return {
        (action, _condition(statement) + _resource(function, resource))
        for statement in statements
        for action in as_list(statement["Action"])
        for resource in as_list(statement["Resource"])
    }


def _condition(statement: Any) -> str:
    """Name the condition of a statement. An unknown one is returned as it is, so a test fails."""
    match statement.get("Condition"):
        case None:
            return ""
        case {"ForAllValues:StringLike": {"dynamodb:LeadingKeys": ["TICKET#*"], **more}} if (
            not more
        ):
            return "tickets of "
        case {"ForAllValues:StringEquals": {"dynamodb:LeadingKeys": ["CENSUS"], **more}} if (
            not more
        ):
            return "census of "
        case other:
            return f"{other} "


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
