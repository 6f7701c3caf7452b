"""The SDK's own exceptions, in our words: the kind, one line, and no secret."""

from __future__ import annotations

import pytest
import requests
from azure.core.exceptions import ClientAuthenticationError
from azureml._restclient.exceptions import ServiceException
from azureml._vendor.azure_cli_core.azclierror import AuthenticationError as AzureCliAuthenticationError
from azureml.core.compute_target import ComputeTargetException
from azureml.exceptions import AuthenticationException, ProjectSystemException, UserErrorException, WebserviceException
from azureml.train.automl.exceptions import ConfigException
from msrest.exceptions import HttpOperationError

from bankmlops.azure.errors import status_of, translate, translated
from bankmlops.errors import (
    AuthenticationError,
    BackendUnavailableError,
    BankMLOpsError,
    ConflictError,
    InvalidRequestError,
    NotFoundError,
)

BAD_RESPONSE = "Received bad response from Model Management Service:\nResponse Code: {}\nHeaders: {{}}\nContent: b'{}'"


def _answer(status: int, text: str = "") -> requests.Response:
    response = requests.Response()
    response.status_code = status
    response._content = text.encode()
    return response


def _service(status: int) -> Exception:
    response = _answer(status, '{"error": {"code": "UserError", "message": "the words of the service"}}')
    return ServiceException(HttpOperationError(lambda _kind, _response: None, response))


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (WebserviceException("WebserviceNotFound: Webservice with name x not found in provided workspace"), NotFoundError),
        (WebserviceException("Error, there is already a service with name x found in workspace w"), ConflictError),
        (WebserviceException(BAD_RESPONSE.format(409, "{}")), ConflictError),
        (WebserviceException(BAD_RESPONSE.format(503, "down")), BackendUnavailableError),
        (ComputeTargetException("ComputeTargetNotFound: Compute Target with name x not found"), NotFoundError),
        (_service(404), NotFoundError),
        (_service(401), AuthenticationError),
        (_service(403), AuthenticationError),
        (_service(400), InvalidRequestError),
        (_service(429), BackendUnavailableError),
        (_service(500), BackendUnavailableError),
        (UserErrorException("Expected page_count value is between 20 and 255"), InvalidRequestError),
        (AuthenticationException("Could not retrieve user token. Please run 'az login'"), AuthenticationError),
        (ClientAuthenticationError("AADSTS7000215: Invalid client secret provided"), AuthenticationError),
        (AzureCliAuthenticationError("AADSTS7000215: Invalid client secret provided"), AuthenticationError),
        (UserErrorException("AADSTS90002: Tenant 'x' not found"), AuthenticationError),
        (ProjectSystemException("something that nobody foresaw"), BackendUnavailableError),
        (requests.ConnectionError("HTTPSConnectionPool(host='management.azure.com')"), BackendUnavailableError),
        (requests.ReadTimeout("read timed out"), BackendUnavailableError),
        (requests.HTTPError("404 Client Error", response=_answer(404)), NotFoundError),
        (ConfigException.create_without_pii("Value for argument [n] is out of range"), InvalidRequestError),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else value.__name__,
)
def test_each_becomes_ours(error: Exception, kind: type[BankMLOpsError]) -> None:
    """The HTTP status decides, then the class, then the words; the subject opens the one line."""
    ours = translate(error, "endpoint x")
    assert type(ours) is kind
    assert str(ours).startswith("endpoint x: ")
    assert "\n" not in str(ours)
    assert len(str(ours)) < 900


@pytest.mark.parametrize("error", [TypeError("a bug"), ValueError("a bug"), KeyError("a bug"), OSError(28, "disk full")])
def test_what_is_not_azures_passes(error: Exception) -> None:
    """A bug of ours is not dressed up as a fault of the cloud."""
    assert translate(error) is None
    with pytest.raises(type(error)), translated("run x"):
        raise error


def test_an_error_of_ours_passes() -> None:
    """An error that is ours already keeps its words."""
    with pytest.raises(ConflictError, match=r"^taken$"), translated("endpoint x"):
        raise ConflictError("taken")


def test_the_services_own_words_are_told() -> None:
    """Of a JSON answer the message is shown, and not the document."""
    error = WebserviceException(BAD_RESPONSE.format(400, '{"code":"BadRequest","message":"cpu must be below 4"}'))
    assert str(translate(error, "endpoint x")) == "endpoint x: cpu must be below 4"


@pytest.mark.parametrize(
    ("cause", "reason"),
    [
        ("ResponseError('too many 503 error responses')", "too many 503 error responses"),
        (
            "NewConnectionError('<urllib3.connection.HTTPConnection object at 0x7f>: Failed to establish a new connection: "
            "[Errno 111] Connection refused')",
            "[Errno 111] Connection refused",
        ),
    ],
)
def test_a_host_that_does_not_answer(cause: str, reason: str) -> None:
    """The host and the reason are told, and not the address with all its parts."""
    text = (
        f"HTTPSConnectionPool(host='history.azureml.ms', port=443): Max retries exceeded with url: /a/b?c=d (Caused by {cause})"
    )
    assert str(translate(requests.ConnectionError(text), "run x")) == f"run x: history.azureml.ms did not answer: {reason}"


def test_who_lacks_a_role_is_told_so() -> None:
    """A 403 speaks of roles, a 401 of credentials."""
    assert "role" in str(translate(_service(403)))
    assert "credentials" in str(translate(_service(401)))


@pytest.mark.parametrize(
    "text",
    [
        "GET https://a.blob.core.windows.net/c/b?sv=1&sig=s3cr3t%3D failed",
        "DefaultEndpointsProtocol=https;AccountName=a;AccountKey=s3cr3t==;EndpointSuffix=x",
        "Headers: {'Authorization': 'Bearer s3cr3t'}",
        "{'primaryKey': 's3cr3t', 'secondaryKey': 's3cr3t'}",
        "client_secret=s3cr3t was refused",
    ],
)
def test_secrets_are_cut_out(text: str) -> None:
    """Signatures, account keys, tokens and endpoint keys don't reach a message."""
    assert "s3cr3t" not in str(translate(WebserviceException(text)))


def test_the_status_is_found_in_what_led_to_the_error() -> None:
    """The SDK replaces an error by one without a status; the first one's still counts."""
    with pytest.raises(WebserviceException) as caught:
        _raise_while_dealing_with(requests.HTTPError("gone", response=_answer(404)))
    assert status_of(caught.value) == 404
    assert type(translate(caught.value)) is NotFoundError


def test_a_bug_stays_a_bug_whatever_led_to_it() -> None:
    """A mistake in the code that deals with an error of Azure's is not taken for that error."""
    bug = TypeError("a bug")
    bug.__context__ = _service(404)
    assert translate(bug) is None


def test_an_error_that_was_dealt_with_does_not_count() -> None:
    """What fails while we make the thing that was not found has its own reason, not that it was not found."""
    with pytest.raises(WebserviceException) as caught:
        _raise_while_dealing_with(NotFoundError("compute x: there is none"))
    assert type(translate(caught.value)) is BackendUnavailableError


def _raise_while_dealing_with(first: Exception) -> None:
    try:
        raise first
    except Exception:
        raise WebserviceException("Received bad response: Response Code: None")  # noqa: B904
