"""The bucket of the CDK bootstrap: it exists before the first deployment to an account."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

from botocore.exceptions import BotoCoreError, ClientError

from operations.shared.environment import DeployedEnvironment, error_code
from operations.shared.verbs import CannotBegin

FOLDER: Final = "business-connections"
"""What this application stores in the bucket has keys that begin with this name."""

_ATTEMPTS: Final = 3

REFUSED_WRITES: Final = frozenset({"PreconditionFailed", "ConditionalRequestConflict"})
"""Error codes of a conditional write that met another object, or another write at that moment.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html
"""


class BootstrapBucket:
    """Objects in the bucket to which the CDK CLI publishes the assets of an environment."""

    def __init__(self, environment: DeployedEnvironment) -> None:
        # The name that the assembly has too: `DefaultStackSynthesizer` of the CDK.
        self._where: Final = {
            "Bucket": f"cdk-hnb659fds-assets-{environment.account}-{environment.region}",
            "ExpectedBucketOwner": environment.account,
        }
        self._environment: Final = environment
        self._s3: Final = environment.client("s3")

    def put(self, key: str, **content: Any) -> Any:
        """Write an object. Raises `ClientError`, and `CannotBegin` if there is no bucket."""
        with self._needed():
            return self._s3.put_object(Key=f"{FOLDER}/{key}", **self._where, **content)

    def get(self, key: str) -> tuple[bytes, Any]:
        """Read an object: its content, and the answer of S3.

        Raises `ClientError`, `BotoCoreError`, and `CannotBegin` if there is no bucket.
        """
        with self._needed():
            for _ in range(_ATTEMPTS - 1):
                with suppress(BotoCoreError):  # the SDK does not repeat what fails while it is read
                    return self._get(key)
            return self._get(key)

    def _get(self, key: str) -> tuple[bytes, Any]:
        answer = self._s3.get_object(Key=f"{FOLDER}/{key}", **self._where)
        return answer["Body"].read(), answer

    @contextmanager
    def _needed(self) -> Iterator[None]:
        try:
            yield
        except ClientError as error:
            if error_code(error) != "NoSuchBucket":
                raise
            name = self._environment.name
            raise CannotBegin(
                f"there is no bucket {self._where['Bucket']}: run `make bootstrap"
                f" ENVIRONMENT={name}` once for the account and region of {name}"
            ) from error
