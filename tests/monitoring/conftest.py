"""The templates that are tested: those of every environment, and of one with three workers."""

import pytest

from infra.environments import PROD
from tests.infra.conftest import environment, monitoring, service, stacks
from tests.infra.every_option import EVERY_OPTION
from tests.infra.synthesis import Templates
from tests.infra.template import Template
from tests.unit.handlers.conftest import (
    account,
    apis,
    deployed,
    feed,
    playing,
    recording,
    unrecorded,
)

__all__ = ["account", "apis", "deployed", "feed", "playing", "recording", "unrecorded"]
__all__ += ["environment", "monitoring", "service", "stacks"]


@pytest.fixture(scope="session")
def prod(templates: Templates) -> Template:
    """The monitoring of prod."""
    return templates[PROD.name]["Monitoring"]


@pytest.fixture(scope="session")
def three_workers(templates: Templates) -> Template:
    """The monitoring of an environment whose table is shared by three workers."""
    return templates[EVERY_OPTION.name]["Monitoring"]
