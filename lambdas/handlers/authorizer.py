"""The authorizer of both APIs. It verifies the token and passes on who the caller is.

* WebSocket: decides on ``$connect`` whether this caller may hold a socket of this business.
* REST: answers for the whole API, because API Gateway caches the answer by token for all methods.
  The handler decides what the caller may do, with `lambdas.domain.authorization`.

If the issuer's keys cannot be fetched, the authorizer raises. API Gateway then answers 500 and
caches nothing: nobody is let in, and nobody stays locked out afterwards.
"""

import json
import re
from collections.abc import Mapping
from typing import Any, Final

from aws_lambda_powertools.utilities.typing import LambdaContext

from lambdas.adapters.tokens import InvalidToken
from lambdas.bootstrap import Service
from lambdas.domain import identifiers
from lambdas.domain.authorization import Caller, Operation, authorize
from lambdas.domain.errors import Forbidden, InvalidValue
from lambdas.domain.identifiers import UserId
from lambdas.handlers import callers, snapshots
from lambdas.handlers.entry_point import Event, entry_point, logger

Policy = dict[str, Any]

_BEARER: Final = re.compile(r"Bearer ([\w-]+\.[\w-]+\.[\w-]+)", re.ASCII)
"""The only accepted spelling. API Gateway caches answers by the header's exact text, so each other
spelling of a token would be another call of the authorizer.
"""

_MAX_RESULT: Final = 8 * 1024
"""Largest answer, in bytes of JSON. API Gateway answers 500 if it is larger."""


class _Refused(Exception):
    """The request is refused. The message is for the log."""


@entry_point
def handler(service: Service, event: Event, context: LambdaContext) -> Policy:
    """Allow or deny one handshake or one caller of the REST API."""
    is_handshake = event["requestContext"].get("eventType") == "CONNECT"
    logger.append_keys(requestId=event["requestContext"].get("requestId"))
    try:
        return _allow_handshake(service, event) if is_handshake else _allow_requests(service, event)
    except (InvalidToken, InvalidValue, Forbidden, _Refused) as refusal:
        logger.info("refused", extra={"reason": str(refusal)})
        return _policy("Deny", event["methodArn"], UserId("refused"), {})


def _allow_handshake(service: Service, event: Event) -> Policy:
    query = event.get("multiValueQueryStringParameters") or {}
    match sorted(query.keys() - {"deviceId"}):  # `$connect` checks that one
        case ["businessId"]:
            business_id = identifiers.business_id(_once("businessId", query["businessId"]))
            caller = _caller(service, event)
            authorize(caller, Operation.CONNECT, business_id)
            user_id = caller.user_id
        case ["ticket"]:
            if _authorization(event):
                raise _Refused("a request must have a ticket or the header Authorization, not both")
            ticket = service.tickets.redeem(_once("ticket", query["ticket"]))
            if ticket is None:
                raise _Refused("the ticket is unknown, used or expired")
            business_id, user_id = ticket.business_id, ticket.user_id
        case _:
            raise _Refused("the query must be businessId or ticket, with or without deviceId")
    context = {"businessId": business_id, **callers.context_of_user(user_id)}
    return _policy("Allow", event["methodArn"], user_id, context)


def _allow_requests(service: Service, event: Event) -> Policy:
    caller = _caller(service, event)
    # Allow the whole stage of arn:aws:execute-api:<region>:<account>:<api>/<stage>/<method>/<path>.
    api, stage, *_ = event["methodArn"].split("/")
    policy = _policy("Allow", f"{api}/{stage}/*", caller.user_id, callers.context_of(caller))
    room = _MAX_RESULT - len(json.dumps(policy))
    policy["context"] |= callers.context_of_businesses(caller, room=room)
    return policy


def _caller(service: Service, event: Event) -> Caller:
    bearer = _BEARER.fullmatch(_once("Authorization", _authorization(event)))
    if bearer is None:
        raise _Refused("the header Authorization must be: Bearer <token>")
    return service.token_verifier.verify(bearer[1])


def _authorization(event: Event) -> list[str]:
    """The values of the header, in any capitalization of its name."""
    return [
        value
        for name, values in event["multiValueHeaders"].items()
        if name.lower() == "authorization"
        for value in values
    ]


def _once(name: str, values: list[str]) -> str:
    """The only value. Several are refused, because another reader could pick another one."""
    if len(values) != 1:
        raise _Refused(f"{name} must come exactly once but came {len(values)} times")
    return values[0]


def _policy(effect: str, resource: str, user_id: UserId, context: Mapping[str, str]) -> Policy:
    return {
        # API Gateway writes this to its access log without escaping it.
        "principalId": identifiers.encode_user_id(user_id),
        "policyDocument": {
            "Version": "2012-10-17",
            "Statement": [{"Action": "execute-api:Invoke", "Effect": effect, "Resource": resource}],
        },
        "context": dict(context),
    }


snapshots.before_snapshot(lambda service: (service.token_verifier, service.tickets))
