"""The operations of the service: how each is called, and how to tell that its work was done."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from lambdas.domain.identifiers import DeviceId
from lambdas.domain.model import Business
from lambdas.domain.opening_hours import OpeningHours
from lambdas.handlers import authorizer, cleanup, publisher, recorder, rest, websocket
from operations.data.business_file import Declaration
from operations.data.import_businesses import Importer
from tests.builders import B1, NOW, no_wait, real
from tests.events import socket_event
from tests.integration.faults.network import Plan
from tests.integration.faults.world import B2, NEW, Outcome, World
from tests.promises import broken

Call = Callable[[World, Plan | None], Outcome]
Done = Callable[[World, Outcome], bool]

PAUSED_UNTIL: Final = "2027-01-15T09:00:00Z"
HOURS: Final = {"timeZone": "UTC", "weekly": {"fr": [["00:00", "24:00"]]}, "exceptions": {}}


def _nothing(world: World) -> None:
    """Needs no preparation."""


def _failed(outcome: Outcome) -> bool:
    return outcome.failed


@dataclass(frozen=True, slots=True)
class Operation:
    """Something that clients, the schedule or a stream ask of the service."""

    name: str
    call: Call
    done: Done
    """Whether all of the work was done, as seen when the call has answered."""
    prepare: Callable[[World], None] = _nothing
    is_refused: Callable[[Outcome], bool] = _failed
    """Whether the caller was told that it failed."""
    again: Call | None = None
    """What the caller does after a failure, if that is something else than the same call."""
    is_repeated: bool = True
    """Whether the caller repeats a call that failed."""
    also_fine: frozenset[int] = frozenset()
    """Statuses with which the repeated call may be refused."""
    is_set: Callable[[Business], bool] | None = None
    """For what changes the settings: whether they, and the leases with them, are changed."""


# Sockets.


def _message(connection_id: str, action: str) -> Call:
    handler = {"ping": websocket.on_ping, "status": websocket.on_status}.get(
        action, websocket.on_default
    )
    return lambda world, plan: world.call(
        handler, world.socket(connection_id, action=action, id="1"), plan
    )


def _heard(world: World, outcome: Outcome, kind: str) -> bool:
    c1 = next(c for c in world.business().real if c.connection_id == "c1")
    return c1.last_seen_at >= NOW and outcome.document["type"] == kind


TILL: Final = DeviceId("till-1")


def _connect(connection_id: str) -> Call:
    def call(world: World, plan: Plan | None) -> Outcome:
        handshake = world.socket(connection_id, kind="CONNECT")
        handshake["multiValueQueryStringParameters"] = {"deviceId": [TILL]}
        outcome = world.call(websocket.on_connect, handshake, plan)
        if not outcome.failed:
            world.network.open.add(connection_id)
            world.clients[connection_id] = B1
        return outcome

    return call


def _old_sockets(world: World) -> None:
    """The device that connects has two sockets, whose clients are gone."""
    for name, seen in (("o1", 100), ("o2", 90)):
        world.store.add_real(real(name, seen=seen, device_id=TILL))
        world.network.open.add(name)
        world.may_close.add(name)


def _lose(connection_id: str) -> Callable[[World], None]:
    """A device closes its socket."""

    def prepare(world: World) -> None:
        world.network.open.discard(connection_id)
        world.may_close.add(connection_id)
        del world.clients[connection_id]

    return prepare


def _disconnect(world: World, plan: Plan | None) -> Outcome:
    return world.call(websocket.on_disconnect, world.socket("c1", kind="DISCONNECT"), plan)


def _disconnect_unnamed(world: World, plan: Plan | None) -> Outcome:
    event = socket_event(connection_id="c1", authorizer={}, event_type="DISCONNECT")
    return world.call(websocket.on_disconnect, event, plan)


def _is_removed(world: World, *names: str) -> bool:
    return not world.real() & set(names)


# REST.


def _rest(
    method: str, route: str, body: Any = None, *, role: str = "", may_close: str = "", **parts: Any
) -> Call:
    def call(world: World, plan: Plan | None) -> Outcome:
        world.may_close |= {may_close}
        return world.call(rest.handler, world.rest(method, route, body, role=role, **parts), plan)

    return call


def _before(*calls: Call) -> Callable[[World], None]:
    """Prepare with calls that go well."""

    def prepare(world: World) -> None:
        for call in calls:
            outcome = call(world, None)
            assert not outcome.failed, outcome
        world.stream()

    return prepare


def _ok(world: World, outcome: Outcome) -> bool:
    return not outcome.failed


def _setting(name: str, call: Call, is_set: Callable[[Business], bool], **more: Any) -> Operation:
    """An operation on the settings of b1."""
    return Operation(name, call, lambda world, _: is_set(world.business()), is_set=is_set, **more)


_TRUE = _rest("PUT", "/availability", {"available": True})
_FALSE = _rest("PUT", "/availability", {"available": False}, may_close="c1")
_PAUSE = _rest("PUT", "/pause", {"until": PAUSED_UNTIL})
_OPERATORS_PAUSE = _rest(
    "PUT", "/pause", {"until": PAUSED_UNTIL, "reason": "no device"}, role="operator"
)
_RESUME = _rest("DELETE", "/pause")
_OPERATORS_RESUME = _rest("DELETE", "/pause", role="operator")
_PUSH = _rest("POST", "/messages", {"order": 1}, role="backend", idempotency_key="order-1")


def _is_available(business: Business) -> bool:
    lease = next((c for c in business.virtual if c.user_id == "u1"), None)
    declared = business.settings is not None and business.settings.available
    return declared and lease is not None and lease.renewed_at >= NOW


def _is_unavailable(business: Business) -> bool:
    return business.settings is not None and not (business.settings.available or business.virtual)


def _is_paused(business: Business, *, by_operator: bool) -> bool:
    found = business.settings
    return (
        found is not None
        and found.pause is not None
        and (found.pause.until, found.pause.by_operator) == (NOW + 3600, by_operator)
    )


def _all_closed(world: World, outcome: Outcome) -> bool:
    closed = not world.network.open & {"c1", "s1"} and _is_removed(world, "c1", "g1", "s1")
    return _is_unavailable(world.business()) and closed


def _pushed(world: World, outcome: Outcome) -> bool:
    bodies = [m["body"] for name, m in world.network.received if name == "c1"]
    ids = {m["id"] for name, m in world.network.received if name == "c1"}
    return {"order": 1} in bodies and outcome.document["sent"] >= 1 and len(ids) == 1


def _push_again(world: World, plan: Plan | None) -> Outcome:
    """Repeat the call with its key half a minute later."""
    for (pk, sk), item in world.table().items():
        if pk.startswith("IDEMPOTENCY#") and item["status"]["S"] == "INPROGRESS":
            key = {"pk": {"S": pk}, "sk": {"S": sk}}
            world.client.update_item(  # Powertools reads a clock of its own
                TableName=world.environ["TABLE_NAME"],
                Key=key,
                UpdateExpression="SET in_progress_expiration = :past",
                ExpressionAttributeValues={":past": {"N": "0"}},
            )
    return _PUSH(world, plan)


# The cleanup.


def _cleaned(world: World, outcome: Outcome) -> bool:
    leases = {c.user_id for c in world.business().virtual}
    return _is_removed(world, "g1", "s1") and "u9" not in leases


def _all_cleaned(world: World, outcome: Outcome) -> bool:
    told = "b3" in world.reported
    return _cleaned(world, outcome) and _is_removed(world, "s4") and told


# Tickets.


def _handshake(world: World, plan: Plan | None) -> Outcome:
    event = {
        "requestContext": {"eventType": "CONNECT", "requestId": "r1"},
        "methodArn": "arn:aws:execute-api:us-east-1:123456789012:api/v1/$connect",
        "multiValueHeaders": {},
        "multiValueQueryStringParameters": {"ticket": [world.ticket]},
    }
    outcome = world.call(authorizer.handler, event, plan)
    world.admitted += not _is_denied(outcome)
    if world.admitted > 1:
        world.problems.append(broken(4))
    return outcome


def _is_denied(outcome: Outcome) -> bool:
    if outcome.answer is None:
        return True
    effect: str = outcome.answer["policyDocument"]["Statement"][0]["Effect"]
    return effect == "Deny"


def _get_ticket(world: World) -> None:
    world.ticket = _rest("POST", "/tickets")(world, None).document["ticket"]


# The change feed.


def _something_happens(world: World) -> None:
    """b2 loses its device, and a new business is declared."""
    _lose("d2")(world)
    event = socket_event(
        connection_id="d2",
        authorizer={"businessId": B2, "userId": "u2"},
        event_type="DISCONNECT",
    )
    assert not world.call(websocket.on_disconnect, event).failed
    assert not _rest("PUT", "/availability", {"available": True}, business_id=NEW)(
        world, None
    ).failed
    world.event = world.changes()


def _record(world: World, plan: Plan | None) -> Outcome:
    return world.call(recorder.handler, world.event, plan)


def _is_recorded(world: World, outcome: Outcome) -> bool:
    found = {(t.business_id, t.sequence, t.after) for t in world.transitions()}
    return {(B2, 2, "VIRTUAL_ONLY"), (NEW, 1, "VIRTUAL_ONLY")} <= found


def _something_is_recorded(world: World) -> None:
    _something_happens(world)
    assert not _record(world, None).failed
    world.event = world.new_transitions()
    broken = {"pk": {"S": "BUSINESS#b1"}, "sk": {"S": "TRANSITION#broken"}}
    world.event["Records"].append(
        {"eventName": "INSERT", "dynamodb": {"Keys": broken, "NewImage": broken}}
    )


def _publish(world: World, plan: Plan | None) -> Outcome:
    return world.call(publisher.handler, world.event, plan)


def _is_published(world: World, outcome: Outcome) -> bool:
    found = {(d["businessId"], d["sequence"]) for d in world.network.published}
    return {(B2, 2), (NEW, 1)} <= found and len(world.network.dead_letters) > 0


# Import.


def _import(world: World, plan: Plan | None) -> Outcome:
    declared = Declaration(1, B1, accepting=False, expects_socket=True, opening_hours=None)

    def run(service: Any, context: Any) -> dict[str, Any]:
        importer = Importer(service.store, service.clock, no_wait, overwrite=True)
        return {"outcome": importer.take(declared)}

    return world.run(run, plan, timeout=3600)


OPERATIONS: Final = (
    Operation(
        "$connect",
        _connect("n1"),
        lambda world, _: bool(world.real() & {"n1", "n2"}),
        again=_connect("n2"),
    ),
    Operation(
        "$connect of a device with two sockets",
        _connect("n1"),
        lambda world, _: bool(world.real() & {"n1", "n2"}) and "o1" not in world.network.open,
        prepare=_old_sockets,
        again=_connect("n2"),
    ),
    Operation(
        "$disconnect",
        _disconnect,
        lambda world, _: _is_removed(world, "c1"),
        prepare=_lose("c1"),
        is_repeated=False,
    ),
    Operation(
        "$disconnect without a business",
        _disconnect_unnamed,
        lambda world, _: _is_removed(world, "c1"),
        prepare=_lose("c1"),
        is_repeated=False,
    ),
    Operation("ping", _message("c1", "ping"), lambda w, o: _heard(w, o, "pong")),
    Operation("status message", _message("c1", "status"), lambda w, o: _heard(w, o, "status")),
    Operation("default route", _message("c1", "dance"), lambda w, o: _heard(w, o, "error")),
    Operation(
        "ping of an unregistered connection",
        _message("x1", "ping"),
        lambda world, _: "x1" not in world.network.open,
        prepare=lambda world: world.network.open.add("x1"),
    ),
    _setting("available", _TRUE, _is_available),
    Operation(
        "available for the first time",
        _rest("PUT", "/availability", {"available": True}, business_id=NEW),
        lambda world, _: _is_available(world.business(NEW)),
    ),
    Operation("unavailable", _FALSE, _all_closed, is_set=_is_unavailable),
    _setting("pause", _PAUSE, lambda b: _is_paused(b, by_operator=False)),
    _setting("operator's pause", _OPERATORS_PAUSE, lambda b: _is_paused(b, by_operator=True)),
    _setting(
        "resume",
        _RESUME,
        lambda b: b.settings is not None and b.settings.pause is None,
        prepare=_before(_PAUSE),
    ),
    _setting(
        "operator's resume",
        _OPERATORS_RESUME,
        lambda b: b.settings is not None and b.settings.pause is None,
        prepare=_before(_OPERATORS_PAUSE),
    ),
    _setting(
        "set opening hours",
        _rest("PUT", "/opening-hours", HOURS),
        lambda b: b.settings is not None and b.settings.opening_hours == OpeningHours.read(HOURS),
    ),
    _setting(
        "no device expected",
        _rest("PUT", "/settings", {"expectsSocket": False}, role="operator"),
        lambda b: b.settings is not None and not b.settings.expects_socket,
    ),
    Operation(
        "push",
        _rest("POST", "/messages", {"order": 1}, role="backend"),
        lambda world, outcome: (
            outcome.document["sent"] >= 1
            and any(name == "c1" for name, _ in world.network.received)
        ),
    ),
    Operation("push with a key", _PUSH, _pushed, again=_push_again),
    Operation(
        "operator's close",
        _rest(
            "DELETE",
            "/connections/{connectionId}",
            role="operator",
            connection_id="c1",
            may_close="c1",
        ),
        lambda world, _: "c1" not in world.network.open and _is_removed(world, "c1"),
        also_fine=frozenset({404}),
    ),
    Operation("cleanup of one", _rest("POST", "/cleanup", role="operator"), _cleaned),
    Operation(
        "cleanup of all",
        lambda world, plan: world.call(cleanup.handler, {}, plan),
        _all_cleaned,
        is_repeated=False,
    ),
    Operation("ticket", _rest("POST", "/tickets"), _ok),
    Operation(
        "handshake with a ticket",
        _handshake,
        lambda world, outcome: not _is_denied(outcome),
        prepare=_get_ticket,
        is_refused=_is_denied,
        also_fine=frozenset({200}),
    ),
    Operation("record", _record, _is_recorded, prepare=_something_happens),
    Operation("publish", _publish, _is_published, prepare=_something_is_recorded),
    Operation("GET status", _rest("GET", "/status"), _ok),
    Operation("GET online", _rest("GET", "/online"), _ok),
    Operation("GET connections", _rest("GET", "/connections"), _ok),
    Operation("GET history", _rest("GET", "/history"), _ok),
    Operation(
        "POST online",
        _rest("POST", "/businesses/online", {"businessIds": [B1, B2]}),
        _ok,
    ),
    Operation(
        "GET businesses",
        _rest("GET", "/businesses", role="operator", query={"attention": "virtual-only"}),
        lambda world, outcome: [b["businessId"] for b in outcome.document["businesses"]] == ["b3"],
    ),
    _setting("import", _import, _is_unavailable),
)
