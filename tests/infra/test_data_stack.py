from pathlib import Path

import pytest

from infra.configuration import Environment
from infra.environments import PROD
from tests.infra.synthesis import Templates, synthesize
from tests.infra.template import Properties, Template

# CloudFormation replaces a resource whose logical id changes: the table would be empty, and the
# users would be gone.
TABLE = "ConnectionsTable916FDB22"
HISTORY = "HistoryTable4479EEA3"
USER_POOL = "IdentityPool9E5AED46"
USER_POOL_CLIENT = "IdentityPoolClientCDD42828"


@pytest.fixture
def user_pool(data: Template, environment: Environment) -> Properties:
    """The user pool of an environment that has one."""
    if environment.oidc is not None:
        pytest.skip("it has an issuer of its own")
    resource: Properties = data.only("AWS::Cognito::UserPool")[1]
    return resource


def test_the_tables_keep_their_logical_ids(data: Template) -> None:
    assert data.resources("AWS::DynamoDB::Table").keys() == {TABLE, HISTORY}


def test_the_user_pool_keeps_its_logical_ids(data: Template, user_pool: Properties) -> None:
    assert data.resources("AWS::Cognito::UserPool")[USER_POOL] == user_pool
    assert data.only("AWS::Cognito::UserPoolClient")[0] == USER_POOL_CLIENT


@pytest.mark.parametrize("name", [TABLE, HISTORY])
def test_a_table_has_one_item_collection_per_business_and_can_be_restored(
    data: Template, name: str
) -> None:
    table = data.properties("AWS::DynamoDB::Table")[name]
    assert _keys(table["KeySchema"]) == {"pk": "HASH", "sk": "RANGE"}
    assert table["TimeToLiveSpecification"] == {"AttributeName": "ttl", "Enabled": True}
    assert table["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}
    assert table["BillingMode"] == "PAY_PER_REQUEST"


def test_the_indexes_hold_keys_only_and_sort_attention_by_its_start(data: Template) -> None:
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


@pytest.mark.parametrize(("name", "view"), [(TABLE, "KEYS_ONLY"), (HISTORY, "NEW_IMAGE")])
def test_a_stream_keeps_its_view(data: Template, name: str, view: str) -> None:
    """Another one would make a new stream, and what is in the old one would be lost."""
    table = data.properties("AWS::DynamoDB::Table")[name]
    assert table["StreamSpecification"] == {"StreamViewType": view}


def test_the_bus_has_a_name_that_consumers_can_rely_on(
    data: Template, environment: Environment
) -> None:
    bus, resource = data.only("AWS::Events::EventBus")
    assert resource["Properties"]["Name"] == f"business-connections-{environment.name}"
    assert data.outputs["EventBusName"]["Value"] == {"Ref": bus}


@pytest.mark.parametrize("name", [TABLE, HISTORY])
def test_a_table_outlives_its_stack_where_data_is_kept(
    data: Template, environment: Environment, name: str
) -> None:
    table = data.resources("AWS::DynamoDB::Table")[name]
    kept = environment.keep_data
    assert table["DeletionPolicy"] == ("RetainExceptOnCreate" if kept else "Delete")
    assert table["UpdateReplacePolicy"] == ("Retain" if kept else "Delete")
    assert table["Properties"]["DeletionProtectionEnabled"] is kept


def test_the_user_pool_outlives_its_stack_where_data_is_kept(
    user_pool: Properties, environment: Environment
) -> None:
    kept = environment.keep_data
    assert user_pool["DeletionPolicy"] == ("RetainExceptOnCreate" if kept else "Delete")
    assert user_pool["UpdateReplacePolicy"] == ("Retain" if kept else "Delete")
    assert user_pool["Properties"]["DeletionProtection"] == ("ACTIVE" if kept else "INACTIVE")


def test_nobody_can_sign_up_or_get_a_token_with_a_password_alone(
    data: Template, user_pool: Properties
) -> None:
    client = data.properties("AWS::Cognito::UserPoolClient")[USER_POOL_CLIENT]
    assert user_pool["Properties"]["AdminCreateUserConfig"] == {"AllowAdminCreateUserOnly": True}
    assert set(client["ExplicitAuthFlows"]) == {
        "ALLOW_ADMIN_USER_PASSWORD_AUTH",
        "ALLOW_REFRESH_TOKEN_AUTH",
    }
    assert client["AllowedOAuthFlowsUserPoolClient"] is False
    assert client["PreventUserExistenceErrors"] == "ENABLED"


def test_an_issuer_of_its_own_replaces_the_user_pool(every_option: dict[str, Template]) -> None:
    variables = every_option["Service"].function("Authorizer")["Environment"]["Variables"]
    assert not every_option["Data"].resources("AWS::Cognito::UserPool")
    assert "UserPoolId" not in every_option["Data"].outputs
    assert {name: value for name, value in variables.items() if name.startswith("OIDC_")} == {
        "OIDC_ISSUER": "https://id.example",
        "OIDC_AUDIENCE": "orders",
        "OIDC_JWKS_URL": "https://id.example/k",
        "OIDC_USER_CLAIM": "sub",
        "OIDC_BUSINESSES_CLAIM": "businesses",
        "OIDC_ROLES_CLAIM": "roles",
        "OIDC_BUSINESS_PREFIX": "",
    }


def test_synthesizing_again_gives_the_same_bytes(
    tmp_path: Path, source: Path, templates: Templates
) -> None:
    again = synthesize(tmp_path, source, [PROD])[PROD.name]
    for part, stack in templates[PROD.name].items():
        assert again[part].text == stack.text, part


def _keys(schema: list[dict[str, str]]) -> dict[str, str]:
    return {key["AttributeName"]: key["KeyType"] for key in schema}
