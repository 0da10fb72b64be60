"""What `make build` made: one cloud assembly with all environments, and the manifest beside it.

The manifest says what the assembly is made of. A promotion deploys this assembly and no other, so
what was tested is what runs.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Self

ROOT: Final = Path(__file__).resolve().parent.parent
BUILD: Final = ROOT / "build" / "release"
"""Where a build is put, and found: `assembly` and `manifest.json`."""

_HANDLERS: Final = "lambdas."


class NoBuild(Exception):
    """There is no build, or it cannot be used. The text says what to do, in one line."""


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What an assembly is made of. Nothing in it depends on when or where it was built."""

    commit: str
    clean: bool
    """Whether the assembly is made of that commit alone, with no change beside it."""
    committedAt: str  # noqa: N815 - the names of the file are its interface
    environments: Mapping[str, str]
    """The asset hash of the bundle of each environment, in the order of promotion."""
    digest: str
    """SHA-256 of the assembly's files."""

    @property
    def title(self) -> str:
        """Name the build in a few words."""
        return f"commit {self.commit[:12]}{'' if self.clean else ', with changes beside it,'}"

    def neighbours(self, environment: str) -> tuple[str, ...]:
        """The environments that a build is promoted through with this one, in order.

        An environment with another bundle (the local ones have one) is not among them.
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
    """None where the environment leaves it to the credentials; the same for the region."""
    region: str | None
    template: Mapping[str, Any]

    def functions(self) -> Mapping[str, str]:
        """The asset hash of each function of this service, by logical id."""
        return {
            logical_id: str(resource["Properties"]["Code"]["S3Key"]).removesuffix(".zip")
            for logical_id, resource in self.template.get("Resources", {}).items()
            if resource["Type"] == "AWS::Lambda::Function"
            and str(resource["Properties"].get("Handler", "")).startswith(_HANDLERS)
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
        """SHA-256 of all that the CDK wrote; what a deployment adds to it does not count."""
        digest = hashlib.sha256()
        for path in sorted(self.folder.rglob("*")):
            relative = path.relative_to(self.folder)
            if path.is_file() and ".cache" not in relative.parts and path.suffix != ".lock":
                content = hashlib.sha256(path.read_bytes()).hexdigest()
                digest.update(f"{relative.as_posix()}\0{content}\n".encode())
        return digest.hexdigest()

    def _stages(self) -> Mapping[str, str]:
        return {
            artifact["properties"]["displayName"]: artifact["properties"]["directoryName"]
            for artifact in _artifacts(self.folder, "cdk:cloud-assembly")
        }

    def _bundle(self, environment: str) -> str:
        assets = {a for stack in self.stacks(environment) for a in stack.functions().values()}
        if len(assets) != 1:
            raise NoBuild(f"{environment} has not one bundle, but {len(assets)}")
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
    def read(cls, build: Path = BUILD) -> Self:
        """Read what `make build` left. Raises `NoBuild`."""
        try:
            manifest = Manifest(**json.loads((build / "manifest.json").read_text()))
        except FileNotFoundError:
            raise NoBuild(f"there is no build in {build}: run `make build`") from None
        except (TypeError, ValueError):
            raise NoBuild(f"the manifest in {build} is broken: run `make build`") from None
        return cls(Assembly(build / "assembly"), manifest)

    def is_intact(self) -> bool:
        """Whether the assembly is as it was built."""
        return self.assembly.digest() == self.manifest.digest

    def require(self, environment: str) -> None:
        """Raise `NoBuild` if this build has no such environment."""
        known = self.manifest.environments
        if environment not in known:
            raise NoBuild(
                f"this build has no environment {environment!r}: it has {', '.join(known)}"
            )
