"""What can go wrong, in the words of the domain. `lambdas.problems` has the status of each."""


class DomainError(Exception):
    """Base of all errors that a caller is told about. The text is safe to show to a client."""


class InvalidValue(DomainError):
    """A value from outside does not have the form that it must have."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field}: {problem}")
        self.field = field
        self.problem = problem


class Forbidden(DomainError):
    """The caller is known, but may not do this."""


class TooManyConnections(DomainError):
    """The business already holds as many connections of this type as it may."""


class Conflict(DomainError):
    """Somebody else changed the business at the same time; nothing was written."""


class NotDeclared(DomainError):
    """The business has no settings: it was never declared available or unavailable."""


class NotFound(DomainError):
    """The thing that the caller named does not exist."""


class MessageTooLarge(DomainError):
    """A message is larger than a socket may receive."""


class KeyReused(DomainError):
    """The same idempotency key was used with a different request."""


class StillRunning(DomainError):
    """The first request with this idempotency key has not been answered yet."""


class Unavailable(DomainError):
    """A service that this one depends on did not answer in time. It may or may not have acted."""


class TooManyCalls(Unavailable):
    """So many calls change one business at the same time that this one found no gap. It wrote
    nothing.
    """
