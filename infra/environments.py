"""The environments that this application is deployed to. The one file that a team edits.

`infra.configuration` says what can be set. Durations are seconds.

This one accepts the access tokens of the team's own issuer, so it needs no user pool, and lets the
pages of one web application call its REST API::

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

from typing import Final

from infra.configuration import (
    Canary,
    Concurrency,
    Environment,
    Limits,
    OnCall,
    TableThroughput,
    Thresholds,
    Throttle,
)

# Leaves most of the account's new sockets to prod.
_FEW_NEW_SOCKETS: Final = {"$connect": Throttle(50, 50)}

DEV: Final = Environment(
    name="dev",
    log_retention_days=7,
    limits=Limits(routes=_FEW_NEW_SOCKETS),
)

# For about 1,000 businesses, of which ten at most usually need attention.
# docs/deploying.md says how to choose these numbers.
_THRESHOLDS: Final = Thresholds(
    single_business="ticket",
    attention_burst=10,
    virtual_only=20,
    unreachable=20,
    attention_minimum=10,
)

# Enough for the pings of 600,000 devices.
_WEBSOCKET: Final = Throttle(2_000, 2_000)
_MESSAGES: Final = {"status": Throttle(400, 400), "$default": Throttle(200, 200)}

# 100 requests per second from one address: enough for a back end that pushes orders.
_WEB_ACL_RATE: Final = 30_000

_TABLE: Final = TableThroughput(read=22_000, write=16_000)

# What prod runs, except for ONLY_IN_PROD: AWS refuses some values that nothing else checks.
STAGING: Final = Environment(
    name="staging",
    gradual_deployments=True,
    snap_start=True,
    canary=Canary(),
    alarms=_THRESHOLDS,
    limits=Limits(
        websocket=_WEBSOCKET,
        routes={**_MESSAGES, **_FEW_NEW_SOCKETS},
        web_acl_rate=_WEB_ACL_RATE,
        concurrency=Concurrency(),
        table=_TABLE,
    ),
)

ONLY_IN_PROD: Final = {
    "log_retention_days": (
        "Logs of staging are needed until its next release, and each GB is paid for."
    ),
    "on_call": "Nobody is woken for staging. Name somebody there once to try the way to on-call.",
    "limits.concurrency": (
        "Prod reserves most of an account. Staging may share that account or have a small one, so"
        " it reserves capacity for its cleanup only."
    ),
}
"""Options that prod has and no environment before it, and why. A test compares it with what is
set.
"""

PROD: Final = Environment(
    name="prod",
    log_retention_days=180,
    gradual_deployments=True,
    snap_start=True,
    # It cannot be deployed before it says who is paged (page_emails or page_urls), and has its
    # account and region.
    on_call=OnCall(required=True),
    canary=Canary(),
    alarms=_THRESHOLDS,
    limits=Limits(
        websocket=_WEBSOCKET,
        routes=_MESSAGES,
        web_acl_rate=_WEB_ACL_RATE,
        # 822 with the cleanup, of the 900 that an account with a quota of 1,000 can reserve. No
        # function can take another one's capacity. Each has enough for what the throttles let
        # through (pings 2,000 a second, status 400, $default 200, $connect 400, REST 1,000), so a
        # flood is answered with 429. The authorizer serves both APIs. Rest has twice what it needs,
        # to allow for slow answers. Nothing throttles $disconnect: the cleanup removes what it
        # could not. The two functions of the change feed share what is not reserved: each runs once
        # per shard of its stream, which waits for it. So does the canary, which runs once.
        concurrency=Concurrency(
            authorizer=200,
            connect=60,
            disconnect=100,
            ping=200,
            status=40,
            default_route=20,
            rest=200,
        ),
        table=_TABLE,
    ),
)


def all_environments() -> tuple[Environment, ...]:
    """Every environment, in the order in which a build is promoted."""
    return DEV, STAGING, PROD
