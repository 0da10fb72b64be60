"""A small marketplace: a table, a history, sockets with devices, and the deployed functions."""

import contextlib
import io
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final
from unittest import mock

import boto3

from lambdas.adapters import items as stored
from lambdas.adapters.table import Table
from lambdas.bootstrap import Service
from lambdas.domain.identifiers import BusinessId
from lambdas.domain.model import Attention, Business, Episode
from lambdas.domain.transitions import Transition
from lambdas.handlers import cleanup, publisher, recorder, rest, websocket
from lambdas.handlers.entry_point import EntryPoint, Event, logger
from lambdas.observability import MetricName
from tests import promises
from tests.builders import B1, NOW, RULES, FakeClock, business, real, settings, virtual
from tests.dynamodb import create_history_table, create_table
from tests.events import Context, changed_record, rest_event, socket_event
from tests.integration.faults.network import (
    Item,
    Key,
    Killed,
    Lasting,
    Network,
    Plan,
    engine,
    items,
)
from tests.promises import broken

B2, B3, B4, NEW = (BusinessId(name) for name in ("b2", "b3", "b4", "new"))

SECONDS: Final[Mapping[EntryPoint, int]] = {
    rest.handler: 28,
    websocket.on_connect: 28,
    cleanup.handler: 290,
    recorder.handler: 60,
    publisher.handler: 60,
}
"""After how many seconds each function is killed; all others after 10. See `infra/service`."""

VARIABLES: Final = {
    "ENVIRONMENT": "test",
    "WEBSOCKET_MANAGEMENT_URL": "https://api.execute-api.us-east-1.amazonaws.com/v1",
    "PING_INTERVAL": str(RULES.ping_interval),
    "PING_GRACE": str(RULES.ping_grace),
    "VIRTUAL_LEASE": str(RULES.virtual_lease),
    "ATTENTION_GRACE": str(RULES.attention_grace),
    "MAX_REAL_CONNECTIONS": str(RULES.max_real_connections),
    "HISTORY_DAYS": "90",
    "EVENT_BUS_NAME": "bus",
    "DEAD_LETTERS_URL": "https://sqs.us-east-1.amazonaws.com/123456789012/dead-letters",
}


@dataclass(slots=True)
class Outcome:
    """What one call of a function did, as seen from outside."""

    answer: dict[str, Any] | None = None
    error: Exception | None = None
    was_killed: bool = False
    log: list[dict[str, Any]] = field(default_factory=list)
    metrics: list[dict[str, Any]] = field(default_factory=list)
    """The lines in the embedded metric format."""

    def __str__(self) -> str:
        said = [line["message"] for line in self.log]
        return f"killed {self.was_killed}, {self.error!r}, {self.answer}, log {said}"

    @property
    def document(self) -> Any:
        """The body of the answer; an empty one if there is none."""
        return json.loads((self.answer or {}).get("body") or "{}")

    @property
    def failed(self) -> bool:
        """Whether the caller or Lambda sees that the call failed."""
        return self.answer is None or self.answer.get("statusCode", 200) >= 400

    @property
    def census(self) -> dict[str, Any] | None:
        """The gauges that a cleanup published."""
        return next((m for m in self.metrics if MetricName.CLEANUP_COMPLETED in m), None)


class _LambdaContext(Context):
    """A Lambda context whose time runs out as the network takes its time."""

    def __init__(self, network: Network) -> None:
        self._network = network

    def get_remaining_time_in_millis(self) -> int:  # type: ignore[override] # as in `Context`
        return int(max(0, self._network.milliseconds_left))


def _session() -> boto3.Session:
    return boto3.Session("test", "test", region_name="us-east-1")


class _KeptClients:
    """A session that makes each client once: for calls in which nothing goes wrong."""

    def __init__(self) -> None:
        self._session: Any = _session()
        self._clients: dict[str, Any] = {}

    def client(self, service: str, **options: Any) -> Any:
        if service not in self._clients:
            self._clients[service] = self._session.client(service, **options)
        return self._clients[service]


@dataclass
class Shared:
    """What all worlds share, because making it takes long."""

    new_process: Any = field(default_factory=_session)
    """Makes new clients."""
    healthy: Any = field(default_factory=_KeptClients)
    environ: dict[str, str] = field(init=False)
    start: tuple[dict[Key, Item], dict[Key, Item], list[Any]] | None = None
    """What is stored and published at the start of each test, once it is known."""

    def __post_init__(self) -> None:
        client = self.healthy.client("dynamodb")
        self.environ = {
            **VARIABLES,
            "TABLE_NAME": create_table(client),
            "HISTORY_TABLE_NAME": create_history_table(client),
        }


def seed() -> list[Business]:
    """What a marketplace is like at the start of each test.

    `c1` of b1 and `d2` of b2 are alive. b1 also has a socket that is gone (`g1`), a silent one
    (`s1`) and an expired lease. b3 has needed attention for longer than the grace period, which
    nobody was told yet. The only device of b4, `s4`, fell silent after the last transition was
    recorded.
    """
    return [
        business(
            real("c1", seen=30),
            real("g1", seen=400),
            real("s1", seen=700),
            virtual("u1"),
            virtual("u9", left=-60),
            declared=settings(version=3),
        ),
        business(
            real("d2", business_id=B2, seen=60),
            virtual("u2", business_id=B2),
            declared=settings(),
            business_id=B2,
        ),
        business(
            virtual("u3", business_id=B3),
            declared=settings(episode=Episode(Attention.VIRTUAL_ONLY, NOW - 400)),
            business_id=B3,
        ),
        business(real("s4", business_id=B4, seen=700), declared=settings(), business_id=B4),
    ]


def _items(business: Business) -> Iterator[Item]:
    yield from map(stored.real_item, business.real)
    yield from map(stored.virtual_item, business.virtual)
    if (declared := business.settings) is not None:
        mark = stored.episode_attributes(declared.episode) if declared.episode else {}
        key = stored.settings_key(business.business_id)
        yield {**key, **stored.settings_attributes(declared), **mark}


class World:
    """A marketplace, everybody who acts in it, and everything that is known about it."""

    def __init__(self, shared: Shared) -> None:
        self.clock = FakeClock()
        self.network = Network(open={"c1", "s1", "d2", "s4"})
        self._shared, self.environ = shared, shared.environ
        self.clients = {"c1": B1, "d2": B2}
        """The devices that ping, and their businesses."""
        self.may_close: set[str] = set()
        """Live sockets that something is meant to close."""
        self.problems: list[str] = []
        self.reported: set[BusinessId] = set()
        self.removed: set[str] = set()
        """Real connections that were removed."""
        self._ever: set[str] = set()
        self.ticket = ""
        self.admitted = 0
        """How many handshakes its ticket opened."""
        self.event: Event = {}
        """What a stream is about to bring."""
        self._before: dict[Key, Item] = {}
        self._recorded: dict[Key, Item] = {}

    def begin(self) -> None:
        """Store what there is at the start."""
        if self._shared.start is None:
            seeded = {(i["pk"]["S"], i["sk"]["S"]): i for each in seed() for i in _items(each)}
            self._store("TABLE_NAME", seeded)
            self.clock.now = NOW - 200
            self.stream()
            self.clock.now = NOW
            self._shared.start = (self.table(), self.history(), [*self.network.published])
            return
        table, history, published = self._shared.start
        self._store("TABLE_NAME", table)
        self._store("HISTORY_TABLE_NAME", history)
        self.network.published += published
        self.changes()
        self.new_transitions()
        self._look()

    def _store(self, table: str, wanted: Mapping[Key, Item]) -> None:
        """Let a table have these items, and no others."""
        name = self.environ[table]
        found = items(name)
        requests: list[Any] = [
            {"DeleteRequest": {"Key": {"pk": {"S": pk}, "sk": {"S": sk}}}}
            for pk, sk in found.keys() - wanted.keys()
        ]
        requests += [
            {"PutRequest": {"Item": item}} for key, item in wanted.items() if item != found.get(key)
        ]
        if requests:
            request = {"RequestItems": {name: requests}}
            assert engine("BatchWriteItem", json.dumps(request).encode()).status == 200

    # What is stored.

    @property
    def client(self) -> Any:
        """A client of DynamoDB for the tests' own use, without faults."""
        return self._shared.healthy.client("dynamodb")

    @cached_property
    def store(self) -> Table:
        """The table, without faults."""
        return Table(self.client, self.environ["TABLE_NAME"])

    def business(self, business_id: BusinessId = B1) -> Business:
        return self.store.load(business_id)

    def table(self) -> dict[Key, Item]:
        return items(self.environ["TABLE_NAME"])

    def history(self) -> dict[Key, Item]:
        return items(self.environ["HISTORY_TABLE_NAME"])

    def real(self) -> set[str]:
        """The ids of all real connections that are stored."""
        return {i["connectionId"]["S"] for i in self.table().values() if "connectionId" in i}

    def transitions(self) -> list[Transition]:
        """Everything in the history."""
        return [stored.read_transition(item) for item in self.history().values()]

    # Calls.

    def call(
        self,
        handler: EntryPoint,
        event: Event,
        plan: Plan | None = None,
    ) -> Outcome:
        """Call a function as Lambda does."""
        return self.run(
            lambda service, context: handler(event, context, service=service),
            plan,
            timeout=SECONDS.get(handler, 10),
        )

    def run(
        self,
        function: Callable[[Service, Context], dict[str, Any]],
        plan: Plan | None = None,
        *,
        timeout: int,
    ) -> Outcome:
        """Run something until it answers, fails or is killed. What it wrote before is kept."""
        outcome = Outcome()
        log, output = io.StringIO(), io.StringIO()
        written: list[str] = []

        def keep() -> None:
            written[:] = [log.getvalue(), output.getvalue()]

        # The retries of a client have a quota, which only faults that last use up.
        lasts = plan is not None and plan.lasting is not Lasting.ONCE
        session = self._shared.new_process if lasts else self._shared.healthy
        service = Service(self.environ, clock=self.clock, session=session)
        with (
            mock.patch.object(logger.registered_handler, "stream", log),
            contextlib.redirect_stdout(output),
        ):
            try:
                with self.network.running(plan, timeout, keep):
                    outcome.answer = function(service, _LambdaContext(self.network))
            except Killed:
                outcome.was_killed, outcome.answer = True, None
            except Exception as error:
                outcome.error = error
        if not outcome.was_killed:
            keep()
        outcome.log, outcome.metrics = (
            [json.loads(line) for line in text.splitlines()] for text in written
        )
        self._observe(outcome)
        self.network.arrive_late()
        return outcome

    def _observe(self, outcome: Outcome) -> None:
        """Note what a call did, and what it must never do."""
        self.reported |= {
            BusinessId(line["businessId"])
            for line in outcome.metrics
            if MetricName.ATTENTION_ENTERED in line and "businessId" in line
        }
        if not any(request.has_effect for _, _, request in self.network.calls):
            return
        self._look()
        for name in sorted(self.clients.keys() - self.network.open):
            if name not in self.may_close:
                self.problems.append(broken(1, f"{name} was closed"))
            del self.clients[name]
        if (census := outcome.census) is not None:
            values = {name: (v[0] if isinstance(v, list) else v) for name, v in census.items()}
            self.problems += promises.wrong_census(
                self.store.walk(0, 1), values, self.clock(), RULES
            )

    def _look(self) -> None:
        """Note which real connections are stored."""
        now_stored = self.real()
        back = now_stored & self.removed
        self.problems += [broken(3, name) for name in sorted(back)]
        self._ever |= now_stored
        self.removed |= self._ever - now_stored

    # Events.

    def rest(
        self, method: str, route: str, body: Any = None, *, role: str = "", **parts: Any
    ) -> Event:
        """A request about b1, by its member or by somebody with a role."""
        return rest_event(
            method,
            f"/businesses/{{businessId}}{route}" if not route.startswith("/businesses") else route,
            body=None if body is None else json.dumps(body),
            businesses=() if role else (B1, NEW),
            roles=(role,) if role else (),
            user_id=role or "u1",
            **parts,
        )

    def socket(self, connection_id: str, kind: str = "MESSAGE", **body: str) -> Event:
        business_id = self.clients.get(connection_id, B1)
        return socket_event(
            json.dumps(body) if body else None,
            connection_id=connection_id,
            authorizer={"businessId": business_id, "userId": "u1"},
            event_type=kind,
            headers={} if kind == "CONNECT" else None,
        )

    def changes(self) -> Event:
        """The records of the table's stream since this was last called."""
        before, after = self._before, self.table()
        self._before = after
        records = []
        for key in sorted(before.keys() | after.keys()):
            if before.get(key) == after.get(key):
                continue
            kind = "MODIFY" if key in before and key in after else "INSERT"
            kind = kind if key in after else "REMOVE"
            keys = {"pk": {"S": key[0]}, "sk": {"S": key[1]}}
            records.append(changed_record(keys, kind, at=self.clock()))
        return {"Records": records}

    def new_transitions(self) -> Event:
        """The records of the history's stream since this was last called."""
        history = self.history()
        new = sorted(history.keys() - self._recorded.keys())
        self._recorded = history
        return {
            "Records": [
                {"eventName": "INSERT", "dynamodb": {"Keys": {}, "NewImage": history[key]}}
                for key in new
            ]
        }

    # Time passes.

    def stream(self) -> None:
        """Let both streams bring what changed."""
        self._bring(recorder.handler, self.changes())
        self._bring(publisher.handler, self.new_transitions())

    def _bring(self, handler: EntryPoint, event: Event) -> None:
        if event["Records"]:
            outcome = self.call(handler, event)
            assert not outcome.failed, outcome

    def ping(self, name: str) -> None:
        outcome = self.call(websocket.on_ping, self.socket(name, action="ping"))
        if outcome.document.get("type") != "pong":
            self.problems.append(f"a ping of {name} was not answered: {outcome}")

    def clean_up(self) -> Outcome:
        """Let the scheduled cleanup run, and both streams bring what it did."""
        outcome = self.call(cleanup.handler, {})
        if outcome.failed or outcome.census is None:
            self.problems.append(f"a cleanup without faults failed: {outcome}")
        self.stream()
        return outcome

    def settle(self) -> None:
        """Let so much time pass that everything is repaired that should repair itself."""
        self.stream()
        self.clock.advance(1)
        self.clean_up()
        self.clock.advance(RULES.ping_interval)
        for name in sorted(self.clients):
            self.ping(name)
        self.clean_up()
        now, all_of_them = self.clock(), list(self.store.walk(0, 1))
        live = self.clients.keys() & self.network.open
        published = {(d["businessId"], d["sequence"]) for d in self.network.published}
        transitions = self.transitions()
        self.problems += [
            *promises.live_connections_that_were_removed(all_of_them, live),
            *promises.dead_connections(all_of_them, self.network.open, now, RULES),
            *promises.leases_without_declaration(all_of_them),
            *promises.wrong_marks(all_of_them, now, RULES),
            *promises.unreported_episodes(all_of_them, self.reported, now, RULES),
            *promises.gaps_in_history(all_of_them, transitions, now, RULES),
            *promises.unpublished(transitions, published),
        ]

    @property
    def state(self) -> str:
        """Everything on which it depends what happens from now on."""
        known = (self.table(), self.history(), self.network.published)
        names = (self.network.open, self.clients, self.reported, self.removed)
        return f"{self.clock()} {known} {[sorted(each) for each in names]}"
