"""What a function's role allows, in words: pairs of an action and what it is allowed on."""

from typing import Any

from tests.infra.template import Template, as_list, flat

Permissions = set[tuple[str, str]]

OWN_LOGS = {("logs:CreateLogStream", "own logs"), ("logs:PutLogEvents", "own logs")}
TRACING = {("xray:PutTraceSegments", "*"), ("xray:PutTelemetryRecords", "*")}


def allowed(service: Template, function: str) -> Permissions:
    """Return what the role of a function allows."""
    return {
        (action, _condition(statement) + _resource(function, resource))
        for statement in service.statements_of_function(function)
        for action in as_list(statement["Action"])
        for resource in as_list(statement["Resource"])
    }


def _condition(statement: Any) -> str:
    """Say what a statement is limited to; what is not known stays as it is, and so differs."""
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
    """Name a resource shortly; what is not known stays as it is, and so differs."""
    text = flat(value)
    table = text.startswith("<import ") and ":ExportsOutputFnGetAttConnectionsTable" in text
    if table and "/index/" in text:
        return text.rpartition("/")[2]
    if table and text.endswith(">"):
        return "table"
    if text.startswith(f"<Functions{function}Logs") and text.endswith(".Arn>"):
        return "own logs"
    sockets, _, method = text.removesuffix("/@connections/*").partition("/v1/")
    if ":execute-api:" in sockets and sockets.endswith(">") and "<WebSocketApi" in sockets:
        return method
    return text
