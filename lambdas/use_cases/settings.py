"""Changes the settings of a business and leaves its connections alone: pauses, opening hours, and
whether a socket is expected.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from lambdas.domain.errors import Forbidden, InvalidValue, NotDeclared
from lambdas.domain.identifiers import BusinessId, UserId
from lambdas.domain.instants import timestamp
from lambdas.domain.model import ActingAs, Business, Clock, Instant, Settings, VirtualConnection
from lambdas.domain.opening_hours import OpeningHours
from lambdas.domain.rules import Rules
from lambdas.domain.status import BusinessStatus, judge
from lambdas.use_cases.ports import Store
from lambdas.use_cases.recorder import BeforeChange, record_nothing
from lambdas.use_cases.retrying import Backoff, until_no_conflict

MAX_PAUSE: Final = 7 * 24 * 60 * 60
"""Seconds that a pause may last. A business that is away for longer is not available."""


def write_settings(
    store: Store,
    before: Business,
    after: Settings,
    *,
    put: Sequence[VirtualConnection] = (),
    remove: Sequence[VirtualConnection] = (),
) -> None:
    """Write the settings of a business, and end its episode if they end the need for attention.

    Every change of the settings is written by this function. See `Store.write_settings`.
    """
    clear_episode = after.ends_episode(before.settings)
    store.write_settings(before, after, put=put, remove=remove, clear_episode=clear_episode)


@dataclass(frozen=True, slots=True)
class SettingsWriter:
    """Changes settings. Racing changes are written one after the other; none is lost."""

    store: Store
    rules: Rules
    clock: Clock
    backoff: Backoff
    before_change: BeforeChange = record_nothing

    def pause_business(
        self,
        business_id: BusinessId,
        user_id: UserId,
        until: Instant,
        reason: str | None,
        *,
        acting_as: ActingAs = ActingAs.MEMBER,
    ) -> BusinessStatus:
        """Stop accepting orders until a moment ("busy, 20 minutes").

        Nothing is removed and nobody is disconnected. The pause ends by itself. Raises
        `InvalidValue` for a moment that is in the past or too far ahead and for an operator who
        gives no reason, `Forbidden` for anybody else while an operator's pause holds, and
        `NotDeclared` for a business that was never declared available or unavailable.
        """
        now = self.clock()
        if until <= now:
            raise InvalidValue("until", "must be in the future")
        if until > now + MAX_PAUSE:
            raise InvalidValue("until", f"must be at most {MAX_PAUSE // 86400} days ahead")
        if acting_as is ActingAs.OPERATOR and not (reason or "").strip():
            raise InvalidValue("reason", "is required of an operator")

        def paused(settings: Settings, at: Instant) -> Settings:
            _require_right_to_change_pause(settings, at, acting_as)
            return settings.paused(until, reason, at=at, by=user_id, acting_as=acting_as)

        return self._change(business_id, paused)

    def resume_business(
        self, business_id: BusinessId, user_id: UserId, *, acting_as: ActingAs = ActingAs.MEMBER
    ) -> BusinessStatus:
        """End a pause now, if there is one.

        Raises `Forbidden` for anybody but an operator while an operator's pause holds, and
        `NotDeclared`.
        """

        def resumed(settings: Settings, at: Instant) -> Settings:
            _require_right_to_change_pause(settings, at, acting_as)
            return settings.resumed(at=at, by=user_id, acting_as=acting_as)

        return self._change(business_id, resumed)

    def set_opening_hours(
        self,
        business_id: BusinessId,
        user_id: UserId,
        hours: OpeningHours | None,
        *,
        acting_as: ActingAs = ActingAs.MEMBER,
    ) -> BusinessStatus:
        """Set the opening hours or, with None, remove them. Raises `NotDeclared`."""
        return self._change(
            business_id,
            lambda settings, at: settings.opening(hours, at=at, by=user_id, acting_as=acting_as),
        )

    def expect_socket(
        self,
        business_id: BusinessId,
        user_id: UserId,
        expects_socket: bool,
        *,
        acting_as: ActingAs = ActingAs.MEMBER,
    ) -> BusinessStatus:
        """Set whether a socket is expected. A business that works without a device never needs
        attention. Raises `NotDeclared`.
        """
        return self._change(
            business_id,
            lambda settings, at: settings.expecting_socket(
                expects_socket, at=at, by=user_id, acting_as=acting_as
            ),
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
            self.before_change(before)
            write_settings(self.store, before, settings)
            return judge(replace(before, settings=settings), now, self.rules)

        return until_no_conflict(attempt, self.backoff)


def _require_right_to_change_pause(settings: Settings, now: Instant, acting_as: ActingAs) -> None:
    pause = settings.pause
    if acting_as is ActingAs.OPERATOR or pause is None:
        return
    if settings.is_held_by_operator(now):
        raise Forbidden(
            f"an operator ({pause.by or 'unknown'}) paused this business until"
            f" {timestamp(pause.until)}: {pause.reason or 'no reason given'}."
            " Only an operator can change or end this pause"
        )
