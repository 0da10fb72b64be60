"""What API Gateway itself checks of a request: it refuses, before the function is paid for.

The function checks everything again, and more; nothing is refused here that it would take. So
there is no model for a body that may be missing (`cleanup`) or be any JSON value (`messages`), and
none says a `format`, since API Gateway does not document what it takes for a `date-time`.
"""

from dataclasses import dataclass
from typing import Final

from aws_cdk import aws_apigateway as apigateway

_Schema = apigateway.JsonSchema
_Type = apigateway.JsonSchemaType


@dataclass(frozen=True)
class RequestModel:
    """The JSON schema (draft 4) of a body, named after its class in `lambdas.handlers.requests`."""

    name: str
    schema: apigateway.JsonSchema


def _object(required: list[str], properties: dict[str, apigateway.JsonSchema]) -> _Schema:
    return _Schema(
        type=_Type.OBJECT, required=required, properties=properties, additional_properties=False
    )


AVAILABILITY: Final = RequestModel(
    "AvailabilityRequest", _object(["available"], {"available": _Schema(type=_Type.BOOLEAN)})
)
ONLINE: Final = RequestModel(
    "OnlineRequest",
    _object(
        ["businessIds"],
        {
            "businessIds": _Schema(
                type=_Type.ARRAY, items=_Schema(type=_Type.STRING), min_items=1, max_items=100
            )
        },
    ),
)
PAUSE: Final = RequestModel(
    "PauseRequest",
    _object(
        ["until"],
        {
            "until": _Schema(type=_Type.STRING),
            "reason": _Schema(
                any_of=[
                    _Schema(type=_Type.STRING, min_length=1, max_length=200),
                    _Schema(type=_Type.NULL),
                ]
            ),
        },
    ),
)
SETTINGS: Final = RequestModel(
    "SettingsRequest",
    _object(["expectsSocket"], {"expectsSocket": _Schema(type=_Type.BOOLEAN)}),
)

REQUEST_MODELS: Final = {
    ("PUT", "/businesses/{businessId}/availability"): AVAILABILITY,
    ("POST", "/businesses/online"): ONLINE,
    ("PUT", "/businesses/{businessId}/pause"): PAUSE,
    ("PUT", "/businesses/{businessId}/settings"): SETTINGS,
}
"""Of each method that needs a body of a certain form: its model."""

REQUIRED_QUERY: Final = {("GET", "/businesses"): ("attention",)}
"""Of each method that needs query parameters: their names. API Gateway checks no more of them."""
