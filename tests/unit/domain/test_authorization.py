"""Who may do what, for every operation and every kind of caller."""

import itertools

import pytest

from lambdas.domain.authorization import Caller, Operation, Role, authorize
from lambdas.domain.errors import Forbidden
from lambdas.domain.identifiers import CANARY, BusinessId
from lambdas.domain.model import ActingAs
from tests.builders import B1, U1

OTHER = BusinessId("b2")

MEMBER = Caller(U1, frozenset({B1}), frozenset())
OPERATOR = Caller(U1, frozenset(), frozenset({Role.OPERATOR}))
BACKEND = Caller(U1, frozenset(), frozenset({Role.BACKEND}))
MEMBER_OF_ANOTHER = Caller(U1, frozenset({OTHER}), frozenset())
NOBODY = Caller(U1, frozenset(), frozenset())

# member, operator, backend, member of another business, no business and no role
TABLE = {
    Operation.READ_STATUS: "yes yes -   -   -",
    Operation.READ_ONLINE: "yes yes yes yes yes",
    Operation.SET_AVAILABILITY: "yes -   -   -   -",
    Operation.LIST_CONNECTIONS: "yes yes -   -   -",
    Operation.CONNECT: "yes -   -   -   -",
    Operation.PAUSE: "yes yes yes -   -",
    Operation.READ_HISTORY: "yes yes -   -   -",
    Operation.READ_OPENING_HOURS: "yes yes -   -   -",
    Operation.SET_OPENING_HOURS: "yes yes -   -   -",
    Operation.CHANGE_SETTINGS: "-   yes -   -   -",
    Operation.ISSUE_TICKET: "yes -   -   -   -",
    Operation.PUSH_MESSAGE: "-   yes yes -   -",
    Operation.CLOSE_CONNECTION: "-   yes -   -   -",
    Operation.CLEAN_UP: "-   yes -   -   -",
    Operation.LIST_ATTENTION: "-   yes -   -   -",
}
CALLERS = (MEMBER, OPERATOR, BACKEND, MEMBER_OF_ANOTHER, NOBODY)

OF_ALL_BUSINESSES = {Operation.LIST_ATTENTION}
"""Operations that are not about one business."""


def _allowed(caller: Caller, operation: Operation, business_id: BusinessId | None) -> bool:
    try:
        authorize(caller, operation, business_id)
    except Forbidden:
        return False
    return True


@pytest.mark.parametrize("operation", Operation)
def test_each_kind_of_caller_may_do_what_the_table_says(operation: Operation) -> None:
    business_id = None if operation in OF_ALL_BUSINESSES else B1
    expected = [mark == "yes" for mark in TABLE[operation].split()]
    assert [_allowed(caller, operation, business_id) for caller in CALLERS] == expected


@pytest.mark.parametrize("operation", Operation)
def test_a_caller_of_several_kinds_may_do_what_any_of_them_may(operation: Operation) -> None:
    for one, other in itertools.combinations((MEMBER, OPERATOR, BACKEND), 2):
        both = Caller(U1, one.businesses | other.businesses, one.roles | other.roles)
        assert _allowed(both, operation, B1) == (
            _allowed(one, operation, B1) or _allowed(other, operation, B1)
        )


@pytest.mark.parametrize("operation", Operation)
def test_a_member_of_one_business_is_not_a_member_of_all(operation: Operation) -> None:
    assert _allowed(MEMBER, operation, None) == _allowed(NOBODY, operation, None)


@pytest.mark.parametrize("operation", Operation)
def test_a_member_of_the_canary_is_also_a_back_end_there_and_nowhere_else(
    operation: Operation,
) -> None:
    member = Caller(U1, frozenset({CANARY, OTHER}), frozenset())
    both = Caller(U1, frozenset({B1}), frozenset({Role.BACKEND}))
    if operation not in OF_ALL_BUSINESSES:
        assert _allowed(member, operation, CANARY) == _allowed(both, operation, B1)
        assert _allowed(member, operation, OTHER) == _allowed(MEMBER, operation, B1)
        assert _allowed(MEMBER, operation, CANARY) == _allowed(NOBODY, operation, B1)


def test_a_refusal_names_the_operation_and_the_business_if_there_is_one() -> None:
    with pytest.raises(Forbidden, match=r"^this token does not allow push-message for b1$"):
        authorize(MEMBER, Operation.PUSH_MESSAGE, B1)
    with pytest.raises(Forbidden, match=r"^this token does not allow list-attention$"):
        authorize(MEMBER, Operation.LIST_ATTENTION)


@pytest.mark.parametrize(
    ("caller", "expected"),
    [
        (MEMBER, ActingAs.MEMBER),
        (OPERATOR, ActingAs.OPERATOR),
        (BACKEND, ActingAs.BACKEND),
        (Caller(U1, frozenset({B1}), frozenset({Role.OPERATOR})), ActingAs.OPERATOR),
        (Caller(U1, frozenset({B1}), frozenset({Role.BACKEND})), ActingAs.MEMBER),
    ],
)
def test_in_what_capacity_a_caller_changes_a_business(caller: Caller, expected: ActingAs) -> None:
    assert caller.acting_as(B1) is expected
