"""What can go wrong, in the words of the person who has to mend it.

    BankMLOpsError
    |-- AuthenticationError       who you are is missing, wrong or not enough
    |-- NotFoundError             no such dataset, run, model, endpoint or pipeline
    |-- ConflictError             the name is taken, or the thing is in the wrong state
    |-- InvalidRequestError       the input is at fault: the message says what, where, and what would serve
    |-- RunFailedError            a training or pipeline run ended without a result
    |-- DeploymentFailedError     an endpoint did not become ready; its last log lines are in the message
    `-- BackendUnavailableError   a server, a disk or a network is at fault, and trying again may help

Each message is one line for a terminal. HTTP codes and exit codes belong to those who speak HTTP or are a command.
"""


class BankMLOpsError(Exception):
    """The base of every error that a user can do something about."""


class AuthenticationError(BankMLOpsError):
    """Credentials are missing, wrong, expired or too weak."""


class NotFoundError(BankMLOpsError):
    """The named thing does not exist."""


class ConflictError(BankMLOpsError):
    """The name is taken, or the thing's state forbids the operation."""


class InvalidRequestError(BankMLOpsError):
    """The caller's input can't be used."""


class RunFailedError(BankMLOpsError):
    """A run ended in failure, or without what was asked of it."""


class DeploymentFailedError(BankMLOpsError):
    """An endpoint did not reach the state `Healthy`."""


class BackendUnavailableError(BankMLOpsError):
    """Something that the backend stands on did not answer.

    `retry_seconds` is after how long it wants to be asked again, where it said so.
    """

    def __init__(self, message: str = "", retry_seconds: float | None = None) -> None:
        super().__init__(message)
        self.retry_seconds = retry_seconds
