"""Three accounts of the emulator, and a copy of the repository from which a team releases to them.

The environments are the shipped ones. The team has edited `infra/environments.py` as each team
does: where an environment is, and who is paged. All commands are those that people type, with one
profile for each account.
"""

import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from lambdas.table_schema import CENSUS_KEY, LAST_TRANSITION_KEY
from local.run import emulator_environment, ministack, new_emulator
from operations.release.assembly import Assembly, Manifest
from operations.shared.local_system import Emulator, is_ready
from operations.shared.repository import ROOT
from tests.e2e.harness import descendants, eventually, free_port

ACCOUNTS: Final = {"dev": "111111111111", "staging": "222222222222", "prod": "333333333333"}
"""The account of each environment. In the emulator, an access key is the account that it is of."""

REGION: Final = "eu-central-1"

_SOURCES: Final = (
    *("app.py", "cdk.json", ".gitignore", "docs", "infra", "lambdas", "local", "operations"),
    *("Makefile", "requirements.txt", "package-lock.json"),
)

_WHO_AND_WHERE: Final = """

def all_environments() -> tuple[Environment, ...]:
    from dataclasses import replace

    return tuple(
        replace(
            environment,
            account=accounts[environment.name],
            region={region!r},
            on_call=replace(environment.on_call, page_emails=("on-call@example.com",)),
        )
        for accounts in ({accounts!r},)
        for environment in (DEV, STAGING, PROD)
    )
"""

_ON_THE_EMULATOR: Final = {
    "\napp = ": """
from infra.platform import Platform
from local.environment import Emulator


class Everything(Emulator):
    \"""The emulator, with all alarms that AWS has.\"""

    supported_alarms = Platform.supported_alarms


platform = Everything({endpoint_url!r}, has_composite_alarms=True)
app = """,
    "build_bundle()": "build_bundle(dependencies=False)",
    "bundle=bundle)": "bundle=bundle, platform=platform)",
}
"""What is replaced in app.py."""


@dataclass(frozen=True)
class Ended:
    """How a command ended. The code is that of the tool which `make` ran."""

    code: int
    output: str


@dataclass(frozen=True)
class Team:
    """What a team has: a clone of the repository, and credentials for three accounts."""

    folder: Path
    emulator: Emulator

    # Commands.

    @property
    def repository(self) -> Path:
        return self.folder / "repository"

    @property
    def bare_tools(self) -> Path:
        """A copy of the tools without a build and without Git: all that a rollback may need."""
        return self.folder / "bare-tools"

    def start(
        self, *command: str, variables: Mapping[str, str] | None = None, at: Path | None = None
    ) -> "subprocess.Popen[str]":
        """Start a command. It has the profiles, and no other credentials."""
        kept = {
            name: value
            for name, value in emulator_environment(self.emulator).items()
            if not name.startswith(("AWS_ACCESS", "AWS_SE", "AWS_REGION", "AWS_DEFAULT"))
            and name not in {"MAKEFLAGS", "MAKELEVEL"}
        }
        return subprocess.Popen(
            command,
            cwd=at or self.repository,
            env={
                **kept,
                "AWS_CONFIG_FILE": str(self.folder / "config"),
                "AWS_SHARED_CREDENTIALS_FILE": str(self.folder / "credentials"),
                "SMOKE_TIMEOUT": "5",
                **(variables or {}),
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def make(self, *arguments: str, **variables: str) -> Ended:
        return self.ended(self.start("make", *arguments, variables=variables))

    def deploy(self, environment: str, *more: str) -> Ended:
        return self.make("deploy", f"ENVIRONMENT={environment}", f"PROFILE={environment}", *more)

    def promote(self, source: str, target: str, **variables: str) -> Ended:
        profiles = (f"FROM_PROFILE={source}", f"TO_PROFILE={target}")
        return self.make("promote", f"FROM={source}", f"TO={target}", *profiles, **variables)

    def start_rollback(self, environment: str, *more: str) -> "subprocess.Popen[str]":
        """Start a rollback with nothing but the tools and the account."""
        return self.start(
            *("make", "rollback", f"ENVIRONMENT={environment}", f"PROFILE={environment}", *more),
            at=self.bare_tools,
            variables={
                "GIT_CEILING_DIRECTORIES": str(self.folder),
                "UV_CACHE_DIR": str(self.folder / "empty"),
                "UV_DEFAULT_INDEX": "http://127.0.0.1:1",
                "PIP_INDEX_URL": "http://127.0.0.1:1",
                "NPM_CONFIG_REGISTRY": "http://127.0.0.1:1",
            },
        )

    def rollback(self, environment: str, *more: str) -> Ended:
        return self.ended(self.start_rollback(environment, *more))

    @staticmethod
    def ended(process: "subprocess.Popen[str]") -> Ended:
        output, _ = process.communicate(timeout=180)
        of_tool = re.search(r"^make: \*\*\* .* Error (\d+)$", output, re.MULTILINE)
        return Ended(int(of_tool[1]) if of_tool else process.returncode, output)

    @staticmethod
    def signal_all(process: "subprocess.Popen[str]", signum: signal.Signals) -> None:
        """Send a signal to a command and to all that it started."""
        for each in (process.pid, *descendants(process.pid)):
            os.kill(each, signum)

    # Builds.

    @property
    def release(self) -> Path:
        """Where the verbs find the build that they deploy."""
        return self.repository / "build" / "release"

    def take(self, build: Path) -> None:
        """Make it the build that the verbs deploy."""
        self.release.unlink(missing_ok=True)
        self.release.symlink_to(build)

    def derive(self, build: Path, change: Callable[[Assembly], None]) -> Path:
        """A build that differs from another one, without the 15 s that a synthesis takes.

        It is what a synthesis of the changed sources would give: all assets and all versions of
        functions have other names. No Git repository has its commit.
        """
        derived = Path(tempfile.mkdtemp(prefix="build-", dir=self.folder))
        shutil.copytree(build, derived, dirs_exist_ok=True)

        def renamed(text: str) -> str:
            return re.sub(
                r"(?<=CurrentVersion[0-9A-F]{8})[0-9a-f]{32}|(?<![0-9a-f])[0-9a-f]{64}",
                lambda name: hashlib.sha256(f"{derived} {name[0]}".encode()).hexdigest()[
                    : len(name[0])
                ],
                text,
            )

        assembly = Assembly(derived / "assembly")
        for asset in assembly.folder.glob("asset.*"):
            asset.rename(asset.with_name(renamed(asset.name)))
        for file in assembly.folder.rglob("*.json"):
            if not file.relative_to(assembly.folder).parts[0].startswith("asset."):
                file.write_text(renamed(file.read_text()))
        change(assembly)
        before = json.loads((build / "manifest.json").read_text())
        manifest = {
            **before,
            "commit": hashlib.sha256(derived.name.encode()).hexdigest()[:40],
            "environments": dict(assembly.environments()),
            "digest": assembly.digest(),
        }
        Manifest(**manifest).write(derived)
        return derived

    # What is deployed.

    def client(self, environment: str, service: str) -> Any:
        """A client for the account of an environment."""
        return replace(self.emulator, account=ACCOUNTS[environment]).client(service)

    def stacks(self, environment: str) -> Mapping[str, Any]:
        """The stacks in the account of an environment, but for that of the bootstrap."""
        described = self.client(environment, "cloudformation").describe_stacks()["Stacks"]
        return {s["StackName"]: s for s in described if s["StackName"] != "CDKToolkit"}

    def is_at_rest(self, environment: str) -> bool:
        """Whether no stack is being changed."""
        states = [stack["StackStatus"] for stack in self.stacks(environment).values()]
        return not any(state.endswith("IN_PROGRESS") for state in states)

    def outputs(self, environment: str) -> Mapping[str, str]:
        return {
            output["OutputKey"]: output["OutputValue"]
            for stack in self.stacks(environment).values()
            for output in stack.get("Outputs", ())
        }

    def record(self, environment: str) -> Any:
        return self.history(environment)[-1]

    def history(self, environment: str) -> list[Any]:
        """All records of an environment, the newest last."""
        versions = self.client(environment, "ssm").get_parameter_history(
            Name=_record_of(environment)
        )
        return [json.loads(version["Value"]) for version in versions["Parameters"]]

    def settle(self, environment: str) -> None:
        """Let a day without trouble pass: all alarms have judged what was deployed, and are OK."""
        cloudwatch = self.client(environment, "cloudwatch")
        for name in self.outputs(environment)["AlarmNames"].split(","):
            cloudwatch.set_alarm_state(AlarmName=name, StateValue="OK", StateReason="a test")
        record = self.record(environment)
        at = datetime.now(tz=UTC) - timedelta(days=1)
        self.client(environment, "ssm").put_parameter(
            Name=_record_of(environment),
            Value=json.dumps({**record, "at": at.isoformat(timespec="seconds")}),
            Type="String",
            Overwrite=True,
        )

    def lock(self, environment: str) -> Any:
        """What the lock of an environment says; None if it does not exist yet."""
        s3 = self.client(environment, "s3")
        try:
            answer = s3.get_object(**_lock_of(environment))
        except s3.exceptions.NoSuchKey:
            return None
        return json.loads(answer["Body"].read())

    def let_lock_end(self, environment: str) -> None:
        """Let the time pass after which the lock of a crashed deployment ends."""
        ended = json.dumps({**self.lock(environment), "leaseSeconds": 0})
        self.client(environment, "s3").put_object(**_lock_of(environment), Body=ended.encode())

    def items(self, environment: str) -> list[Any]:
        """All items of the table except those of the cleanup and of the change feed themselves."""
        table = self.outputs(environment)["TableName"]
        items = self.client(environment, "dynamodb").scan(TableName=table)["Items"]
        own = ({"S": CENSUS_KEY}, {"S": LAST_TRANSITION_KEY})
        return [item for item in items if item["pk"] not in own and item["sk"] not in own]

    def users(self, environment: str) -> list[str]:
        pool = self.outputs(environment)["UserPoolId"]
        users = self.client(environment, "cognito-idp").list_users(UserPoolId=pool)["Users"]
        return [user["Username"] for user in users]

    @contextmanager
    def outdated_bootstrap(self, environment: str) -> Iterator[None]:
        """Make `cdk deploy` fail before it changes any stack."""
        ssm, name = self.client(environment, "ssm"), "/cdk-bootstrap/hnb659fds/version"
        version = ssm.get_parameter(Name=name)["Parameter"]["Value"]
        ssm.put_parameter(Name=name, Value="1", Overwrite=True)
        try:
            yield
        finally:
            ssm.put_parameter(Name=name, Value=version, Overwrite=True)


def _record_of(environment: str) -> str:
    return f"/business-connections/{environment}/deployment"


def _lock_of(environment: str) -> dict[str, str]:
    return {
        "Bucket": f"cdk-hnb659fds-assets-{ACCOUNTS[environment]}-{REGION}",
        "Key": f"business-connections/{environment}/lock.json",
    }


@contextmanager
def team_with_a_build(folder: Path) -> Iterator[Team]:
    """Start the emulator, prepare the three accounts, and build from a commit."""
    port = free_port()
    team = Team(folder, replace(new_emulator(port), region=REGION))
    _copy_sources(team)
    _write_profiles(team)
    (folder / "empty").mkdir()
    shutil.copytree(team.repository, team.bare_tools, symlinks=True)
    _commit(team.repository)
    state = folder / "state"
    state.mkdir()
    with ExitStack() as stack:
        stack.enter_context(ministack(state, team.emulator))
        built = team.make("build")
        assert built.code == 0, built.output
        first = folder / "first-build"
        team.release.rename(first)
        team.take(first)
        eventually("the emulator is ready", lambda: is_ready(team.emulator.url), seconds=60)
        bootstraps = [
            team.start("make", "bootstrap", f"ENVIRONMENT={name}", f"PROFILE={name}")
            for name in ACCOUNTS
        ]
        for bootstrap in bootstraps:
            ended = team.ended(bootstrap)
            assert ended.code == 0, ended.output
        yield team


def _copy_sources(team: Team) -> None:
    team.repository.mkdir()
    for name in _SOURCES:
        source, copy = ROOT / name, team.repository / name
        if source.is_dir():
            shutil.copytree(source, copy, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copyfile(source, copy)
    with (team.repository / "infra" / "environments.py").open("a") as environments:
        environments.write(_WHO_AND_WHERE.format(region=REGION, accounts=ACCOUNTS))
    app = team.repository / "app.py"
    code = app.read_text()
    for old, new in _ON_THE_EMULATOR.items():
        assert code.count(old) == 1, old
        code = code.replace(old, new.format(endpoint_url=team.emulator.url))
    app.write_text(code)
    (team.repository / "node_modules").symlink_to((ROOT / "node_modules").resolve())
    (team.repository / ".venv").symlink_to(sys.prefix)
    # `make` compares their times with those of what is installed.
    for lock in ("requirements.txt", "package-lock.json"):
        os.utime(team.repository / lock, (0, 0))
    with (team.repository / ".gitignore").open("a") as ignored:
        ignored.write("node_modules\n.venv\n")  # here they are links, not folders


def _write_profiles(team: Team) -> None:
    config, credentials = "", ""
    for name, account in ACCOUNTS.items():
        config += f"[profile {name}]\nregion = {REGION}\n"
        credentials += (
            f"[{name}]\naws_access_key_id = {account}\naws_secret_access_key = any\n"
            f"aws_session_token = {team.emulator.session_token}\n"
        )
    (team.folder / "config").write_text(config)
    (team.folder / "credentials").write_text(credentials)


def _commit(repository: Path) -> None:
    identity = ("-c", "user.name=Test", "-c", "user.email=test@example.com")
    for command in (["init"], ["add", "."], ["commit", "--message", "Everything"]):
        subprocess.run(
            ["git", *identity, *command], cwd=repository, check=True, capture_output=True
        )
