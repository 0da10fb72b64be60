"""What can go wrong, in the words of the domain. Handlers turn each of these into one status."""


class DomainError(Exception):
    """Base of all errors that a caller is told about. The text is safe to show to a client."""


class InvalidValue(DomainError):
    """A value from outside does not have the form it must have."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field}: {problem}")
        self.field = field
        self.problem = problem


class Forbidden(DomainError):
    """The caller is known, and may not do this."""


class TooManyConnections(DomainError):
    """The business already holds as many connections of this type as it may."""


class Conflict(DomainError):
    """Somebody else changed the business at the same time; nothing was written."""


class NotDeclared(DomainError):
    """The business has no settings: nobody ever declared it."""


class NotFound(DomainError):
    """What was named is not there."""


class MessageTooLarge(DomainError):
    """A message is larger than what API Gateway sends over a socket."""


class KeyReused(DomainError):
    """The same idempotency key came with another request."""


class StillRunning(DomainError):
    """The first request with this idempotency key has not been answered yet."""


class Unavailable(DomainError):
    """A service that this one stands on did not answer in time; nothing is known to be written."""
