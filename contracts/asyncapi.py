"""The AsyncAPI document of the WebSocket API."""

from collections.abc import Mapping
from typing import Any, Final

from pydantic import TypeAdapter

from contracts import examples
from contracts.schemas import BUSINESS_ID, Json, paragraph, tidy, version
from lambdas import protocol
from lambdas.handlers import websocket

_FROM_CLIENTS: Final = {
    "ping": "Keeps the connection active. Send one as soon as the socket opens, and then as often"
    " as the pongs say (`pingEvery`).",
    "status": "Asks for the status of the business.",
}
_TO_CLIENTS: Final[Mapping[str, Any]] = {
    "pong": protocol.PongMessage,
    "statusAnswer": protocol.StatusMessage,
    "error": protocol.ErrorMessage,
    "message": protocol.PushMessage,
    "availabilityChanged": protocol.AvailabilityChangedMessage,
}
_REPLIES: Final = {"ping": "pong", "status": "statusAnswer"}

_DESCRIPTION: Final = (
    "A socket that a device of a business holds open. docs/protocol.md says how to keep it "
    "connected: when to ping, when to open the next socket, how to reconnect. Messages are JSON. "
    "The service may add fields and types of messages: ignore those that you do not know."
)


def document() -> Json:
    """The whole document."""
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Business Connections",
            "version": version(),
            "description": _DESCRIPTION,
        },
        "defaultContentType": "application/json",
        "servers": {"deployment": _SERVER},
        "channels": {"socket": _channel()},
        "operations": _operations(),
        "components": {
            "messages": {name: _message(name) for name in (*_FROM_CLIENTS, *_TO_CLIENTS)},
            "schemas": _schemas(),
            "securitySchemes": _SECURITY_SCHEMES,
        },
    }


_SERVER: Final[Json] = {
    "host": "{apiId}.execute-api.{region}.amazonaws.com",
    "pathname": "/v1",
    "protocol": "wss",
    "description": "One deployment. The output WebSocketUrl of its stack is the whole address.",
    "variables": {"apiId": {"default": "a1b2c3d4e5"}, "region": {"default": "eu-west-1"}},
    "security": [
        {"$ref": "#/components/securitySchemes/accessToken"},
        {"$ref": "#/components/securitySchemes/ticket"},
    ],
}

_SECURITY_SCHEMES: Final[Json] = {
    "accessToken": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "For devices and back ends, with the query parameter businessId.",
    },
    "ticket": {
        "type": "httpApiKey",
        "in": "query",
        "name": "ticket",
        "description": (
            "For browsers: POST /businesses/{businessId}/tickets issues a ticket for one socket "
            "within 60 seconds. It names the business. Send no header Authorization with it."
        ),
    },
}


def _channel() -> Json:
    names = (*_FROM_CLIENTS, *_TO_CLIENTS)
    return {
        "address": "/",
        "title": "Socket",
        "description": (
            "Needs exactly one query parameter, once: businessId with the header Authorization, "
            "or ticket without it."
        ),
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in names},
        "bindings": {
            "ws": {
                "method": "GET",
                "query": {
                    "type": "object",
                    "properties": {
                        "businessId": BUSINESS_ID,
                        "ticket": {"type": "string", "minLength": 1},
                    },
                    "additionalProperties": False,
                    "minProperties": 1,
                    "maxProperties": 1,
                },
                "headers": {
                    "type": "object",
                    "properties": {
                        "Authorization": {"type": "string", "pattern": "^[Bb]earer [^ ]+$"}
                    },
                },
                "bindingVersion": "0.1.0",
            }
        },
    }


def _operations() -> Json:
    asked = {
        name: {
            "action": "receive",
            "channel": {"$ref": "#/channels/socket"},
            "summary": summary,
            "messages": [{"$ref": f"#/channels/socket/messages/{name}"}],
            "reply": {
                "channel": {"$ref": "#/channels/socket"},
                "messages": [
                    {"$ref": f"#/channels/socket/messages/{answer}"}
                    for answer in (_REPLIES[name], "error")
                ],
            },
        }
        for name, summary in _FROM_CLIENTS.items()
    }
    pushed = {
        name: {
            "action": "send",
            "channel": {"$ref": "#/channels/socket"},
            "summary": paragraph(_TO_CLIENTS[name]),
            "messages": [{"$ref": f"#/channels/socket/messages/{name}"}],
        }
        for name in _TO_CLIENTS
        if name not in _REPLIES.values()
    }
    return {**asked, **pushed}


def _message(name: str) -> Json:
    example = examples.messages()[name]
    from_client = name in _FROM_CLIENTS
    return {
        "name": example["action" if from_client else "type"],
        "summary": _FROM_CLIENTS[name] if from_client else paragraph(_TO_CLIENTS[name]),
        "payload": {"$ref": f"#/components/schemas/{_schema_name(name)}"},
        "examples": [{"payload": example}],
    }


def _schemas() -> Json:
    _, of_code = TypeAdapter.json_schemas(
        [(name, "serialization", TypeAdapter(kind)) for name, kind in _TO_CLIENTS.items()],
        ref_template="#/components/schemas/{model}",
    )
    schemas: Json = tidy(of_code["$defs"])
    for action in websocket.ACTIONS:
        schemas[_schema_name(action)] = client_message(action)
    return schemas


def client_message(action: str) -> Json:
    """The schema of what a client may send for an action."""
    return {
        "type": "object",
        "description": _FROM_CLIENTS[action],
        "required": ["action"],
        "properties": {
            "action": {"const": action},
            "id": {
                "type": ["string", "null"],
                "maxLength": websocket.MESSAGE_ID_MAX,
                "description": "Chosen by the client. The answer has the same id.",
            },
        },
        "additionalProperties": False,
    }


def _schema_name(message: str) -> str:
    if message in _FROM_CLIENTS:
        return f"{message.capitalize()}Request"
    name: str = _TO_CLIENTS[message].__name__
    return name
