"""What an environment can configure: `Environment` first, then its parts, then what is refused.

Durations are seconds unless a field's name says otherwise. The environments themselves are in
`infra.environments`. Neither imports the CDK: that takes a second, and each verb reads them.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final

import botocore.session

from lambdas.domain.authorization import Role
from lambdas.domain.rules import Rules

HOUR: Final = 3_600
DAY: Final = 24 * HOUR

# fmt: off
LOG_RETENTIONS: Final = (
    1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922,
    3288, 3653,
)
# fmt: on
"""The days that CloudWatch takes.
https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutRetentionPolicy.html
"""

MAX_CLEANUP_WORKERS: Final = 3
"""All workers start within the same minute. Each may write 300 attention marks per second, and one
key of the attention index takes 1,000. An alarm takes at most ten metrics, and the alarm on a share
needs three per worker.
"""


def _between(low: int, high: int, default: Any = dataclasses.MISSING) -> Any:
    """A field that must be a number from `low` to `high`."""
    return field(default=default, metadata={"between": (low, high)})


def _matching(pattern: str, default: Any = dataclasses.MISSING) -> Any:
    """A field whose text, or each of whose texts, must match the whole pattern."""
    return field(default=default, metadata={"matching": pattern})


@dataclass(frozen=True)
class Environment:
    """One deployment of the whole system. Raises ValueError, naming the field that cannot work."""

    name: str = _matching(r"[a-z][a-z0-9-]{0,15}")
    """Names the CDK stage, the stacks, and the dimension of the metrics."""
    account: str | None = _matching(r"\d{12}", None)
    """The AWS account. Default: the account of the current credentials. An environment that pages
    somebody cannot be deployed without it.
    """
    region: str | None = None
    """The AWS region. Default: that of the current credentials. An environment that pages somebody
    cannot be deployed without it.
    """

    keep_data: bool = True
    """Keep the table, the users and the logs when their stack is deleted."""
    log_retention_days: int = 30
    """Days after which CloudWatch deletes a log line: one of `LOG_RETENTIONS`."""
    log_each_call: bool = False
    """Let Lambda log a line at the start and the end of every call, with its duration, its memory
    and its start-up (costs extra). Default: only calls that went wrong.
    """
    websocket_access_log: bool = True
    """Log every event of a socket, pings included. Without it, refused handshakes and failures are
    in the logs of the functions, and what API Gateway throttles is only in its metrics.
    """
    customer_managed_key: bool = False
    """Encrypt stored data with a customer-managed KMS key (costs extra); otherwise AWS-managed keys
    are used.
    """
    gradual_deployments: bool = False
    """Give a new version a tenth of the traffic for five minutes, and roll it back if it fails."""
    snap_start: bool = False
    """Start the functions that users wait for from a snapshot (costs extra), instead of loading
    their code at each cold start. A deployment takes minutes longer, also one that rolls back. A
    function that nobody called for 14 days refuses calls for some minutes, so this is for
    environments in constant use.
    """

    oidc: Oidc | None = None
    """Whose access tokens are accepted. Default: a Cognito user pool in the data stack."""
    signing_keys_generation: int = 1
    """Raise this and deploy to make the authorizer forget the signing keys that it has cached.
    Otherwise a key is trusted for up to 15 minutes after the issuer withdrew it.
    """
    domains: Domains | None = None
    """Custom domain names. Default: the addresses that API Gateway assigns."""
    # As a browser sends it: without a path, in lower case.
    cors_origins: tuple[str, ...] = _matching(
        r"https://[a-z0-9.-]+(:\d{1,5})?|http://localhost:\d{1,5}", ()
    )
    """Web origins whose pages may call the REST API. Default: none.

    With several origins, a page cannot read the answers that API Gateway gives by itself (401, 404,
    413, 429, ...): their headers are fixed and can name only one origin.
    """

    rules: Rules = field(default_factory=Rules)
    """How often clients ping, how long a lease lasts, how long trouble may last before a page."""
    cleanup: Cleanup = field(default_factory=lambda: Cleanup())
    """How often the cleanup runs."""
    feed: Feed | None = field(default_factory=lambda: Feed())
    """Record and publish how the status of each business changes. `None` turns that off."""
    canary: Canary | None = None
    """Play a device against the deployed APIs all the time, and page if that fails (costs extra).
    Default: off.
    """
    on_call: OnCall = field(default_factory=lambda: OnCall())
    """Who is told when an alarm fires."""
    alarms: Thresholds = field(default_factory=lambda: Thresholds())
    """When alarms fire."""
    limits: Limits = field(default_factory=lambda: Limits())
    """How much traffic gets through, and so what it can cost."""

    def __post_init__(self) -> None:
        for problem in _problems(self):
            raise ValueError(f"environment {self.name!r}: {problem}")

    @property
    def undeployable(self) -> str | None:
        """Why this environment cannot be deployed as it is, though it can be synthesized: all that
        is missing. Where somebody is paged, it must be known where that is.
        """
        missing = []
        if self.on_call.required and not self.on_call.is_named:
            missing.append(
                "on_call.page_emails or on_call.page_urls must name somebody because"
                " on_call.required is True, and both are empty"
            )
        if self.on_call.required or self.on_call.is_named:
            for field_name, wanted in (
                ("account", "the 12 digits of an AWS account"),
                ("region", "a region, like 'eu-central-1',"),
            ):
                if getattr(self, field_name) is None:
                    missing.append(
                        f"{field_name} must be {wanted} where somebody is paged, is None: other"
                        " credentials would deploy it elsewhere"
                    )
        if not missing:
            return None
        return f"environment {self.name!r} in infra/environments.py: {'; '.join(missing)}"


@dataclass(frozen=True)
class Cleanup:
    """The schedule of the cleanup."""

    interval: int = _between(60, HOUR, 300)
    """Time between two runs, in whole minutes. Alarms on its counts use it as their period."""
    workers: int = _between(1, MAX_CLEANUP_WORKERS, 1)
    """How many functions share the table in each run. A new worker has no metrics yet, so announce
    a change as planned work.
    """


@dataclass(frozen=True)
class Feed:
    """The change feed: transitions of businesses, kept as a history and sent to an event bus."""

    history_days: int = _between(1, 3_650, 90)
    """Days after which a transition is deleted from the history."""


@dataclass(frozen=True)
class Canary:
    """The canary, which plays the main story against the deployed APIs, from outside them.

    It begins once it has a credential. docs/deploying.md says how it gets one.
    """

    # A run takes up to two minutes.
    interval: int = _between(180, HOUR, 300)
    """Time between two runs, in whole minutes."""


@dataclass(frozen=True)
class OnCall:
    """Two SNS topics carry alerts: one pages on-call, one opens tickets. Each subscriber has to
    confirm once. HTTPS endpoints must speak SNS, as those of PagerDuty and Opsgenie do.
    """

    required: bool = False
    """Refuse to deploy until somebody is named here to be paged."""
    page_emails: tuple[str, ...] = _matching(r"[^@\s]+@[^@\s]+", ())
    """E-mail addresses that get the alerts that somebody must act on now."""
    page_urls: tuple[str, ...] = _matching(r"https://\S+", ())
    """HTTPS endpoints that get the alerts that somebody must act on now."""
    ticket_emails: tuple[str, ...] = _matching(r"[^@\s]+@[^@\s]+", ())
    """E-mail addresses that get the alerts that can wait until the morning."""
    ticket_urls: tuple[str, ...] = _matching(r"https://\S+", ())
    """HTTPS endpoints that get the alerts that can wait until the morning."""
    runbook_url: str | None = _matching(r"https://\S+", None)
    """Where docs/runbook.md is published. The dashboard links to it."""

    @property
    def is_named(self) -> bool:
        """Whether anybody is paged."""
        return bool(self.page_emails or self.page_urls)


@dataclass(frozen=True)
class Sustained:
    """An alarm fires when `datapoints` of the last `periods` data points reach its threshold."""

    datapoints: int
    periods: int = _between(1, 24)


@dataclass(frozen=True)
class Thresholds:
    """When alarms fire. The defaults suit a few businesses, each of which matters.

    docs/deploying.md has numbers for larger marketplaces.
    """

    single_business: str = _matching("page|ticket|nobody", "page")
    """Who is told of each business that newly needs attention: `page`, `ticket` or `nobody`."""
    attention_burst: int = _between(1, 1_000_000, 3)
    """Page when this many businesses newly need attention within three cleanup intervals."""
    virtual_only: int = _between(1, 1_000_000, 1)
    """Page when this many businesses have virtual connections only."""
    unreachable: int = _between(1, 1_000_000, 1)
    """Page when this many businesses have no connection at all."""
    attention_percent: int = _between(1, 100, 5)
    """Page when this share of the businesses that accept orders needs attention."""
    attention_minimum: int = _between(1, 1_000_000, 3)
    """Do not page for a share of fewer businesses, like one of the last ten open ones at night."""
    businesses: Sustained = Sustained(2, 3)
    """How long the censuses must show `virtual_only`, `unreachable` or `attention_percent`."""
    mass_disconnect_percent: int = _between(1, 100, 30)
    """Page when this share of the real connections is lost from one census to the next."""
    mass_disconnect_minimum: int = _between(1, 1_000_000, 20)
    """Do not page for a mass disconnect of fewer connections, like the last ones of an evening."""

    service: Sustained = Sustained(2, 3)
    """How long each threshold below must be reached, in periods of five minutes."""
    errors_percent: int = _between(1, 100, 5)
    """Page when this share of calls fails: of a function, the REST API or the WebSocket API."""
    errors_minimum: int = _between(1, 1_000_000, 5)
    """Ignore fewer failed calls than this in a period."""
    throttles: int = _between(1, 1_000_000, 5)
    """Page when this many calls of a function, or of the table, are throttled in a period."""
    probes_unknown: int = _between(1, 1_000_000, 5)
    """Page when a cleanup run cannot find out of this many sockets whether they are open."""
    duration_percent: int = _between(1, 100, 80)
    """Open a ticket when a call takes this share of its function's timeout."""
    # API Gateway waits for 29 seconds.
    rest_latency_ms: int = _between(1, 29_000, 3_000)
    """Open a ticket when one in a hundred REST requests takes longer."""
    new_connections_per_second: int = _between(1, 1_000_000, 300)
    """Open a ticket at this rate: by default an account may open 500 sockets per second."""
    # A stream keeps its records for a day.
    feed_age: int = _between(30, 43_200, 300)
    """Page when the change feed is this late."""


@dataclass(frozen=True)
class Throttle:
    """How many requests per second an API lets through, and how many at once.

    API Gateway counts each method of the REST API and each route of the WebSocket API separately.
    All APIs of an account and region share 10,000 per second (2,500 in some regions) by default.
    https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-request-throttling.html
    """

    rate: int = _between(1, 1_000_000)
    burst: int = _between(1, 1_000_000)


DEFAULT_ROUTE_THROTTLES: Final = {
    # Open to anybody.
    "GET /health": Throttle(10, 20),
    # One request reads up to 100 businesses, and anybody with a valid token may send it.
    "POST /businesses/online": Throttle(100, 200),
    # An account opens 500 sockets per second by default, shared by all its environments.
    "$connect": Throttle(400, 400),
}
"""Routes that let through less than their API in every environment that does not override them."""


@dataclass(frozen=True)
class Limits:
    """How much traffic gets through. docs/deploying.md says what a flood of it costs."""

    rest: Throttle = Throttle(1_000, 2_000)
    websocket: Throttle = Throttle(4_000, 4_000)
    routes: dict[str, Throttle] = field(default_factory=dict)
    """Lower limits of single routes, added to `DEFAULT_ROUTE_THROTTLES`. A key is a method and path
    of the REST API (`POST /businesses/{businessId}/messages`) or a route of the WebSocket API
    (`$connect`).
    """
    web_acl_rate: int | None = _between(10, 2_000_000_000, None)
    """Give the REST API a web ACL (costs extra): AWS's managed rules, and at most this many
    requests from one address in 5 minutes. A back end, or a shop behind NAT, is one address.
    """
    concurrency: Concurrency | None = None
    """Reserve capacity for functions. Default: no reservation, since a new account has too little.
    """
    table: TableThroughput | None = None
    """Limit what the table can cost. Default: the account's quota (40,000 units per second)."""

    @property
    def all_routes(self) -> dict[str, Throttle]:
        """The limits of single routes, defaults included."""
        return {**DEFAULT_ROUTE_THROTTLES, **self.routes}


@dataclass(frozen=True)
class Concurrency:
    """How many calls of a function can run at once; that much capacity is also reserved for it.

    Each unit serves at most 10 requests per second, however short they are. A function without a
    number shares what the account has left, which must be at least 100. The cleanup always gets one
    more than it has workers, so that a person can start one in between.
    https://docs.aws.amazon.com/lambda/latest/dg/lambda-concurrency.html
    """

    authorizer: int | None = _between(1, 100_000, None)
    connect: int | None = _between(1, 100_000, None)
    disconnect: int | None = _between(1, 100_000, None)
    ping: int | None = _between(1, 100_000, None)
    status: int | None = _between(1, 100_000, None)
    default_route: int | None = _between(1, 100_000, None)
    rest: int | None = _between(1, 100_000, None)


@dataclass(frozen=True)
class TableThroughput:
    """The most that the table, and each of its indexes, serves, in request units per second.

    DynamoDB throttles what exceeds it, on a best-effort basis: short bursts may pass.
    https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/on-demand-capacity-mode-max-throughput.html
    """

    read: int = _between(1, 1_000_000)
    write: int = _between(1, 1_000_000)


@dataclass(frozen=True)
class Oidc:
    """The issuer whose access tokens are accepted, and the claims that say who somebody is.

    docs/protocol.md says how many businesses one token can name.
    """

    issuer: str = _matching(r"https://\S+")
    """Must equal the claim `iss`, including a slash at its end."""
    audience: str = _matching(r"\S+")
    jwks_url: str = _matching(r"https://\S+")
    user_claim: str = _matching(r"\S+", "sub")
    businesses_claim: str = _matching(r"\S+", "businesses")
    roles_claim: str = _matching(r"\S+", "roles")
    business_prefix: str = _matching(r"\S*", "")
    """What precedes a business id in the businesses claim. An issuer that puts businesses and roles
    into one list of groups needs one to tell them apart.
    """


@dataclass(frozen=True)
class Domain:
    """A custom domain name of an API, and its ACM certificate in the environment's region."""

    name: str = _matching(r"[a-z0-9]([a-z0-9-]*\.)+[a-z0-9-]+")
    certificate_arn: str = _matching(r"arn:aws:acm:[a-z0-9-]+:[0-9]+:certificate/[a-f0-9-]+")


@dataclass(frozen=True)
class Domains:
    """The names of both APIs. They must differ: one name cannot serve REST and WebSocket."""

    rest: Domain
    websocket: Domain


def _problems(environment: Environment) -> Iterator[str]:
    """Yield what cannot work: the field, what it must be, and what it is."""
    yield from _wrong_values(environment, "")
    yield from _wrong_combinations(environment)


def _wrong_values(part: Any, path: str) -> Iterator[str]:
    for each in dataclasses.fields(part):
        value, name = getattr(part, each.name), path + each.name
        if isinstance(value, Rules):
            for rule, (low, high) in _RULES.items():
                yield from _out_of_bounds(f"{name}.{rule}", getattr(value, rule), low, high)
        elif dataclasses.is_dataclass(value):
            yield from _wrong_values(value, f"{name}.")
        elif isinstance(value, dict):
            for key, throttle in value.items():
                yield from _wrong_values(throttle, f"{name}[{key}].")
        elif bounds := each.metadata.get("between"):
            yield from _out_of_bounds(name, value, *bounds)
        elif isinstance(each.default, tuple) and not isinstance(value, tuple):
            yield f"{name} must be a tuple of texts, is {value!r}"
        elif pattern := each.metadata.get("matching"):
            for text in (value,) if isinstance(value, str) else value or ():
                if not re.fullmatch(pattern, text):
                    yield f"{name} must match {pattern}, is {text!r}"


_RULES: Final = {
    # API Gateway closes a socket that is silent for 10 minutes.
    "ping_interval": (5, 540),
    "ping_grace": (0, 600),
    "virtual_lease": (60, 30 * DAY),
    "attention_grace": (0, DAY),
    "max_real_connections": (1, 500),
}
"""The smallest and the largest value of each of `Rules`."""


def _out_of_bounds(name: str, value: int | None, low: int, high: int) -> Iterator[str]:
    if value is not None and not low <= value <= high:
        yield f"{name} must be {low} to {high}, is {value!r}"


# https://docs.aws.amazon.com/lambda/latest/dg/snapstart.html
_WITHOUT_SNAP_START: Final = {"ap-east-2", "ap-southeast-6"}


def _wrong_combinations(environment: Environment) -> Iterator[str]:
    rules, cleanup, on_call = environment.rules, environment.cleanup, environment.on_call
    if environment.region is not None and environment.region not in _regions():
        yield (
            "region must be a region of AWS that boto3 knows, like eu-central-1,"
            f" is {environment.region!r}"
        )
    if environment.log_retention_days not in LOG_RETENTIONS:
        yield (
            f"log_retention_days must be one of {', '.join(map(str, LOG_RETENTIONS))},"
            f" is {environment.log_retention_days!r}"
        )
    if environment.snap_start and environment.region in _WITHOUT_SNAP_START:
        yield f"snap_start must be False in {environment.region}, which lacks SnapStart"
    if cleanup.interval % 60:
        yield f"cleanup.interval must be whole minutes, is {cleanup.interval!r} s"
    if environment.canary is not None and environment.canary.interval % 60:
        yield f"canary.interval must be whole minutes, is {environment.canary.interval!r} s"
    # The cleanup looks at each business once per interval. With a shorter grace it would page for
    # a business that was in trouble for a moment only.
    if (on_call.required or on_call.is_named) and rules.attention_grace < cleanup.interval:
        yield (
            f"rules.attention_grace must be at least cleanup.interval ({cleanup.interval} s) where"
            f" somebody is paged, is {rules.attention_grace!r}"
        )
    for name, sustained in (
        ("alarms.businesses", environment.alarms.businesses),
        ("alarms.service", environment.alarms.service),
    ):
        yield from _out_of_bounds(f"{name}.datapoints", sustained.datapoints, 1, sustained.periods)
    if environment.domains is not None:
        yield from _wrong_domains(environment, environment.domains)
    if environment.oidc is not None:
        yield from _businesses_taken_for_roles(environment.oidc)


def _wrong_domains(environment: Environment, domains: Domains) -> Iterator[str]:
    place = f"arn:aws:acm:{environment.region or '[^:]+'}:{environment.account or '[^:]+'}:.+"
    for api, domain in (("rest", domains.rest), ("websocket", domains.websocket)):
        if not re.fullmatch(place, domain.certificate_arn):
            yield (
                f"domains.{api}.certificate_arn must be in the environment's account and region,"
                f" is {domain.certificate_arn!r}"
            )
    if domains.rest.name == domains.websocket.name:
        yield (
            f"domains.websocket.name must differ from that of rest, is {domains.websocket.name!r}"
        )


def _businesses_taken_for_roles(oidc: Oidc) -> Iterator[str]:
    """If one claim holds both, a member of a business called "operator" would get that role."""
    prefix = oidc.business_prefix
    if oidc.businesses_claim == oidc.roles_claim and any(role.startswith(prefix) for role in Role):
        yield (
            f"oidc.business_prefix must be a text that no role ({', '.join(Role)}) begins with, for"
            f" example 'business:', is {prefix!r}: one claim ({oidc.roles_claim}) holds both"
            " businesses and roles"
        )


@cache
def _regions() -> frozenset[str]:
    """The regions of the partition `aws`. The addresses that we make are right only for these."""
    session = botocore.session.get_session()
    return frozenset(session.get_available_regions("lambda", partition_name="aws"))
