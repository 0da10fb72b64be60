"""The AsyncAPI document of the events on the EventBridge bus."""

from typing import Final

from pydantic import TypeAdapter

from contracts import examples
from contracts.schemas import Json, paragraph, tidy, version
from lambdas import protocol

_DESCRIPTION: Final = (
    "Says when the status of a business, or its need for attention, changed. docs/events.md says "
    "how to get the events, and how to handle those that come twice or out of order. The service "
    "may add fields, causes and reasons: ignore those that you do not know."
)

_SUMMARY: Final = "The status of a business, or its need for attention, changed."


def document() -> Json:
    """The whole document."""
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Business Connections: events",
            "version": version(),
            "description": _DESCRIPTION,
        },
        "defaultContentType": "application/json",
        "servers": {"eventBridge": _SERVER},
        "channels": {"bus": _BUS},
        "operations": {
            "statusChanged": {
                "action": "send",
                "channel": {"$ref": "#/channels/bus"},
                "summary": _SUMMARY,
                "messages": [{"$ref": "#/channels/bus/messages/statusChanged"}],
            }
        },
        "components": {
            "messages": {"statusChanged": _message()},
            "schemas": {"Event": _EVENT, **_schemas()},
        },
    }


_SERVER: Final[Json] = {
    "host": "events.{region}.amazonaws.com",
    "protocol": "eventbridge",
    "description": "Consumers do not connect to it: they attach rules to the bus.",
    "variables": {"region": {"default": "eu-west-1"}},
}

_BUS: Final[Json] = {
    "address": "business-connections-{environment}",
    "title": "Event bus",
    "description": "The output EventBusName of a deployment's Data stack is the whole name.",
    "parameters": {"environment": {"examples": ["prod"]}},
    "messages": {"statusChanged": {"$ref": "#/components/messages/statusChanged"}},
}

_EVENT: Final[Json] = {
    "type": "object",
    "description": (
        "An event as EventBridge passes it on to a target, unless the rule transforms it. "
        "EventBridge adds everything but `source`, `detail-type` and `detail`."
    ),
    "required": ["source", "detail-type", "detail"],
    "properties": {
        "version": {"const": "0", "description": "The version of EventBridge's envelope."},
        "id": {
            "type": "string",
            "description": (
                "Another one each time that a transition is published: do not go by it to find "
                "duplicates."
            ),
        },
        "source": {"const": protocol.EVENT_SOURCE},
        "detail-type": {"const": protocol.EVENT_TYPE},
        "account": {"type": "string"},
        "time": {
            "type": "string",
            "format": "date-time",
            "description": "When it was published. `at` in the detail says when it happened.",
        },
        "region": {"type": "string"},
        "resources": {"type": "array", "items": {"type": "string"}},
        "detail": {"$ref": "#/components/schemas/EventDetail"},
    },
}


def _message() -> Json:
    return {
        "name": protocol.EVENT_TYPE,
        "summary": _SUMMARY,
        "payload": {"$ref": "#/components/schemas/Event"},
        "examples": [{"payload": examples.event()}],
    }


def _schemas() -> Json:
    _, of_code = TypeAdapter.json_schemas(
        [("event", "serialization", TypeAdapter(protocol.EventDetail))],
        ref_template="#/components/schemas/{model}",
    )
    schemas: Json = tidy(of_code["$defs"])
    detail = schemas["EventDetail"]
    detail["description"] = paragraph(protocol.TransitionDocument)
    detail["properties"]["version"] = {
        "const": protocol.EVENT_VERSION,
        "description": (
            "Grows when a field goes away, or changes its type or meaning. New fields, causes and "
            "reasons do not change it."
        ),
    }
    return schemas
