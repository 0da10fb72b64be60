"""The request bodies of the REST API. Unknown fields are refused."""

from typing import Annotated, Any, Final

from aws_lambda_powertools.event_handler.openapi.params import Body
from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictStr, WithJsonSchema
from pydantic.config import JsonDict

from lambdas.domain.opening_hours import MAX_EXCEPTIONS, MAX_INTERVALS, WEEKDAYS


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid")


class AvailabilityRequest(_Request):
    """Whether a business is available."""

    available: StrictBool


class OnlineRequest(_Request):
    """The businesses whose online status is asked for."""

    businessIds: Annotated[list[StrictStr], Field(min_length=1, max_length=100)]  # noqa: N815


class PauseRequest(_Request):
    """Until when a business does not accept orders, and why."""

    until: Annotated[StrictStr, Field(json_schema_extra={"format": "date-time"})]
    reason: Annotated[StrictStr, Field(min_length=1, max_length=200)] | None = None


class SettingsRequest(_Request):
    """Settings that operators change."""

    expectsSocket: StrictBool  # noqa: N815


class CleanupRequest(_Request):
    """Options of a cleanup of one business."""

    dryRun: StrictBool = False  # noqa: N815


REQUESTS: Final = (
    AvailabilityRequest,
    OnlineRequest,
    PauseRequest,
    SettingsRequest,
    CleanupRequest,
)

_INTERVALS: Final[JsonDict] = {
    "type": "array",
    "maxItems": MAX_INTERVALS,
    "items": {
        "type": "array",
        "minItems": 2,
        "maxItems": 2,
        "items": {"type": "string", "pattern": "^([01][0-9]|2[0-3]):[0-5][0-9]$|^24:00$"},
    },
}

_OPENING_HOURS: Final[JsonDict] = {
    "type": "object",
    "required": ["timeZone"],
    "additionalProperties": False,
    "properties": {
        "timeZone": {"type": "string", "description": "An IANA name, such as Europe/Berlin."},
        "weekly": {
            "type": "object",
            "description": "The intervals that begin on each weekday. A missing one is closed.",
            "additionalProperties": False,
            "properties": dict.fromkeys(WEEKDAYS, _INTERVALS),
        },
        "exceptions": {
            "type": "object",
            "description": "By date: what begins on it instead of the weekly intervals.",
            "maxProperties": MAX_EXCEPTIONS,
            "additionalProperties": _INTERVALS,
        },
    },
}

OpeningHoursBody = Annotated[
    Any, Body(description="The opening hours."), WithJsonSchema(_OPENING_HOURS)
]
"""The domain reads it, and its errors name the field and the value."""
