"""Changes the settings of a business and leaves its connections alone: pauses, and whether a socket
is expected.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from lambdas.domain.errors import InvalidValue, NotDeclared
from lambdas.domain.identifiers import BusinessId, UserId
from lambdas.domain.model import Clock, Instant, Settings
from lambdas.domain.ports import Store
from lambdas.domain.retrying import Backoff, until_no_conflict
from lambdas.domain.rules import Rules
from lambdas.domain.status import BusinessStatus, judge

MAX_PAUSE: Final = 7 * 24 * 60 * 60
"""Seconds that a pause may last. A business that is away for longer is not available."""


@dataclass(frozen=True, slots=True)
class SettingsWriter:
    """Changes settings. Racing changes are written one after the other; none is lost."""

    store: Store
    rules: Rules
    clock: Clock
    backoff: Backoff

    def pause_business(
        self, business_id: BusinessId, user_id: UserId, until: Instant, reason: str | None
    ) -> BusinessStatus:
        """Stop accepting orders until a moment ("busy, 20 minutes").

        Nothing is removed and nobody is disconnected. The pause ends by itself. Raises
        `InvalidValue` for a moment that is in the past or too far ahead, and `NotDeclared` for a
        business that was never declared available or unavailable.
        """
        now = self.clock()
        if until <= now:
            raise InvalidValue("until", "must be in the future")
        if until > now + MAX_PAUSE:
            raise InvalidValue("until", f"must be at most {MAX_PAUSE // 86400} days ahead")
        return self._change(
            business_id,
            lambda settings, at: settings.paused(until, reason, at=at, by=user_id),
        )

    def resume_business(self, business_id: BusinessId, user_id: UserId) -> BusinessStatus:
        """End a pause now, if there is one. Raises `NotDeclared`."""
        return self._change(business_id, lambda settings, at: settings.resumed(at=at, by=user_id))

    def expect_socket(
        self, business_id: BusinessId, user_id: UserId, expects_socket: bool
    ) -> BusinessStatus:
        """Set whether a socket is expected. A business that works without a device never needs
        attention. Raises `NotDeclared`.
        """
        return self._change(
            business_id,
            lambda settings, at: settings.expecting_socket(expects_socket, at=at, by=user_id),
        )

    def _change(
        self, business_id: BusinessId, change: Callable[[Settings, Instant], Settings]
    ) -> BusinessStatus:
        def attempt() -> BusinessStatus:
            before = self.store.load(business_id)
            if before.settings is None:
                raise NotDeclared("nobody ever declared this business available or unavailable")
            now = self.clock()
            settings = change(before.settings, now)
            self.store.write_settings(before, settings)
            return judge(replace(before, settings=settings), now, self.rules)

        return until_no_conflict(attempt, self.backoff)
