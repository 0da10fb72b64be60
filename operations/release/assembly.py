"""The build: one cloud assembly with all environments, and a manifest that says what is in it.

A promotion deploys this assembly and no other, so what was tested is what runs.
"""

import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Final, Self

from operations.shared.environment import DeployedEnvironment
from operations.shared.repository import ROOT
from operations.shared.verbs import CannotBegin

RELEASE: Final = ROOT / "build" / "release"
"""Where `make build` puts a build: `assembly` and `manifest.json`."""

_HANDLERS: Final = "lambdas."


class NoBuild(CannotBegin):
    """There is no build, or it cannot be used."""


def title(commit: str, *, clean: bool) -> str:
    """Name a build in a few words."""
    return f"commit {commit[:12]}{'' if clean else ' with uncommitted changes'}"


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What is in an assembly. The same commit gives the same manifest, whenever it is built."""

    commit: str
    clean: bool
    """Whether the working tree was that commit, without any change."""
    committedAt: str  # noqa: N815 - the names of the file are its interface
    environments: Mapping[str, str]
    """The asset hash of the bundle of each environment, in the order of promotion."""
    digest: str
    """SHA-256 of the assembly's files."""

    @property
    def title(self) -> str:
        """Name the build in a few words."""
        return title(self.commit, clean=self.clean)

    def neighbours(self, environment: str) -> tuple[str, ...]:
        """The environments that have the same bundle as this one, in order of promotion.

        A build of an earlier release may have an environment `local` with a bundle of its own.
        """
        bundle = self.environments[environment]
        return tuple(name for name, asset in self.environments.items() if asset == bundle)

    def write(self, build: Path) -> None:
        (build / "manifest.json").write_text(json.dumps(asdict(self), indent=2) + "\n")


@dataclass(frozen=True)
class StackArtifact:
    """One stack of an assembly."""

    name: str
    account: str | None
    """None if it is the account of the credentials."""
    region: str | None
    """None if it is the region of the shell."""
    template: Mapping[str, Any]

    def functions(self) -> Mapping[str, str]:
        """The asset hash of each function of this service, by logical id."""
        return {
            logical_id: str(properties["Code"]["S3Key"]).removesuffix(".zip")
            for logical_id, properties in self.properties("AWS::Lambda::Function").items()
            if str(properties.get("Handler", "")).startswith(_HANDLERS)
        }

    def properties(self, kind: str) -> Mapping[str, Mapping[str, Any]]:
        """The properties of its resources of one type, by logical id."""
        return {
            logical_id: resource.get("Properties", {})
            for logical_id, resource in self.template.get("Resources", {}).items()
            if resource["Type"] == kind
        }


@dataclass(frozen=True)
class Assembly:
    """A cloud assembly, as the CDK wrote it.

    https://github.com/aws/aws-cdk-cli/tree/main/packages/@aws-cdk/cloud-assembly-schema
    """

    folder: Path

    def environments(self) -> Mapping[str, str]:
        """The asset hash of the bundle of each environment, in the order of `app.py`."""
        return {name: self._bundle(name) for name in self._stages()}

    def stacks(self, environment: str) -> tuple[StackArtifact, ...]:
        """The stacks of one environment."""
        folder = self.folder / self._stages()[environment]
        found = []
        for artifact in _artifacts(folder, "aws:cloudformation:stack"):
            account, region = artifact["environment"].removeprefix("aws://").split("/")
            template = json.loads((folder / artifact["properties"]["templateFile"]).read_text())
            found.append(
                StackArtifact(
                    name=artifact["properties"]["stackName"],
                    account=None if account == "unknown-account" else account,
                    region=None if region == "unknown-region" else region,
                    template=template,
                )
            )
        return tuple(found)

    def digest(self) -> str:
        """The SHA-256 of all that the CDK wrote, without what a deployment adds to it."""
        digest = hashlib.sha256()
        for path in self.files():
            content = hashlib.sha256(path.read_bytes()).hexdigest()
            digest.update(f"{path.relative_to(self.folder).as_posix()}\0{content}\n".encode())
        return digest.hexdigest()

    def files(self) -> Iterator[Path]:
        """Yield all that the CDK wrote, in order, without what a deployment adds to it."""
        for path in sorted(self.folder.rglob("*")):
            added = ".cache" in path.relative_to(self.folder).parts or path.suffix == ".lock"
            if path.is_file() and not added:
                yield path

    def _stages(self) -> Mapping[str, str]:
        return {
            artifact["properties"]["displayName"]: artifact["properties"]["directoryName"]
            for artifact in _artifacts(self.folder, "cdk:cloud-assembly")
        }

    def _bundle(self, environment: str) -> str:
        assets = {a for stack in self.stacks(environment) for a in stack.functions().values()}
        if len(assets) != 1:
            raise NoBuild(
                f"the functions of {environment} have {len(assets)} bundles and must have one:"
                " run `make build` again"
            )
        return assets.pop()


def _artifacts(folder: Path, kind: str) -> Iterator[Mapping[str, Any]]:
    for artifact in json.loads((folder / "manifest.json").read_text())["artifacts"].values():
        if artifact["type"] == kind:
            yield artifact


@dataclass(frozen=True)
class Build:
    """An assembly and its manifest."""

    assembly: Assembly
    manifest: Manifest

    @classmethod
    def read(cls, build: Path) -> Self:
        """Read a build from a folder. Raises `NoBuild`."""
        try:
            text = json.loads((build / "manifest.json").read_text())
            # A build that newer or older tools made may have other fields.
            names = {each.name for each in fields(Manifest)}
            manifest = Manifest(**{name: text[name] for name in names & text.keys()})
        except FileNotFoundError:
            raise NoBuild(f"there is no build in {build}: run `make build`") from None
        except (TypeError, ValueError):
            raise NoBuild(f"the manifest in {build} cannot be read: run `make build`") from None
        return cls(Assembly(build / "assembly"), manifest)

    @classmethod
    @contextmanager
    def taken(cls) -> Iterator[Self]:
        """Read what `make build` wrote, in a copy that the next `make build` does not change.

        Raises `NoBuild`.
        """
        cls.read(RELEASE)
        with tempfile.TemporaryDirectory(prefix="build-", ignore_cleanup_errors=True) as temporary:
            copy = Path(temporary).resolve() / "release"
            shutil.copytree(RELEASE, copy, ignore=shutil.ignore_patterns(".cache", "*.lock"))
            yield cls.read(copy)

    def environment(self, name: str, *, profile: str | None = None) -> DeployedEnvironment:
        """Open the environment that this build is for.

        Raises `CannotBegin`, also if the build names another account or region than
        infra/environments.py.
        """
        environment = DeployedEnvironment(name, profile=profile)
        data = self.assembly.stacks(name)[0]
        if data.account is not None and data.account != environment.account:
            raise CannotBegin(
                f"{self.manifest.title} was built for {name} in account {data.account}, but"
                f" {name} is in {environment.account}: `make build` again, or check the profile"
            )
        if data.region is not None and data.region != environment.region:
            raise CannotBegin(
                f"{self.manifest.title} was built for {name} in region {data.region}, but {name}"
                f" is in {environment.region}: `make build` again, or check the profile"
            )
        return environment

    def is_intact(self) -> bool:
        """Whether nothing in the assembly was changed since it was built."""
        return self.assembly.digest() == self.manifest.digest

    def require(self, *environments: str) -> None:
        """Raise `NoBuild` if this build lacks one of these environments."""
        known = self.manifest.environments
        for environment in environments:
            if environment not in known:
                raise NoBuild(
                    f"this build has no environment {environment!r}: it has {', '.join(known)}"
                )
