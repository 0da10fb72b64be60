"""The data stack: what must outlive every deployment."""

import aws_cdk as cdk
from aws_cdk import aws_events as events
from constructs import Construct

from infra import names
from infra.configuration import Environment
from infra.data.encryption_key import EncryptionKey
from infra.data.identity_provider import IdentityProvider
from infra.data.table import ConnectionsTable, HistoryTable
from infra.platform import Platform


class DataStack(cdk.Stack):
    """The tables, the event bus, their key, and a user pool unless there is another issuer.

    The history and the bus exist even if the change feed is off. So turning it off and on loses
    nothing, and the rules of consumers stay on the bus.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        stack_name: str,
        environment: Environment,
        platform: Platform,
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
        cdk.CfnOutput(self, names.TABLE_NAME, value=self.table.table_name)

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
        # Exported whether or not the feed is on. When it is turned off, this stack is deployed
        # first, and could not drop an export that the service still imports.
        for attribute in (
            self.table.table_stream_arn,
            self.history.table_arn,
            self.history.table_name,
            self.history.table_stream_arn,
            self.bus.event_bus_arn,
            self.bus.event_bus_name,
        ):
            self.export_value(attribute)
        cdk.CfnOutput(self, names.HISTORY_TABLE_NAME, value=self.history.table_name)
        cdk.CfnOutput(self, names.EVENT_BUS_NAME, value=self.bus.event_bus_name)

        # Once they exist, tables and users are protected against deletion, also by a rollback. So
        # they come after what can fail more easily: a bus of this name may exist already.
        for table in (self.table, self.history):
            table.node.add_dependency(self.bus)
        self._refuse_to_replace_while_used(
            self.table, self.history, self.bus, *([self.key] if self.key else ())
        )
        self.user_pool_id: str | None = None
        """None if the environment has an issuer of its own."""
        if environment.oidc is not None:
            self.oidc = environment.oidc
            return
        provider = IdentityProvider(
            self,
            "Identity",
            keep=environment.keep_data,
            platform=platform,
        )
        provider.pool.node.add_dependency(self.bus)
        self.oidc = provider.oidc
        self.user_pool_id = provider.pool.user_pool_id
        self._refuse_to_replace_while_used(provider.pool, provider.client)
        cdk.CfnOutput(self, names.USER_POOL_ID, value=provider.pool.user_pool_id)
        cdk.CfnOutput(self, names.USER_POOL_CLIENT_ID, value=provider.client.user_pool_client_id)

    def _refuse_to_replace_while_used(self, *resources: Construct) -> None:
        """Let CloudFormation refuse to remove or replace what another stack uses."""
        for resource in resources:
            cdk.CrossStackReferences.of(resource).produce(cdk.ReferenceStrength.STRONG)
