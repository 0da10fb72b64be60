"""The request bodies of the REST API. Unknown fields are refused."""

import re
from datetime import datetime
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictStr

from lambdas.domain.errors import InvalidValue
from lambdas.domain.model import Instant

_RFC_3339: Final = re.compile(
    r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", re.ASCII | re.IGNORECASE
)


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

    def until_instant(self) -> Instant:
        """`until` in seconds since the epoch. Raises `InvalidValue` if it is no valid moment."""
        wrong = InvalidValue(
            "until", "must be a moment in RFC 3339, for example 2026-01-31T12:00:00Z"
        )
        if not _RFC_3339.fullmatch(self.until):
            raise wrong
        try:
            return int(datetime.fromisoformat(self.until.upper()).timestamp())
        except (ValueError, OverflowError):
            raise wrong from None


class SettingsRequest(_Request):
    """Settings that operators change."""

    expectsSocket: StrictBool  # noqa: N815


class CleanupRequest(_Request):
    """Options of a cleanup of one business."""

    dryRun: StrictBool = False  # noqa: N815
