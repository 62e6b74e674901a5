"""One hierarchy of errors, each with a sentence for the user and a remedy."""


class CoilflowError(Exception):
    """Something a user can act on: `str()` is one sentence, `remedy` says what to do."""

    exit_code = 1

    def __init__(self, message: str, *, remedy: str) -> None:
        super().__init__(message)
        self.remedy = remedy


class UsageError(CoilflowError):
    """The command was called wrongly: a path that is not there, an option that does not fit."""

    exit_code = 2


class SourceError(CoilflowError):
    """A source exists but no coil can be read from it."""


class BundleError(CoilflowError):
    """A model bundle is missing, damaged or does not do what its manifest says."""


class BundleAwayError(BundleError):
    """A bundle is not there, cannot be reached, or there is no room for it or its trial: it may be well again."""


class StoreError(CoilflowError):
    """The database cannot be reached, is of another version or refused a step."""


class SpecError(UsageError):
    """A training or experiment specification is wrong."""


class StoreUnavailableError(StoreError):
    """The database cannot be reached or broke off: nothing of the step was stored, and it may go well next time."""


class NotOwnerError(StoreError):
    """Another worker owns a partition now: what this one holds of it is out of date, and nothing of it was stored."""


class NotLeaderError(StoreError):
    """Another scheduler leads now, or this run was given up: nothing of it was stored."""


class BrokerError(CoilflowError):
    """A Kafka or MQTT broker cannot be reached, or refused."""


class LogError(CoilflowError):
    """The log is not what the database knows of it, or is not there: reading on would lose coils."""


class RegistryError(StoreError):
    """A change of what serves was refused, for the reason that it says: nothing was changed."""


class NotFoundError(CoilflowError):
    """The database knows nothing of what was asked for."""


class NifiError(CoilflowError):
    """NiFi cannot be reached, or refused."""
