import dataclasses
from pathlib import Path

from infra.configuration import Environment, Oidc
from infra.environments import DEV
from tests.infra.conftest import Templates, synthesize
from tests.infra.template import Template

# A changed logical id replaces the resource: an empty table, and users that are gone.
TABLE = "ConnectionsTable916FDB22"
USER_POOL = "IdentityPool9E5AED46"
USER_POOL_CLIENT = "IdentityPoolClientCDD42828"


def test_stateful_resources_keep_their_logical_ids(data: Template) -> None:
    assert data.only("AWS::DynamoDB::Table")[0] == TABLE
    assert data.only("AWS::Cognito::UserPool")[0] == USER_POOL
    assert data.only("AWS::Cognito::UserPoolClient")[0] == USER_POOL_CLIENT


def test_everything_of_one_business_is_one_item_collection(data: Template) -> None:
    table = data.properties("AWS::DynamoDB::Table")[TABLE]
    assert _keys(table["KeySchema"]) == {"pk": "HASH", "sk": "RANGE"}
    assert table["TimeToLiveSpecification"] == {"AttributeName": "ttl", "Enabled": True}
    assert table["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}
    assert table["BillingMode"] == "PAY_PER_REQUEST"


def test_the_two_indexes_are_sparse_and_hold_keys_only(data: Template) -> None:
    table = data.properties("AWS::DynamoDB::Table")[TABLE]
    indexes = {index["IndexName"]: index for index in table["GlobalSecondaryIndexes"]}
    types = {each["AttributeName"]: each["AttributeType"] for each in table["AttributeDefinitions"]}
    assert {name: _keys(index["KeySchema"]) for name, index in indexes.items()} == {
        "ConnectionIndex": {"connectionId": "HASH"},
        "AttentionIndex": {"attention": "HASH", "attentionSince": "RANGE"},
    }
    assert types["attentionSince"] == "N"
    for index in indexes.values():
        assert index["Projection"] == {"ProjectionType": "KEYS_ONLY"}


def test_data_outlives_its_stack_everywhere_but_on_a_laptop(
    data: Template, environment: Environment
) -> None:
    kept = environment.name != "local"
    for kind in ("AWS::DynamoDB::Table", "AWS::Cognito::UserPool"):
        _, resource = data.only(kind)
        assert resource["DeletionPolicy"] == ("Retain" if kept else "Delete")
        assert resource["UpdateReplacePolicy"] == ("Retain" if kept else "Delete")
    table = data.properties("AWS::DynamoDB::Table")[TABLE]
    assert table["DeletionProtectionEnabled"] is kept
    pool = data.properties("AWS::Cognito::UserPool")[USER_POOL]
    assert pool["DeletionProtection"] == ("ACTIVE" if kept else "INACTIVE")


def test_nobody_can_sign_up_or_get_a_token_with_a_password_alone(data: Template) -> None:
    pool = data.properties("AWS::Cognito::UserPool")[USER_POOL]
    client = data.properties("AWS::Cognito::UserPoolClient")[USER_POOL_CLIENT]
    assert pool["AdminCreateUserConfig"] == {"AllowAdminCreateUserOnly": True}
    assert set(client["ExplicitAuthFlows"]) == {
        "ALLOW_ADMIN_USER_PASSWORD_AUTH",
        "ALLOW_REFRESH_TOKEN_AUTH",
    }
    assert client["AllowedOAuthFlowsUserPoolClient"] is False
    assert client["PreventUserExistenceErrors"] == "ENABLED"


def test_outputs_name_what_a_script_needs(data: Template) -> None:
    assert {"TableName", "UserPoolId", "UserPoolClientId"} <= data.outputs.keys()


def test_an_own_issuer_replaces_the_user_pool(tmp_path: Path, source: Path) -> None:
    issuer = Oidc(issuer="https://id.example", audience="orders", jwks_url="https://id.example/k")
    environment = dataclasses.replace(DEV, oidc=issuer)
    stacks = synthesize(tmp_path, source, iter([environment]))["dev"]
    variables = stacks["Service"].function("Authorizer")["Environment"]["Variables"]
    assert not stacks["Data"].resources("AWS::Cognito::UserPool")
    assert "UserPoolId" not in stacks["Data"].outputs
    assert {name: value for name, value in variables.items() if name.startswith("OIDC_")} == {
        "OIDC_ISSUER": "https://id.example",
        "OIDC_AUDIENCE": "orders",
        "OIDC_JWKS_URL": "https://id.example/k",
        "OIDC_USER_CLAIM": "sub",
        "OIDC_BUSINESSES_CLAIM": "businesses",
        "OIDC_ROLES_CLAIM": "roles",
        "OIDC_BUSINESS_PREFIX": "",
    }


def test_two_syntheses_are_the_same_to_the_byte(
    tmp_path: Path, source: Path, templates: Templates
) -> None:
    again = synthesize(tmp_path, source, iter([DEV]))["dev"]
    assert {part: stack.text for part, stack in again.items()} == {
        part: stack.text for part, stack in templates["dev"].items()
    }


def _keys(schema: list[dict[str, str]]) -> dict[str, str]:
    return {key["AttributeName"]: key["KeyType"] for key in schema}
