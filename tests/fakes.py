"""The ports of the use cases, in memory.

`MemoryStore` passes the same contract suite as the DynamoDB table (`tests/integration`), so the two
behave alike.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import NoReturn

from lambdas.domain.errors import Conflict
from lambdas.domain.identifiers import BusinessId, ConnectionId, UserId
from lambdas.domain.model import (
    AnnouncedRemoval,
    Attention,
    Business,
    Census,
    Episode,
    Instant,
    LastTransition,
    RealConnection,
    Settings,
    Ticket,
    VirtualConnection,
)
from lambdas.domain.rules import CLAIM_HOLDS
from lambdas.domain.socket_messages import SocketMessage
from lambdas.domain.transitions import Position, Transition
from lambdas.use_cases.ports import AttentionEntry, SocketAnswer


@dataclass
class MemoryStore:
    """`lambdas.use_cases.ports.Store` in dictionaries."""

    settings: dict[BusinessId, Settings] = field(default_factory=dict)
    real: dict[tuple[BusinessId, ConnectionId], RealConnection] = field(default_factory=dict)
    virtual: dict[tuple[BusinessId, UserId], VirtualConnection] = field(default_factory=dict)
    tickets: dict[str, Ticket] = field(default_factory=dict)
    censuses: dict[tuple[int, int], Census] = field(default_factory=dict)
    last_transitions: dict[BusinessId, LastTransition] = field(default_factory=dict)
    lock: threading.RLock = field(default_factory=threading.RLock)

    def seed(self, *businesses: Business) -> None:
        """Store whole businesses."""
        for business in businesses:
            if business.settings is not None:
                self.settings[business.business_id] = business.settings
            for real in business.real:
                self.real[real.business_id, real.connection_id] = real
            for virtual in business.virtual:
                self.virtual[virtual.business_id, virtual.user_id] = virtual

    def load(self, business_id: BusinessId, *, consistent: bool = True) -> Business:
        with self.lock:
            return Business(
                business_id,
                self.settings.get(business_id),
                tuple(c for (b, _), c in sorted(self.real.items()) if b == business_id),
                tuple(c for (b, _), c in sorted(self.virtual.items()) if b == business_id),
                last_transition=self.last_transitions.get(business_id),
            )

    def find_business(self, connection_id: ConnectionId) -> BusinessId | None:
        return next((b for b, c in self.real if c == connection_id), None)

    def add_real(self, connection: RealConnection) -> None:
        self.real[connection.business_id, connection.connection_id] = connection

    def remove_real(
        self, business_id: BusinessId, connection_id: ConnectionId
    ) -> RealConnection | None:
        return self.real.pop((business_id, connection_id), None)

    def refresh_real(
        self,
        business_id: BusinessId,
        connection_id: ConnectionId,
        now: Instant,
        *,
        ping_interval: int | None = None,
    ) -> RealConnection | None:
        with self.lock:
            found = self.real.get((business_id, connection_id))
            if found is None or (
                found.closing_at is not None and found.closing_at > now - CLAIM_HOLDS
            ):
                return None
            same_minute = found.last_seen_at // 60 == now // 60
            messages = found.messages + 1 if same_minute else 1
            refreshed = replace(
                found,
                last_seen_at=now,
                closing_at=None,
                messages=messages,
                ping_interval=ping_interval or found.ping_interval,
            )
            self.real[business_id, connection_id] = refreshed
            return refreshed

    def claim_real(self, connection: RealConnection, now: Instant) -> bool:
        with self.lock:
            key = (connection.business_id, connection.connection_id)
            found = self.real.get(key)
            if found is None or found.last_seen_at != connection.last_seen_at:
                return False
            self.real[key] = replace(found, closing_at=now)
            return True

    def write_settings(
        self,
        before: Business,
        settings: Settings,
        *,
        put: Sequence[VirtualConnection] = (),
        remove: Sequence[VirtualConnection] = (),
        clear_episode: bool = False,
    ) -> None:
        with self.lock:
            stored = self.settings.get(before.business_id)
            if (stored and stored.version) != (before.settings and before.settings.version):
                raise Conflict("the version differs")
            kept = None if stored is None or clear_episode else stored.episode
            self.settings[before.business_id] = replace(settings, episode=kept)
            for connection in put:
                self.virtual[connection.business_id, connection.user_id] = connection
            for connection in remove:
                self.virtual.pop((connection.business_id, connection.user_id), None)

    def announce_removal(self, business_id: BusinessId, removal: AnnouncedRemoval) -> None:
        with self.lock:
            last = self.last_transitions.get(business_id)
            if last is not None:
                self.last_transitions[business_id] = replace(last, removal=removal)

    def note_unchanged(self, business_id: BusinessId, sequence: int, now: Instant) -> None:
        with self.lock:
            last = self.last_transitions.get(business_id)
            if last is not None and last.sequence == sequence:
                self.last_transitions[business_id] = replace(last, unchanged_at=now)

    def remove_expired_virtual(self, connection: VirtualConnection, now: Instant) -> bool:
        with self.lock:
            key = (connection.business_id, connection.user_id)
            found = self.virtual.get(key)
            if found is None or found.expires_at > now:
                return False
            del self.virtual[key]
            return True

    def mark_episode(self, before: Business, episode: Episode | None) -> bool:
        with self.lock:
            stored = self.settings.get(before.business_id)
            read = before.settings
            if (
                stored is None
                or read is None
                or (stored.version, _identity(stored.episode))
                != (read.version, _identity(read.episode))
            ):
                return False
            self.settings[before.business_id] = replace(stored, episode=episode)
            return True

    def list_attention(
        self, attention: Attention, *, limit: int, after: AttentionEntry | None = None
    ) -> Sequence[AttentionEntry]:
        marked = sorted(
            (settings.episode.since or 0, business_id)
            for business_id, settings in self.settings.items()
            if settings.episode is not None and settings.episode.attention is attention
        )
        start = (after.since, after.business_id) if after else (0, "")
        return [AttentionEntry(b, since) for since, b in marked if (since, b) > start][:limit]

    def last_censuses(self) -> Sequence[Census]:
        return list(self.censuses.values())

    def record_census(self, census: Census) -> None:
        self.censuses[census.worker, census.workers] = census

    def add_ticket(self, digest: str, ticket: Ticket) -> None:
        self.tickets[digest] = ticket

    def take_ticket(self, digest: str, now: Instant) -> Ticket | None:
        with self.lock:
            ticket = self.tickets.get(digest)
            if ticket is None or ticket.expires_at <= now:
                return None
            return self.tickets.pop(digest)

    def walk(self, part: int, parts: int) -> Iterator[Business]:
        ids = {*self.settings, *(b for b, _ in self.real), *(b for b, _ in self.virtual)}
        for business_id in sorted(ids):
            if sum(business_id.encode()) % parts == part:
                yield self.load(business_id)


def _identity(episode: Episode | None) -> tuple[Attention, Instant | None] | None:
    """What tells an episode from another one."""
    return None if episode is None else (episode.attention, episode.since)


@dataclass
class MemoryHistory:
    """`lambdas.use_cases.ports.History` in a list."""

    store: MemoryStore
    transitions: list[Transition] = field(default_factory=list)

    def commit(self, transition: Transition, *, settings_version: int | None) -> None:
        with self.store.lock:
            last = self.store.last_transitions.get(transition.business_id)
            if last is not None and last.sequence >= transition.sequence:
                raise Conflict("this transition was recorded already")
            self.transitions.append(transition)
            self.store.last_transitions[transition.business_id] = LastTransition(
                sequence=transition.sequence,
                at=transition.at,
                after=transition.after,
                attention=transition.attention,
                cause=transition.cause,
                by=transition.by,
                seconds=transition.seconds,
                settings_version=settings_version,
                removal=last.removal if last else None,
            )

    def last_until(
        self, business_id: BusinessId, moment: Instant | None = None
    ) -> Transition | None:
        return next(reversed(self._of(business_id, 0, moment)), None)

    def first_after(self, business_id: BusinessId, moment: Instant) -> Transition | None:
        return next(iter(self._of(business_id, moment + 1, None)), None)

    def list_between(
        self,
        business_id: BusinessId,
        start: Instant,
        end: Instant,
        *,
        limit: int,
        before: Position | None = None,
    ) -> Sequence[Transition]:
        found = self._of(business_id, start, end)[::-1]
        return [t for t in found if before is None or t.position < before][:limit]

    def _of(
        self, business_id: BusinessId, start: Instant, end: Instant | None
    ) -> Sequence[Transition]:
        found = [
            t
            for t in self.transitions
            if t.business_id == business_id and start <= t.at and (end is None or t.at <= end)
        ]
        return sorted(found, key=lambda t: t.position)


def raising(error: Exception) -> Callable[..., NoReturn]:
    """Something to put in the place of a function, which raises an error."""

    def fail(*_: object, **__: object) -> NoReturn:
        raise error

    return fail


def failing_store(error: Exception, *calls: str) -> MemoryStore:
    """A store in which these calls raise an error and all others work."""
    store = MemoryStore()
    for call in calls:
        setattr(store, call, raising(error))
    return store


@dataclass
class FakeSockets:
    """`lambdas.use_cases.ports.Sockets`: which sockets are open, and what was sent to them."""

    open: set[str] = field(default_factory=set)
    unknown: set[str] = field(default_factory=set)
    """Sockets for which every call of the gateway fails."""
    sent: list[tuple[str, SocketMessage]] = field(default_factory=list)
    probed: list[str] = field(default_factory=list)

    def _answer(self, connection_id: str) -> SocketAnswer:
        if connection_id in self.unknown:
            return SocketAnswer.UNKNOWN
        return SocketAnswer.OK if connection_id in self.open else SocketAnswer.GONE

    def probe(self, connection_id: ConnectionId) -> SocketAnswer:
        self.probed.append(connection_id)
        return self._answer(connection_id)

    def post(self, connection_id: ConnectionId, message: SocketMessage) -> SocketAnswer:
        answer = self._answer(connection_id)
        if answer is SocketAnswer.OK:
            self.sent.append((connection_id, message))
        return answer

    def close(self, connection_id: ConnectionId) -> SocketAnswer:
        answer = self._answer(connection_id)
        if answer is SocketAnswer.OK:
            self.open.discard(connection_id)
        return answer
