"""The data stack: what must outlive every deployment."""

import aws_cdk as cdk
from aws_cdk import aws_events as events
from constructs import Construct

from infra.addresses import Addresses
from infra.configuration import Environment
from infra.data.encryption_key import EncryptionKey
from infra.data.identity_provider import IdentityProvider
from infra.data.table import ConnectionsTable, HistoryTable


class DataStack(cdk.Stack):
    """The tables, the event bus, their key, and a user pool unless there is another issuer.

    The history and the bus exist even if the change feed is off. So turning it off and on loses
    nothing, and the rules of consumers stay on the bus.
    """

    def __init__(
        self, scope: Construct, construct_id: str, *, stack_name: str, environment: Environment
    ) -> None:
        super().__init__(
            scope,
            construct_id,
            stack_name=stack_name,
            description=f"Business connections, {environment.name}: data",
            termination_protection=environment.keep_data,
        )
        self.key = (
            EncryptionKey(self, "Encryption", keep=environment.keep_data).key
            if environment.customer_managed_key
            else None
        )
        self.table = ConnectionsTable(
            self,
            "Connections",
            keep=environment.keep_data,
            key=self.key,
            throughput=environment.limits.table,
        ).table
        # CloudFormation refuses to remove the table while the service uses it.
        cdk.CrossStackReferences.of(self.table).produce(cdk.ReferenceStrength.STRONG)
        cdk.CfnOutput(self, "TableName", value=self.table.table_name)

        self.history = HistoryTable(
            self,
            "History",
            keep=environment.keep_data,
            key=self.key,
            throughput=environment.limits.table,
        ).table
        self.bus = events.EventBus(
            self,
            "Bus",
            # Consumers name it in their rules.
            event_bus_name=f"business-connections-{environment.name}",
            description="Transitions of businesses",
            kms_key=self.key,
        )
        # References to both stay weak. Otherwise this stack could not be deployed when the feed is
        # turned off: it would drop exports that the service still imports.
        cdk.CfnOutput(self, "HistoryTableName", value=self.history.table_name)
        cdk.CfnOutput(self, "EventBusName", value=self.bus.event_bus_name)

        self.user_pool_id: str | None = None
        """None if the environment has an issuer of its own."""
        if environment.oidc is not None:
            self.oidc = environment.oidc
            return
        provider = IdentityProvider(
            self,
            "Identity",
            keep=environment.keep_data,
            addresses=Addresses(self.region, environment.emulator),
        )
        self.oidc = provider.oidc
        self.user_pool_id = provider.pool.user_pool_id
        for resource in (provider.pool, provider.client):
            cdk.CrossStackReferences.of(resource).produce(cdk.ReferenceStrength.STRONG)
        cdk.CfnOutput(self, "UserPoolId", value=provider.pool.user_pool_id)
        cdk.CfnOutput(self, "UserPoolClientId", value=provider.client.user_pool_client_id)
