"""What the SDK and the cloud raise, in our own words: the one place where Azure's errors are known.

Classes are told by name, so that this module costs no import of the SDK, and because the SDK raises the same class for unlike
faults: the HTTP status decides where there is one. What is no error of Azure's (a TypeError, say) passes untouched.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from bankmlops.errors import (
    AuthenticationError,
    BackendUnavailableError,
    BankMLOpsError,
    ConflictError,
    InvalidRequestError,
    NotFoundError,
    RunFailedError,
)

MAXIMUM_LENGTH = 600
BY_STATUS: dict[int, type[BankMLOpsError]] = {
    400: InvalidRequestError,
    401: AuthenticationError,
    403: AuthenticationError,
    404: NotFoundError,
    405: InvalidRequestError,
    408: BackendUnavailableError,
    409: ConflictError,
    410: NotFoundError,
    412: ConflictError,
    413: InvalidRequestError,
    422: InvalidRequestError,
    424: ConflictError,
    429: BackendUnavailableError,
}
BY_CLASS: dict[str, type[BankMLOpsError]] = {
    "AuthenticationError": AuthenticationError,
    "AuthenticationException": AuthenticationError,
    "ClientAuthenticationError": AuthenticationError,
    "CredentialUnavailableError": AuthenticationError,
    "AzureSigninError": AuthenticationError,
    "MsalServiceError": AuthenticationError,
    "ResourceNotFoundError": NotFoundError,
    "ModelNotFoundException": NotFoundError,
    "ModelPathNotFoundException": NotFoundError,
    "WorkspaceException": NotFoundError,
    "ResourceExistsError": ConflictError,
    "ActivityFailedException": RunFailedError,
    "UserErrorException": InvalidRequestError,
    "ConfigException": InvalidRequestError,
    "ValidationException": InvalidRequestError,
    "UserException": InvalidRequestError,
    "DatasetValidationError": InvalidRequestError,
    "RunConfigurationException": InvalidRequestError,
    "ConnectionError": BackendUnavailableError,
    "Timeout": BackendUnavailableError,
    "ProxyError": BackendUnavailableError,
    "SSLError": BackendUnavailableError,
    "ServiceRequestError": BackendUnavailableError,
    "ServiceResponseError": BackendUnavailableError,
    "ClientRequestError": BackendUnavailableError,
    "DiscoveryUrlNotFoundException": BackendUnavailableError,
    "HTTPError": BackendUnavailableError,
}
OF_AZURE = ("AzureMLException", "AzureError", "ClientException", "AzureHttpError", "ErrorResponseException", "RequestException")
WORDS: tuple[tuple[str, type[BankMLOpsError]], ...] = (
    (r"AADSTS\d", AuthenticationError),
    (r"cannot find|not found|could not be found|does not exist|no such|NotFound", NotFoundError),
    (r"already exist|already a |already registered|in use|conflict", ConflictError),
    (r"authoriz|authenticat|credential|forbidden|permission|access token|az login", AuthenticationError),
    (r"timed out|timeout|connection|unavailable|temporarily", BackendUnavailableError),
)
SECRETS = re.compile(r"(sig=|AccountKey=|[Bb]earer\s+|client_secret[\"'=: ]+|[Kk]ey[\"']?\s*[=:]\s*[\"']?)[^\s\"'&,;}]+")

NO_ANSWER = re.compile(r"host='(?P<host>[^']+)'.*Caused by .*?[(:] ?['\"]?(?P<reason>[^:('\"]+)['\")]+$", re.DOTALL)


@contextmanager
def translated(subject: str = "") -> Iterator[None]:
    """Raise Azure's errors as ours; `subject` ("endpoint bank") opens the message."""
    try:
        yield
    except BankMLOpsError:
        raise
    except Exception as error:
        ours = translate(error, subject)
        if ours is None:
            raise
        raise ours from error


def translate(error: BaseException, subject: str = "") -> BankMLOpsError | None:
    """Our error for one of Azure's, None for one that is not Azure's. The message is one line and holds no secret."""
    kind = _kind(error)
    if kind is None:
        return None
    text = _message(error)
    line = f"{subject}: {text}" if subject else f"Azure ML: {text}"
    if kind is AuthenticationError:
        line += f" ({_advice(status_of(error))})"
    return kind(line)


def status_of(error: BaseException) -> int | None:
    """The HTTP status that an error bears: as an attribute, in its response, in its text, or in its cause."""
    for each in _history(error):
        response = getattr(each, "response", None)
        for holder in (each, response):
            status = getattr(holder, "status_code", None)
            if isinstance(status, int):
                return status
        found = re.search(r"(?:Response Code|status code|StatusCode|Code)[:=]?\s*'?([45]\d\d)\b", str(each), re.IGNORECASE)
        if found:
            return int(found[1])
    return None


def _kind(error: BaseException) -> type[BankMLOpsError] | None:
    names = [name for each in _causes(error) for name in _class_names(each)]
    known = next((BY_CLASS[name] for name in names if name in BY_CLASS), None)
    if known is None and not any(name in OF_AZURE for name in names):
        return None
    status = status_of(error)
    if status is not None and known is not AuthenticationError:
        return BackendUnavailableError if status >= 500 else BY_STATUS.get(status, InvalidRequestError)
    if known not in (None, InvalidRequestError, NotFoundError):
        return known
    told = _kind_told_by(_message(error))
    if known is InvalidRequestError and told is BackendUnavailableError:  # "experiment_timeout_hours is out of range"
        return known
    return told or known or BackendUnavailableError


def _kind_told_by(text: str) -> type[BankMLOpsError] | None:
    return next((kind for words, kind in WORDS if re.search(words, text, re.IGNORECASE)), None)


def _class_names(error: BaseException) -> Iterator[str]:
    """Names of the classes of libraries; built-in ones (OSError is a ConnectionError's base) say nothing of Azure."""
    return (kind.__name__ for kind in type(error).__mro__ if kind.__module__ != "builtins" or kind is ConnectionError)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and what it was raised from, at most eight."""
    return _chain(error, lambda each: each.__cause__)


def _history(error: BaseException) -> Iterator[BaseException]:
    """The error and all that led to it, at most eight: the SDK often replaces an error by one that has lost the status."""
    return _chain(error, lambda each: each.__cause__ or (None if each.__suppress_context__ else each.__context__))


def _chain(error: BaseException, before: Callable[[BaseException], BaseException | None]) -> Iterator[BaseException]:
    """Up to an error of ours, since what was being dealt with when it was raised is told already."""
    each: BaseException | None = error
    for _ in range(8):
        if each is None or isinstance(each, BankMLOpsError):
            return
        yield each
        each = before(each)


def _message(error: BaseException) -> str:
    """The most telling part of the error, on one line, bounded, without secrets."""
    message = getattr(error, "message", None)
    text = message if isinstance(message, str) and message.strip() else str(error)
    silent = NO_ANSWER.search(text)
    if silent:
        return f"{silent['host']} did not answer: {silent['reason']}"[:MAXIMUM_LENGTH]
    found = re.search(r"Content: (?:b)?(['\"])(.*)\1", text, re.DOTALL)
    inner = _inner_message(found[2]) if found else _inner_message(text)
    line = " ".join((inner or text).replace("\\n", " ").split()) or type(error).__name__
    return SECRETS.sub(r"\1***", line)[:MAXIMUM_LENGTH]


def _inner_message(text: str) -> str:
    """The `message` of the JSON error that a service answered with, or an empty text."""
    start = text.find("{")
    if start < 0:
        return ""
    try:
        document = json.JSONDecoder().raw_decode(text[start:].replace("\\'", "'"))[0]
    except ValueError:
        found = re.search(r'"[mM]essage":\s*"([^"]+)"', text)
        return found[1] if found else ""
    error = document.get("error", document) if isinstance(document, dict) else {}
    message = error.get("message") or error.get("Message") if isinstance(error, dict) else None
    return message if isinstance(message, str) else ""


def _advice(status: int | None) -> str:
    if status == 403:
        return "the identity lacks a role: give it AzureML Data Scientist or Contributor on the workspace"
    return "check the credentials: a service principal's variables, `az login`, or BANKMLOPS_AZURE_AUTH"
