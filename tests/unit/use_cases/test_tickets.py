"""Tickets for browsers."""

from itertools import count

import pytest

from lambdas.domain.model import Ticket
from lambdas.use_cases.tickets import TICKET_LIFETIME, Tickets
from tests.builders import B1, NOW, U1, FakeClock
from tests.fakes import MemoryStore


@pytest.fixture
def tickets(store: MemoryStore, clock: FakeClock) -> Tickets:
    numbers = count()
    return Tickets(store, clock, new_secret=lambda: f"{next(numbers):043}")


def test_a_ticket_can_be_redeemed_once(tickets: Tickets) -> None:
    secret, ticket = tickets.issue(B1, U1)
    assert ticket == Ticket(B1, U1, expires_at=NOW + TICKET_LIFETIME)
    assert tickets.redeem(secret) == ticket
    assert tickets.redeem(secret) is None


def test_a_ticket_can_be_redeemed_for_a_minute(tickets: Tickets, clock: FakeClock) -> None:
    first, _ = tickets.issue(B1, U1)
    second, _ = tickets.issue(B1, U1)
    clock.advance(TICKET_LIFETIME - 1)
    assert tickets.redeem(first) is not None
    clock.advance(1)
    assert tickets.redeem(second) is None


def test_the_store_never_sees_the_secret(tickets: Tickets, store: MemoryStore) -> None:
    secret, _ = tickets.issue(B1, U1)
    assert secret not in str(store.tickets)
    assert all(len(digest) == 64 for digest in store.tickets)


def test_a_guessed_secret_redeems_nothing(tickets: Tickets) -> None:
    tickets.issue(B1, U1)
    assert tickets.redeem("") is None
    assert tickets.redeem("x" * 43) is None
