"""The names in the DynamoDB tables that the code and the infrastructure both use.

`lambdas.adapters` reads and writes by them; the infrastructure creates the tables and grants access
by them. The history is a table of its own, with the same names of keys. Nothing is imported here.
"""

PARTITION_KEY = "pk"
SORT_KEY = "sk"
TTL = "ttl"
"""The attribute with the time at which DynamoDB may delete an item, in seconds since the epoch."""

CONNECTION_INDEX = "ConnectionIndex"
"""Finds a real connection by its id: partition key `CONNECTION_ID`."""
CONNECTION_ID = "connectionId"

ATTENTION_INDEX = "AttentionIndex"
"""Lists marked businesses, longest first: partition key `ATTENTION`, sort key `ATTENTION_SINCE`."""
ATTENTION = "attention"
ATTENTION_SINCE = "attentionSince"

# Partition keys. Everything about one business is one item collection.
BUSINESS_PREFIX = "BUSINESS#"
TICKET_PREFIX = "TICKET#"
IDEMPOTENCY_PREFIX = "IDEMPOTENCY#"
CENSUS_KEY = "CENSUS"

SETTINGS_KEY = "BUSINESS"
"""The sort key of a business's settings."""
CONNECTION_PREFIX = "CONNECTION#"
"""What the sort keys of real and virtual connections begin with."""
VIRTUAL_PREFIX = f"{CONNECTION_PREFIX}VIRTUAL#"
"""What the sort keys of virtual connections begin with."""
LAST_TRANSITION_KEY = "TRANSITION"
"""The sort key of the last transition of a business that was recorded."""
