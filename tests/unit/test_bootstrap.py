"""What the parts of a function need of its environment, and what they cost at a cold start."""

import subprocess
import sys

import pytest

from lambdas.bootstrap import Configuration, MissingConfiguration, Service

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


def test_a_complete_environment_is_read() -> None:
    configuration = Configuration.from_environ(WHOLE)
    assert configuration.environment == "dev"
    assert configuration.rules.silent_after == 660


def test_one_error_names_everything_missing_or_wrong() -> None:
    broken = {**WHOLE, "PING_GRACE": "a while", "TABLE_NAME": ""}
    del broken["ENVIRONMENT"]
    with pytest.raises(MissingConfiguration) as raised:
        Configuration.from_environ(broken)
    assert str(raised.value) == (
        "ENVIRONMENT is not set; TABLE_NAME is not set;"
        " PING_GRACE is 'a while' but must be a whole number"
    )


def test_a_part_is_built_once() -> None:
    service = Service(WHOLE)
    assert service.configuration is service.configuration
    assert service.metrics is service.metrics


def test_the_websocket_functions_start_without_the_libraries_of_the_others() -> None:
    """Each import is time that a client waits at a cold start."""
    script = (
        "import sys, lambdas.handlers.websocket;"
        "print([name for name in ('boto3', 'jwt', 'pydantic') if name in sys.modules])"
    )
    found = subprocess.run(
        [sys.executable, "-c", script], check=True, capture_output=True, text=True
    )
    assert found.stdout.strip() == "[]"
