import json
import textwrap
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import pytest

from infra import environments
from infra.configuration import (
    Canary,
    Cleanup,
    Concurrency,
    Domain,
    Domains,
    Environment,
    Feed,
    Limits,
    Oidc,
    OnCall,
    Sustained,
    TableThroughput,
    Thresholds,
    Throttle,
)
from infra.data.identity_provider import IdentityProvider
from infra.environments import DEV, all_environments
from infra.platform import AWS
from lambdas.domain.rules import Rules
from local.environment import Emulator, local_environment
from tests.infra.synthesis import synthesize
from tests.infra.template import Template

OIDC = Oidc(issuer="https://id.example", audience="orders", jwks_url="https://id.example/keys")

CERTIFICATE = "arn:aws:acm:eu-central-1:123456789012:certificate/0-1"
DOMAINS = Domains(Domain("a.example.com", CERTIFICATE), Domain("b.example.com", CERTIFICATE))


@pytest.mark.parametrize(
    ("field", "changed"),
    [
        ("name", {"name": "Not A Name"}),
        ("account", {"account": "12345"}),
        ("region", {"region": "frankfurt"}),
        ("region", {"region": "eu-central-9"}),
        ("region", {"region": "cn-north-1"}),
        ("rules.ping_interval", {"rules": Rules(ping_interval=0)}),
        ("rules.ping_interval", {"rules": Rules(ping_interval=600)}),
        ("rules.ping_grace", {"rules": Rules(ping_grace=-1)}),
        ("rules.virtual_lease", {"rules": Rules(virtual_lease=0)}),
        ("rules.max_real_connections", {"rules": Rules(max_real_connections=0)}),
        ("rules.attention_grace", {"rules": Rules(attention_grace=-1)}),
        (
            "rules.attention_grace",
            {
                "rules": Rules(attention_grace=299),
                "on_call": OnCall(page_emails=("a@example.com",)),
            },
        ),
        (
            "rules.attention_grace",
            {"rules": Rules(attention_grace=299), "on_call": OnCall(required=True)},
        ),
        (
            "rules.attention_grace",
            {
                "cleanup": Cleanup(interval=360),
                "on_call": OnCall(page_urls=("https://example.com",)),
            },
        ),
        ("cleanup.interval", {"cleanup": Cleanup(interval=0)}),
        ("cleanup.interval", {"cleanup": Cleanup(interval=90)}),
        ("cleanup.workers", {"cleanup": Cleanup(workers=4)}),
        ("feed.history_days", {"feed": Feed(history_days=0)}),
        ("canary.interval", {"canary": Canary(interval=120)}),
        ("canary.interval", {"canary": Canary(interval=3_660)}),
        ("canary.interval", {"canary": Canary(interval=200)}),
        ("feed.history_days", {"feed": Feed(history_days=3_651)}),
        ("log_retention_days", {"log_retention_days": 2}),
        ("alarms.virtual_only", {"alarms": Thresholds(virtual_only=0)}),
        ("alarms.single_business", {"alarms": Thresholds(single_business="somebody")}),
        ("alarms.attention_burst", {"alarms": Thresholds(attention_burst=0)}),
        ("alarms.businesses.datapoints", {"alarms": Thresholds(businesses=Sustained(4, 3))}),
        ("alarms.feed_age", {"alarms": Thresholds(feed_age=0)}),
        ("alarms.service.periods", {"alarms": Thresholds(service=Sustained(1, 25))}),
        ("on_call.page_emails", {"on_call": OnCall(page_emails=("nobody",))}),
        ("on_call.page_urls", {"on_call": OnCall(page_urls=("http://example.com",))}),
        ("limits.rest.rate", {"limits": Limits(rest=Throttle(rate=0, burst=1))}),
        ("limits.websocket.burst", {"limits": Limits(websocket=Throttle(rate=1, burst=0))}),
        (r"limits.routes\[status\].rate", {"limits": Limits(routes={"status": Throttle(0, 1)})}),
        ("cors_origins", {"cors_origins": ("*",)}),
        ("cors_origins", {"cors_origins": ("http://app.example.com",)}),
        ("cors_origins", {"cors_origins": ("https://app.example.com/",)}),
        ("cors_origins", {"cors_origins": ("https://App.example.com",)}),
        ("cors_origins", {"cors_origins": ("https://a.example.com,https://b.example.com",)}),
        ("cors_origins", {"cors_origins": ("http://localhost",)}),
        ("cors_origins", {"cors_origins": "https://app.example.com"}),
        ("limits.web_acl_rate", {"limits": Limits(web_acl_rate=9)}),
        ("limits.table.read", {"limits": Limits(table=TableThroughput(read=0, write=1))}),
        ("limits.table.write", {"limits": Limits(table=TableThroughput(read=1, write=0))}),
        ("limits.concurrency.rest", {"limits": Limits(concurrency=Concurrency(rest=0))}),
        ("domains.rest.name", {"domains": replace(DOMAINS, rest=Domain("Api", CERTIFICATE))}),
        (
            "domains.websocket.certificate_arn",
            {"domains": replace(DOMAINS, websocket=Domain("b.example.com", "arn:nothing"))},
        ),
        (
            "domains.rest.certificate_arn",
            {"domains": DOMAINS, "region": "us-east-1"},
        ),
        ("domains.websocket.name", {"domains": replace(DOMAINS, websocket=DOMAINS.rest)}),
        ("oidc.issuer", {"oidc": replace(OIDC, issuer="http://id.example")}),
        ("oidc.jwks_url", {"oidc": replace(OIDC, jwks_url="file:///keys")}),
        ("oidc.audience", {"oidc": replace(OIDC, audience="")}),
        ("oidc.business_prefix", {"oidc": replace(OIDC, business_prefix="a b")}),
        *(
            (
                "oidc.business_prefix",
                {"oidc": replace(OIDC, businesses_claim="groups", roles_claim="groups", **prefix)},
            )
            # With the prefix "o", a member of the business "perator" would be an operator.
            for prefix in ({}, {"business_prefix": "o"}, {"business_prefix": "backend"})
        ),
    ],
)
def test_a_value_that_cannot_work_is_refused_by_the_name_of_its_field(
    field: str, changed: dict[str, object]
) -> None:
    with pytest.raises(ValueError, match=rf": {field} must "):
        replace(DEV, **changed)  # type: ignore[arg-type]  # the values are wrong on purpose


@pytest.mark.parametrize(
    "oidc",
    [
        OIDC,
        replace(OIDC, business_prefix="o"),
        replace(OIDC, businesses_claim="groups", roles_claim="groups", business_prefix="business:"),
    ],
)
def test_an_issuer_of_its_own_is_accepted(oidc: Oidc) -> None:
    assert replace(DEV, oidc=oidc).oidc == oidc


def test_the_claims_of_the_built_in_user_pool_tell_businesses_from_roles() -> None:
    scope = cdk.Stack(cdk.App(), "Stack")
    provider = IdentityProvider(scope, "Users", keep=False, platform=AWS)
    own = replace(provider.oidc, issuer=OIDC.issuer, jwks_url=OIDC.jwks_url)
    assert own.businesses_claim == own.roles_claim
    assert replace(DEV, oidc=own).oidc == own


@pytest.mark.parametrize(
    "origin", ["https://app.example.com", "https://app.example.com:8443", "http://localhost:5173"]
)
def test_the_origin_of_a_web_page_is_accepted(origin: str) -> None:
    assert replace(DEV, cors_origins=(origin,)).cors_origins == (origin,)


def test_the_example_in_the_docstring_works() -> None:
    _, _, example = (environments.__doc__ or "").partition("::\n")
    names = {**vars(environments), "Oidc": Oidc}
    exec(textwrap.dedent(example), names)  # our own text
    assert names["PROD"] is not environments.PROD
    assert names["PROD"].oidc.issuer == "https://id.example.com/"


def test_the_grace_may_be_short_where_nobody_is_paged() -> None:
    environment = local_environment()
    assert not environment.on_call.required
    assert environment.rules.attention_grace < environment.cleanup.interval


def test_an_environment_that_must_page_somebody_cannot_be_deployed_until_it_says_whom_and_where(
    tmp_path: Path, source: Path, every_option: dict[str, Template]
) -> None:
    """It can be synthesized, because a synthesis makes all environments."""
    nobody = replace(DEV, name="nobody", on_call=OnCall(required=True))
    stacks = synthesize(tmp_path, source, [nobody])["nobody"]
    errors = _errors(stacks["Data"].assembly)
    assert len(errors) == 3, "one for each stack"
    for error in errors:
        assert error == nobody.undeployable
        assert error.startswith(
            "environment 'nobody' in infra/environments.py: on_call.page_emails"
        )
        assert "on_call.page_emails or on_call.page_urls must name somebody" in error
        assert "account must be the 12 digits of an AWS account where somebody is paged" in error
        assert "region must be a region, like 'eu-central-1', where somebody is paged" in error
    assert _errors(every_option["Data"].assembly) == []


@pytest.mark.parametrize(
    ("changes", "missing"),
    [
        ({}, []),
        ({"on_call": OnCall(ticket_emails=("a@example.com",))}, []),
        ({"on_call": OnCall(page_emails=("a@example.com",))}, ["account", "region"]),
        (
            {"on_call": OnCall(page_urls=("https://example.com",)), "account": "123456789012"},
            ["region"],
        ),
        (
            {
                "on_call": OnCall(required=True),
                "account": "123456789012",
                "region": "eu-central-1",
            },
            ["on_call.page_emails or on_call.page_urls"],
        ),
    ],
)
def test_what_an_environment_lacks_to_be_deployed_is_named_at_once(
    changes: dict[str, Any], missing: list[str]
) -> None:
    told = replace(DEV, **changes).undeployable or ""
    assert [
        each.partition(" must ")[0] for each in told.partition(": ")[2].split("; ") if each
    ] == (missing)


def _errors(folder: Path) -> list[str]:
    """What makes the CDK CLI refuse to deploy the stacks of an environment."""
    manifest = json.loads((folder / "manifest.json").read_text())
    metadata = [
        entries
        for artifact in manifest["artifacts"].values()
        for entries in (
            artifact.get("metadata")
            or json.loads((folder / artifact.get("additionalMetadataFile", "none")).read_text())
            if artifact["type"] == "aws:cloudformation:stack"
            else {}
        ).values()
    ]
    return [
        entry["data"]
        for entries in metadata
        for entry in entries
        if entry["type"] == "aws:cdk:error"
    ]


def test_what_only_prod_has_is_rehearsed_nowhere_and_so_needs_a_reason() -> None:
    """AWS refuses some values that no linter knows. Staging finds out, if it has them."""
    *earlier, prod = (_options(each) for each in all_environments())
    defaults = _options(Environment(name="default"))
    unrehearsed = {
        option
        for option, value in prod.items()
        if option != "name"
        and value != defaults.get(option)
        # Texts name things that differ, such as addresses: it is enough that there is one.
        and not any(
            each.get(option) == value
            or (isinstance(value, str | tuple) and each.get(option) != defaults.get(option))
            for each in earlier
        )
    }
    reasons = environments.ONLY_IN_PROD
    without_reason = {
        o for o in unrehearsed if not any(f"{o}.".startswith(f"{r}.") for r in reasons)
    }
    assert without_reason == set(), (
        "set these options of prod in an earlier environment too, or add a reason to ONLY_IN_PROD"
        " in infra/environments.py"
    )
    for reason in reasons:
        assert any(f"{option}.".startswith(f"{reason}.") for option in unrehearsed), (
            f"{reason} is not only in prod: remove it from ONLY_IN_PROD in infra/environments.py"
        )


def _options(part: Any, path: str = "") -> dict[str, object]:
    """All options by their paths. An optional part counts as an option too."""
    found: dict[str, object] = {}
    values = (
        part if isinstance(part, dict) else {f.name: getattr(part, f.name) for f in fields(part)}
    )
    for name, value in values.items():
        found[path + name] = value
        if is_dataclass(value) or isinstance(value, dict):
            found[path + name] = True
            found |= _options(value, f"{path}{name}.")
    return found


def test_every_environment_on_aws_keeps_its_data() -> None:
    for environment in all_environments():
        assert environment.keep_data, environment.name


def test_an_emulator_serves_everything_at_one_url() -> None:
    emulator, region = Emulator("http://127.0.0.1:4711"), "eu-west-1"
    assert emulator.api_url(region, "a1", "v1") == "http://127.0.0.1:4711/_aws/execute-api/a1/v1"
    assert emulator.websocket_url(region, "a1", "v1") == (
        "ws://127.0.0.1:4711/_aws/execute-api/a1/v1"
    )
    keys = emulator.signing_keys_url(region, "p1")
    assert keys == "http://127.0.0.1:4711/p1/.well-known/jwks.json"


def test_a_limit_of_a_route_replaces_its_default() -> None:
    health = Throttle(rate=1, burst=1)
    routes = Limits(routes={"GET /health": health, "status": health}).all_routes
    assert routes["GET /health"] == routes["status"] == health
    assert routes["POST /businesses/online"].rate == 100


def test_an_environment_cannot_be_changed_once_it_is_checked() -> None:
    with pytest.raises(AttributeError):
        Environment(name="dev").region = "nowhere"  # type: ignore[misc]  # it raises
