"""The environments that this application is deployed to. The one file that a team edits.

Durations are seconds unless a field says otherwise.

One that trusts the team's own issuer of access tokens, and so brings no user pool, and whose REST
API the pages of one web application may call::

    PROD = Environment(
        name="prod",
        oidc=Oidc(
            issuer="https://id.example.com/",
            audience="business-connections",
            jwks_url="https://id.example.com/.well-known/jwks.json",
            businesses_claim="https://example.com/businesses",
        ),
        cors_origins=("https://app.example.com",),
    )
"""

import re
from dataclasses import dataclass, field
from functools import cache
from typing import Final

from aws_cdk.aws_logs import RetentionDays
from aws_cdk.region_info import RegionInfo

from lambdas.domain.authorization import Role

DAY: Final = 86_400
HOUR: Final = 3_600

MAX_CLEANUP_WORKERS: Final = 3
"""All workers start within the same minute, and each may write 300 attention marks a second to an
index whose keys take 1,000. Nor does an alarm take more than ten metrics, and the one on a share
needs two of each worker."""


@dataclass(frozen=True)
class Oidc:
    """The issuer whose access tokens are accepted, and the claims that say who somebody is.

    `issuer` is compared with the claim `iss` as it is: a slash at its end counts. `business_prefix`
    is what precedes a business id in the businesses claim. Issuers that put businesses and roles
    into one list of groups need one to tell them apart. How many businesses one token can name is
    limited: see docs/protocol.md.
    """

    issuer: str
    audience: str
    jwks_url: str
    user_claim: str = "sub"
    businesses_claim: str = "businesses"
    roles_claim: str = "roles"
    business_prefix: str = ""


@dataclass(frozen=True)
class Endpoints:
    """Where the APIs and the user pool's keys are reached, as patterns.

    Known placeholders: `{api_id}`, `{region}` and `{stage}`; `{pool_id}` and `{region}` in `jwks`.
    """

    rest: str = "https://{api_id}.execute-api.{region}.amazonaws.com/{stage}"
    websocket: str = "wss://{api_id}.execute-api.{region}.amazonaws.com/{stage}"
    websocket_management: str = "https://{api_id}.execute-api.{region}.amazonaws.com/{stage}"
    jwks: str = "https://cognito-idp.{region}.amazonaws.com/{pool_id}/.well-known/jwks.json"

    @classmethod
    def on_one_host(cls, url: str) -> "Endpoints":
        """Return the endpoints of an AWS emulator that serves everything at `url`."""
        host = url.removeprefix("http://")
        return cls(
            rest=f"http://{host}/_aws/execute-api/{{api_id}}/{{stage}}",
            websocket=f"ws://{host}/_aws/execute-api/{{api_id}}/{{stage}}",
            websocket_management=f"http://{host}/_aws/execute-api/{{api_id}}/{{stage}}",
            jwks=f"http://{host}/{{pool_id}}/.well-known/jwks.json",
        )


@dataclass(frozen=True)
class Throttle:
    """How many requests per second an API lets through, and how many at once.

    API Gateway counts each method of the REST API and each route of the WebSocket API separately.
    All APIs of an account and region share 10,000 per second (2,500 in some regions) by default.
    https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-request-throttling.html
    """

    rate: int
    burst: int


@dataclass(frozen=True)
class RouteThrottle(Throttle):
    """What one route lets through, less than its API does.

    `route` is a method and path of the REST API (`POST /businesses/{businessId}/messages`) or a
    route key of the WebSocket API (`$connect`).
    """

    route: str


ROUTE_THROTTLES: Final = (
    # Open to anybody.
    RouteThrottle(route="GET /health", rate=10, burst=20),
    # One request reads up to 100 businesses, and anybody with a valid token may send it.
    RouteThrottle(route="POST /businesses/online", rate=100, burst=200),
    # An account opens 500 sockets per second by default, shared by all its environments.
    RouteThrottle(route="$connect", rate=400, burst=400),
)
"""Applied in every environment that sets no throttle of its own for the route."""


@dataclass(frozen=True)
class Concurrency:
    """How many calls of a function can run at once; that much capacity is also reserved for it.

    Each unit serves at most 10 requests per second, however short they are. A function without a
    number shares what the account has left, which must be at least 100. The cleanup always has one
    more than it has workers, so that a person can start one in between.
    https://docs.aws.amazon.com/lambda/latest/dg/lambda-concurrency.html
    """

    authorizer: int | None = None
    connect: int | None = None
    disconnect: int | None = None
    ping: int | None = None
    status: int | None = None
    default_route: int | None = None
    rest: int | None = None


@dataclass(frozen=True)
class TableThroughput:
    """The most that the table, and each of its indexes, serves, in request units per second.

    DynamoDB throttles what exceeds it, on a best-effort basis: short bursts may pass.
    https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/on-demand-capacity-mode-max-throughput.html
    """

    read: int
    write: int


@dataclass(frozen=True)
class Domain:
    """A name of one's own for an API, and its ACM certificate in the region of the environment."""

    name: str
    certificate_arn: str


@dataclass(frozen=True)
class Domains:
    """The names of both APIs. They must differ: API Gateway mixes no kinds under one name."""

    rest: Domain
    websocket: Domain


@dataclass(frozen=True)
class Environment:
    """One deployment of the whole system. Raises ValueError, naming the field that cannot work."""

    name: str
    """Names the CDK stage, the stacks, and the dimension of the metrics."""
    account: str | None = None
    """Without one, the account of the current credentials."""
    region: str | None = None
    """Without one, the region of the current credentials."""

    keep_data: bool = True
    """Whether the table, the users and the logs outlive their stack."""
    log_retention: RetentionDays = RetentionDays.ONE_MONTH
    log_level: str = "INFO"

    customer_managed_key: bool = False
    """Whether a KMS key of one's own, which is paid for, encrypts what is kept. AWS's do else."""
    concurrency: Concurrency | None = None
    """Without one, no function is bounded: a new account has too little to set any aside."""
    web_acl_rate: int | None = None
    """Give the REST API a web ACL (costs extra): AWS's managed rules, and at most this many
    requests from one address in 5 minutes. A back end, or a shop behind NAT, is one address.
    """
    table_throughput: TableThroughput | None = None
    """Limits what the table can cost. Without it, only the account's quota does (40,000 units)."""
    domains: Domains | None = None
    """Without one, the APIs are reached at the addresses that API Gateway gives them."""

    oidc: Oidc | None = None
    """Without one, the data stack brings a Cognito user pool."""
    signing_keys_generation: int = 1
    """Raise this and deploy to make the authorizer forget the signing keys that it has cached.
    Otherwise a key is trusted for up to 15 minutes after the issuer withdrew it.
    """

    cors_origins: tuple[str, ...] = ()
    """Whose pages may call the REST API from a browser; without any, none may.

    With several, a page cannot read what API Gateway answers by itself (401, 404, 413, 429, ...):
    those headers are fixed, and can name one origin only.
    """

    ping_interval: int = 300
    """Clients send a ping at least this often. Each ping costs: this is the dial of the bill."""
    ping_grace: int = 60
    """A real connection stays active for two ping intervals and this grace."""
    virtual_lease: int = 12 * HOUR
    """How long a virtual connection holds without being renewed."""
    max_real_connections: int = 50
    """Real connections of one business; one more is refused."""
    attention_grace: int = 300
    """How long a business may be without a real connection before somebody is told."""

    cleanup_interval: int = 5
    """Minutes between two cleanup runs."""
    cleanup_workers: int = 1
    """How many share the table in each run. Change it as planned work: new workers have no past."""

    virtual_only_threshold: int = 1
    """The number of businesses without a real connection that pages ..."""
    virtual_only_datapoints: int = 2
    """... when as many census counts as this reach it ..."""
    virtual_only_periods: int = 3
    """... out of this many in a row. The two hold for the next two alarms as well."""
    virtual_only_percent: int = 5
    """The share of online businesses without a real connection that pages, however few they are."""
    unreachable_threshold: int = 1
    """The number of businesses without any connection that pages."""
    mass_disconnect_percent: int = 30
    """The share of real connections that is lost from one census to the next, and pages ..."""
    mass_disconnect_minimum: int = 20
    """... if they are at least so many: the last few devices of an evening are no incident."""

    impaired_datapoints: int = 2
    """What is wrong with the service itself counts when as many periods as this show it ..."""
    impaired_periods: int = 3
    """... out of this many in a row."""
    errors_percent: int = 5
    """The share of calls that fail: of one function, of the REST API, of the WebSocket API ..."""
    errors_minimum: int = 5
    """... if they are at least so many in a period."""
    throttles_threshold: int = 5
    """Throttled calls in a period: of one function, or of the table and its indexes."""
    probes_unknown_threshold: int = 5
    """Sockets of which one cleanup run could not learn whether they are open."""
    duration_percent: int = 80
    """The share of a function's timeout that a call may take before it is worth a ticket."""
    rest_latency: int = 3_000
    """Milliseconds that all but one in a hundred requests must be answered in."""
    new_connections_per_second: int = 300
    """Worth a ticket: by default an account may open 500 sockets a second."""

    pages: bool = False
    """Whether somebody must be paged. If so, it cannot be deployed before it says whom."""
    page_emails: tuple[str, ...] = ()
    """Told of what somebody must act on now. Each address has to confirm once."""
    page_urls: tuple[str, ...] = ()
    """The same for HTTPS endpoints that speak SNS, as those of PagerDuty and Opsgenie do."""
    ticket_emails: tuple[str, ...] = ()
    """Told of what can wait until the morning."""
    ticket_urls: tuple[str, ...] = ()
    runbook_url: str | None = None
    """Where docs/runbook.md is read, for the links of the dashboard."""

    rest_throttle: Throttle = Throttle(rate=1_000, burst=2_000)
    websocket_throttle: Throttle = Throttle(rate=4_000, burst=4_000)
    route_throttles: tuple[RouteThrottle, ...] = ()
    """Routes with lower limits than their API, in addition to `ROUTE_THROTTLES`."""

    endpoints: Endpoints = field(default_factory=Endpoints)
    route_responses: bool = True
    """Whether the WebSocket routes declare the response that API Gateway needs to answer."""
    dependencies_in_bundle: bool = True
    """Whether the functions bring their dependencies, or find them where they run."""
    metric_math_alarms: bool = True
    """Whether there are alarms on several metrics at once."""
    gradual_deployments: bool = False
    """Whether a new version gets a tenth of the traffic at first, and goes if it fails."""
    composite_alarms: bool = True
    """Whether what is wrong with the service pages as one alarm, or each thing by itself."""

    def __post_init__(self) -> None:
        self._require_match("name", self.name, r"[a-z][a-z0-9-]{0,15}")
        self._require_match("account", self.account, r"\d{12}")
        if self.region is not None and self.region not in _regions():
            raise ValueError(
                f"environment {self.name!r}: region must be a region of AWS that the CDK knows,"
                f" like eu-central-1, is {self.region!r}"
            )
        self._require_match("log_level", self.log_level, r"DEBUG|INFO|WARNING|ERROR")
        # API Gateway closes a socket that is silent for 10 minutes.
        self._require_between("ping_interval", self.ping_interval, 5, 540)
        self._require_between("ping_grace", self.ping_grace, 0, 600)
        self._require_between("virtual_lease", self.virtual_lease, 60, 30 * DAY)
        self._require_between("max_real_connections", self.max_real_connections, 1, 500)
        self._require_between("attention_grace", self.attention_grace, 0, DAY)
        # An alarm looks back over at most one day: its periods are multiples of this interval.
        self._require_between("cleanup_interval", self.cleanup_interval, 1, 60)
        # A business is looked at once per interval: told after a grace that is shorter, it may have
        # been in trouble for a moment only. Where nobody is paged, that is a matter of taste.
        if self._pages_somebody and self.attention_grace < self.cleanup_interval * 60:
            raise ValueError(
                f"environment {self.name!r}: attention_grace must be at least cleanup_interval"
                f" ({self.cleanup_interval * 60} s) where somebody is paged,"
                f" is {self.attention_grace!r}"
            )
        # Adding the workers up needs metric math.
        most_workers = MAX_CLEANUP_WORKERS if self.metric_math_alarms else 1
        self._require_between("cleanup_workers", self.cleanup_workers, 1, most_workers)
        self._require_between("virtual_only_threshold", self.virtual_only_threshold, 1, 1_000_000)
        self._require_between("virtual_only_periods", self.virtual_only_periods, 1, 24)
        self._require_between(
            "virtual_only_datapoints", self.virtual_only_datapoints, 1, self.virtual_only_periods
        )
        for origin in self.cors_origins:
            # As a browser sends it: without a path, in small letters.
            self._require_match(
                "cors_origins", origin, r"https://[a-z0-9.-]+(:\d{1,5})?|http://localhost:\d{1,5}"
            )
        for name, low, high in _LIMITS:
            self._require_between(name, getattr(self, name), low, high)
        self._require_between(
            "impaired_datapoints", self.impaired_datapoints, 1, self.impaired_periods
        )
        for severity in ("page", "ticket"):
            for address in getattr(self, f"{severity}_emails"):
                self._require_match(f"{severity}_emails", address, r"[^@\s]+@[^@\s]+")
            for url in getattr(self, f"{severity}_urls"):
                self._require_match(f"{severity}_urls", url, r"https://\S+")
        self._require_match("runbook_url", self.runbook_url, r"https://\S+")
        for name, throttle in (
            ("rest_throttle", self.rest_throttle),
            ("websocket_throttle", self.websocket_throttle),
        ):
            self._require_between(f"{name}.rate", throttle.rate, 1, 1_000_000)
            self._require_between(f"{name}.burst", throttle.burst, 1, 1_000_000)
        for throttle in self.route_throttles:
            name = f"route_throttles[{throttle.route}]"
            self._require_match(
                "route_throttles.route", throttle.route, r"[A-Z]+ /\S*|\$connect|\$default|[a-z]+"
            )
            self._require_between(f"{name}.rate", throttle.rate, 1, 1_000_000)
            self._require_between(f"{name}.burst", throttle.burst, 1, 1_000_000)
        for name, units in vars(self.table_throughput or TableThroughput(1, 1)).items():
            self._require_between(f"table_throughput.{name}", units, 1, 1_000_000)
        if self.web_acl_rate is not None:
            self._require_between("web_acl_rate", self.web_acl_rate, 10, 2_000_000_000)
        for name, bound in vars(self.concurrency or Concurrency()).items():
            if bound is not None:
                self._require_between(f"concurrency.{name}", bound, 1, 100_000)
        if self.domains is not None:
            self._require_domains(self.domains)
        if self.oidc is not None:
            self._require_match("oidc.issuer", self.oidc.issuer, r"https://\S+")
            self._require_match("oidc.jwks_url", self.oidc.jwks_url, r"https://\S+")
            for name in ("audience", "user_claim", "businesses_claim", "roles_claim"):
                self._require_match(f"oidc.{name}", getattr(self.oidc, name), r"\S+")
            self._require_match("oidc.business_prefix", self.oidc.business_prefix, r"\S*")
            self._require_businesses_that_are_no_roles(self.oidc)

    @property
    def _pages_somebody(self) -> bool:
        return self.pages or bool(self.page_emails or self.page_urls)

    @property
    def effective_route_throttles(self) -> tuple[RouteThrottle, ...]:
        """`route_throttles`, and those of `ROUTE_THROTTLES` that they do not replace."""
        throttles = {each.route: each for each in (*ROUTE_THROTTLES, *self.route_throttles)}
        return tuple(throttles.values())

    @property
    def undeployable(self) -> str | None:
        """Why this environment cannot be deployed as it is, though it can be synthesized."""
        if self.pages and not (self.page_emails or self.page_urls):
            return (
                f"environment {self.name!r}: page_emails or page_urls must name somebody, because"
                " pages is True: set one of them in infra/environments.py, or nobody is woken"
            )
        return None

    def _require_domains(self, domains: Domains) -> None:
        region = self.region or "[a-z0-9-]+"
        for api, domain in (("rest", domains.rest), ("websocket", domains.websocket)):
            self._require_match(
                f"domains.{api}.name", domain.name, r"[a-z0-9]([a-z0-9-]*\.)+[a-z0-9-]+"
            )
            self._require_match(
                f"domains.{api}.certificate_arn",
                domain.certificate_arn,
                rf"arn:aws:acm:{region}:{self.account or '[0-9]+'}:certificate/[a-f0-9-]+",
            )
        if domains.rest.name == domains.websocket.name:
            raise ValueError(
                f"environment {self.name!r}: domains.websocket.name must differ from that of rest,"
                f" is {domains.websocket.name!r}"
            )

    def _require_businesses_that_are_no_roles(self, oidc: Oidc) -> None:
        """If both are in one list, a member of a business called "operator" would become an
        operator.
        """
        prefix = oidc.business_prefix
        if oidc.businesses_claim == oidc.roles_claim and any(r.startswith(prefix) for r in Role):
            raise ValueError(
                f"environment {self.name!r}: oidc.business_prefix must be a text that no role"
                f" ({', '.join(Role)}) begins with, for example 'business:', is {prefix!r}:"
                f" one claim ({oidc.roles_claim}) holds both businesses and roles"
            )

    def _require_match(self, field_name: str, value: str | None, pattern: str) -> None:
        if value is not None and not re.fullmatch(pattern, value):
            raise ValueError(
                f"environment {self.name!r}: {field_name} must match {pattern}, is {value!r}"
            )

    def _require_between(self, field_name: str, value: int, low: int, high: int) -> None:
        if not low <= value <= high:
            raise ValueError(
                f"environment {self.name!r}: {field_name} must be {low} to {high}, is {value!r}"
            )


@cache
def _regions() -> frozenset[str]:
    """The regions of the partition that the endpoints above belong to."""
    return frozenset(region.name for region in RegionInfo.regions if region.partition == "aws")


_LIMITS: Final = (
    ("virtual_only_percent", 1, 100),
    ("unreachable_threshold", 1, 1_000_000),
    ("mass_disconnect_percent", 1, 100),
    ("mass_disconnect_minimum", 1, 1_000_000),
    ("impaired_periods", 1, 24),
    ("errors_percent", 1, 100),
    ("errors_minimum", 1, 1_000_000),
    ("throttles_threshold", 1, 1_000_000),
    ("probes_unknown_threshold", 1, 1_000_000),
    ("duration_percent", 1, 100),
    # API Gateway waits for 29 seconds.
    ("rest_latency", 1, 29_000),
    ("new_connections_per_second", 1, 1_000_000),
)
"""The smallest and the largest value of thresholds that depend on no other field."""


def local(endpoint: str, *, name: str = "local") -> Environment:
    """Return the environment of a laptop: an AWS emulator at `endpoint`, and a story in minutes."""
    return Environment(
        name=name,
        keep_data=False,
        log_retention=RetentionDays.ONE_DAY,
        ping_interval=10,
        ping_grace=5,
        attention_grace=30,
        cleanup_interval=1,
        virtual_only_datapoints=1,
        virtual_only_periods=1,
        endpoints=Endpoints.on_one_host(endpoint),
        route_responses=False,
        dependencies_in_bundle=False,
        metric_math_alarms=False,
        composite_alarms=False,
    )


DEV: Final = Environment(
    name="dev",
    log_retention=RetentionDays.ONE_WEEK,
    # Leaves most of the account's new sockets to prod.
    route_throttles=(RouteThrottle(route="$connect", rate=50, burst=50),),
)

STAGING: Final = Environment(
    name="staging",
    concurrency=Concurrency(),
    route_throttles=(RouteThrottle(route="$connect", rate=50, burst=50),),
    gradual_deployments=True,
)

PROD: Final = Environment(
    name="prod",
    log_retention=RetentionDays.SIX_MONTHS,
    # 822 with the cleanup, of the 900 that an account with a quota of 1,000 can reserve. No
    # function can take another one's capacity. Each has enough for what the throttles let through
    # (pings 2,000 a second, status 400, $default 200, $connect 400, REST 1,000), so a flood is
    # answered with 429. The authorizer serves both APIs. Rest has twice what it needs, to allow for
    # slow answers. Nothing throttles $disconnect: the cleanup removes what Disconnect could not.
    concurrency=Concurrency(
        authorizer=200,
        connect=60,
        disconnect=100,
        ping=200,
        status=40,
        default_route=20,
        rest=200,
    ),
    # 100 requests per second from one address: enough for a back end that pushes orders.
    web_acl_rate=30_000,
    table_throughput=TableThroughput(read=20_000, write=12_000),
    # Enough for the pings of 600,000 devices.
    websocket_throttle=Throttle(rate=2_000, burst=2_000),
    route_throttles=(
        RouteThrottle(route="status", rate=400, burst=400),
        RouteThrottle(route="$default", rate=200, burst=200),
    ),
    gradual_deployments=True,
    pages=True,
)


def all_environments(*, local_endpoint: str) -> tuple[Environment, ...]:
    """Return every environment, in the order in which a build is promoted."""
    return local(local_endpoint), DEV, STAGING, PROD


def local_environments(*, endpoint: str) -> tuple[Environment, ...]:
    """Return two environments of one emulator, to promote from one to the next on a laptop."""
    return local(endpoint), local(endpoint, name="local-next")
