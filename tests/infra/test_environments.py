import json
import textwrap
from dataclasses import replace
from pathlib import Path

import aws_cdk as cdk
import pytest

from infra import environments
from infra.data.identity_provider import IdentityProvider
from infra.environments import (
    DEV,
    PROD,
    Concurrency,
    Domain,
    Domains,
    Endpoints,
    Environment,
    Oidc,
    RouteThrottle,
    TableThroughput,
    Throttle,
    all_environments,
    local,
)
from tests.infra.synthesis import synthesize

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
        ("log_level", {"log_level": "LOUD"}),
        ("ping_interval", {"ping_interval": 0}),
        ("ping_interval", {"ping_interval": 600}),
        ("ping_grace", {"ping_grace": -1}),
        ("virtual_lease", {"virtual_lease": 0}),
        ("max_real_connections", {"max_real_connections": 0}),
        ("attention_grace", {"attention_grace": -1}),
        ("attention_grace", {"attention_grace": 299, "page_emails": ("a@example.com",)}),
        ("attention_grace", {"attention_grace": 299, "pages": True}),
        ("attention_grace", {"cleanup_interval": 6, "page_urls": ("https://example.com",)}),
        ("cleanup_interval", {"cleanup_interval": 0}),
        ("virtual_only_threshold", {"virtual_only_threshold": 0}),
        ("virtual_only_datapoints", {"virtual_only_datapoints": 4, "virtual_only_periods": 3}),
        ("page_emails", {"page_emails": ("nobody",)}),
        ("page_urls", {"page_urls": ("http://example.com",)}),
        ("rest_throttle.rate", {"rest_throttle": Throttle(rate=0, burst=1)}),
        ("websocket_throttle.burst", {"websocket_throttle": Throttle(rate=1, burst=0)}),
        ("cors_origins", {"cors_origins": ("*",)}),
        ("cors_origins", {"cors_origins": ("http://app.example.com",)}),
        ("cors_origins", {"cors_origins": ("https://app.example.com/",)}),
        ("cors_origins", {"cors_origins": ("https://App.example.com",)}),
        ("cors_origins", {"cors_origins": ("https://a.example.com,https://b.example.com",)}),
        ("cors_origins", {"cors_origins": ("http://localhost",)}),
        ("cors_origins", {"cors_origins": "https://app.example.com"}),
        ("web_acl_rate", {"web_acl_rate": 9}),
        ("table_throughput.read", {"table_throughput": TableThroughput(read=0, write=1)}),
        ("table_throughput.write", {"table_throughput": TableThroughput(read=1, write=0)}),
        ("concurrency.rest", {"concurrency": Concurrency(rest=0)}),
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
            # A member of the business "perator" would be in the group "operator".
            for prefix in ({}, {"business_prefix": "o"}, {"business_prefix": "backend"})
        ),
    ],
)
def test_a_value_that_cannot_work_is_refused_and_its_field_is_named(
    field: str, changed: dict[str, object]
) -> None:
    with pytest.raises(ValueError, match=rf": {field} must "):
        replace(DEV, **changed)  # type: ignore[arg-type]  # wrong values are what this is about


@pytest.mark.parametrize(
    "oidc",
    [
        OIDC,
        replace(OIDC, business_prefix="o"),
        replace(OIDC, businesses_claim="groups", roles_claim="groups", business_prefix="business:"),
    ],
)
def test_an_own_issuer_is_accepted(oidc: Oidc) -> None:
    assert replace(DEV, oidc=oidc).oidc == oidc


def test_the_user_pool_that_is_brought_along_tells_businesses_from_roles() -> None:
    scope = cdk.Stack(cdk.App(), "Stack")
    provider = IdentityProvider(scope, "Users", keep=False, endpoints=Endpoints())
    own = replace(provider.oidc, issuer=OIDC.issuer, jwks_url=OIDC.jwks_url)
    assert own.businesses_claim == own.roles_claim
    assert replace(DEV, oidc=own).oidc == own


@pytest.mark.parametrize(
    "origin", ["https://app.example.com", "https://app.example.com:8443", "http://localhost:5173"]
)
def test_the_origin_of_a_page_is_accepted(origin: str) -> None:
    assert replace(DEV, cors_origins=(origin,)).cors_origins == (origin,)


def test_the_documented_example_is_an_environment_with_an_own_issuer() -> None:
    _, _, example = (environments.__doc__ or "").partition("::\n")
    names = dict(vars(environments))
    exec(textwrap.dedent(example), names)  # the text is ours
    assert names["PROD"] is not environments.PROD
    assert names["PROD"].oidc.issuer == "https://id.example.com/"


def test_where_nobody_is_paged_a_grace_may_be_short() -> None:
    environment = local("http://127.0.0.1:1")
    assert not environment.pages
    assert environment.attention_grace < environment.cleanup_interval * 60


def test_prod_cannot_be_deployed_before_it_says_whom_it_pages(tmp_path: Path, source: Path) -> None:
    """It can be synthesized, or nobody could deploy anything else before that."""
    told = replace(PROD, name="told", page_urls=("https://events.example.com",))
    synthesize(tmp_path, source, [PROD, DEV, told])
    assert _errors(tmp_path, "dev") == _errors(tmp_path, "told") == []
    errors = _errors(tmp_path, "prod")
    assert len(errors) == 3  # one of each stack, whichever is asked for
    assert all("environment 'prod': page_emails or page_urls must" in error for error in errors)


def _errors(assembly: Path, stage: str) -> list[str]:
    """Return what makes the CDK CLI refuse the stacks of a stage."""
    folder = assembly / f"assembly-{stage}"
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


def test_environments_are_in_the_order_of_promotion() -> None:
    names = [each.name for each in all_environments(local_endpoint="http://127.0.0.1:1")]
    assert names == ["local", "dev", "staging", "prod"]


def test_deployed_environments_differ_from_local_in_all_that_only_an_emulator_needs() -> None:
    for environment in all_environments(local_endpoint="http://127.0.0.1:1"):
        emulated = environment.name == "local"
        assert (environment.endpoints == Endpoints()) is not emulated
        assert environment.route_responses is not emulated
        assert environment.dependencies_in_bundle is not emulated
        assert environment.keep_data is not emulated


def test_local_reaches_everything_at_the_one_address_it_is_given() -> None:
    endpoints = local("http://127.0.0.1:4711").endpoints
    assert endpoints.rest.startswith("http://127.0.0.1:4711/")
    assert endpoints.websocket.startswith("ws://127.0.0.1:4711/")
    assert endpoints.websocket_management.startswith("http://127.0.0.1:4711/")
    assert endpoints.jwks.startswith("http://127.0.0.1:4711/")


def test_a_throttle_that_every_environment_has_is_replaced_by_one_of_its_own() -> None:
    health = RouteThrottle(route="GET /health", rate=1, burst=1)
    push = RouteThrottle(route="POST /businesses/{businessId}/messages", rate=2, burst=2)
    throttles = {
        each.route: each
        for each in replace(DEV, route_throttles=(health, push)).effective_route_throttles
    }
    assert throttles["GET /health"] == health
    assert throttles["POST /businesses/{businessId}/messages"] == push
    assert throttles["POST /businesses/online"].rate == 100


def test_an_environment_cannot_be_changed_after_it_was_checked() -> None:
    with pytest.raises(AttributeError):
        Environment(name="dev").ping_interval = 1  # type: ignore[misc]  # the point of the test
