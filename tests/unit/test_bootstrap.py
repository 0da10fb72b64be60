"""What a function needs to know of its deployment."""

import pytest

from lambdas.bootstrap import Configuration, MissingConfiguration

WHOLE = {
    "ENVIRONMENT": "dev",
    "TABLE_NAME": "table",
    "WEBSOCKET_MANAGEMENT_URL": "https://api",
    "PING_INTERVAL": "300",
    "PING_GRACE": "60",
    "VIRTUAL_LEASE": "43200",
    "ATTENTION_GRACE": "300",
    "MAX_REAL_CONNECTIONS": "50",
}


def test_the_whole_of_it() -> None:
    configuration = Configuration.from_environ(WHOLE)
    assert configuration.environment == "dev"
    assert configuration.rules.silent_after == 660


def test_one_error_names_all_that_is_missing_or_wrong() -> None:
    broken = {**WHOLE, "PING_GRACE": "a while", "TABLE_NAME": ""}
    del broken["ENVIRONMENT"]
    with pytest.raises(MissingConfiguration) as raised:
        Configuration.from_environ(broken)
    assert str(raised.value) == (
        "ENVIRONMENT is not set; TABLE_NAME is not set;"
        " PING_GRACE is 'a while', and must be a whole number"
    )
