"""What all tests share: no timers, and one synthesis of every environment for tests of templates.

Importing the CDK takes seconds, so only a test that needs a template imports it.
"""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import pytest

if TYPE_CHECKING:
    from tests.infra.synthesis import Templates

# No test has a timer: a machine that is busy is no defect.
hypothesis.settings.register_profile("without a timer", deadline=None)
hypothesis.settings.load_profile("without a timer")

_HERE = Path(__file__).parent
_SYNTHESIZED = (_HERE / "infra", _HERE / "monitoring")


def pytest_configure(config: pytest.Config) -> None:
    # `make check` validates the templates against the rules of CloudFormation; that takes seconds.
    os.environ["CDK_VALIDATION"] = "false"
    config.addinivalue_line("markers", "xdist_group(name): run by one worker of pytest-xdist")


@pytest.hookimpl(tryfirst=True)  # pytest-xdist reads the marker in the same hook
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep tests of templates in one worker process, so that a parallel run synthesizes once."""
    for item in items:
        if any(folder in item.path.parents for folder in _SYNTHESIZED):
            item.add_marker(pytest.mark.xdist_group("infra"))


@pytest.fixture(scope="session")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle without dependencies, which is enough to synthesize templates."""
    from infra.bundle import build_bundle

    return build_bundle(dependencies=False, build=tmp_path_factory.mktemp("build"))


@pytest.fixture(scope="session")
def templates(tmp_path_factory: pytest.TempPathFactory, source: Path) -> "Templates":
    """The templates of every environment."""
    from tests.infra.synthesis import ENVIRONMENTS, synthesize

    return synthesize(tmp_path_factory.mktemp("cdk.out"), source, ENVIRONMENTS.values())
