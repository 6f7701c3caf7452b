"""What is told of a service on ACI, and what is refused before anything is uploaded."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from azureml.exceptions import WebserviceException

from bankmlops.azure.endpoints import _check, _failure, _state
from bankmlops.azure.service_operations import Operation, _line, wait_for_operation
from bankmlops.errors import InvalidRequestError
from bankmlops.types import DeploymentConfig, EndpointState, Runtime, UnknownCategories


class _Service:
    """The SDK's service, as far as its log is concerned."""

    name = "bank"
    state = "Failed"

    def __init__(self, log: str | Exception) -> None:
        self._log = log

    def get_logs(self, num_lines: int) -> str:
        if isinstance(self._log, Exception):
            raise self._log
        return self._log


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"name": "Not A Name"}, "Not A Name"),
        ({"name": "ab"}, "3 to 32"),
        ({"name": "ends-"}, "no dash last"),
        ({"port": 8080}, "port 8080 has no equivalent"),
        ({"cors_origins": ("*",)}, "cors_origins has no equivalent"),
        ({"plain_json": True}, "plain_json has no equivalent"),
        ({"collect_model_data": True}, "collect_model_data has no equivalent"),
        ({"unknown_categories": UnknownCategories.REFUSE}, "unknown_categories has no equivalent"),
        ({"runtime": Runtime.PROCESS}, "runtime process: on Azure"),
        ({"cpu_cores": 0.0}, "cpu_cores"),
        ({"memory_gb": -1.0}, "memory_gb"),
    ],
)
def test_what_cant_serve(changes: dict[str, object], words: str) -> None:
    """A deployment that Azure would not take is one line that says what would serve."""
    with pytest.raises(InvalidRequestError, match=words):
        _check(DeploymentConfig(**{"name": "bank", **changes}))  # type: ignore[arg-type]


def test_a_failure_tells_the_end_of_the_log() -> None:
    """State, reason and the last ten lines are one line."""
    log = "\n".join(f"line {number}" for number in range(30)) + "\n\nValueError: no such column\n"
    text = _failure(_Service(log), Operation("Failed", "the container crashed"))
    assert text.startswith("endpoint bank ended Failed: the container crashed; its log ends with: line 21 |")
    assert text.endswith("ValueError: no such column")
    assert "\n" not in text


def test_a_failure_tells_what_the_script_raised() -> None:
    """The script's own exception is told even where the server's last words would push it out of sight."""
    lines = [
        "Traceback:",
        '  File "score.py"',
        "KeyError: 'age'",
        "ValueError: no such column: age",
        *["the server says good-bye"] * 30,
    ]
    text = _failure(_Service("\n".join(lines)), Operation("Failed"))
    assert "ValueError: no such column: age | the server says good-bye" in text


def test_a_failure_without_a_log() -> None:
    """A container that never began has no log, and the failure is told all the same."""
    text = _failure(_Service(WebserviceException("Response Code: 404")), Operation("Failed", "no quota"))
    assert "no quota" in text
    assert "\n" not in text


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (None, ""),
        ("a\nb", "a b"),
        ({"message": "outer", "details": [{"message": "the container\ncrashed"}]}, "the container crashed"),
        ({"message": "outer", "details": []}, "outer"),
        ({"code": "Odd"}, '{"code": "Odd"}'),
    ],
)
def test_the_reason_of_an_operation(error: object, line: str) -> None:
    """The innermost message, on one line."""
    assert _line(error) == line


def test_waiting_for_an_operation(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is asked for until it is in a final state, whatever that is."""
    monkeypatch.setattr("time.sleep", lambda _seconds: None)
    states = iter([("NotStarted", None, {}), ("Running", None, {}), ("Failed", {"message": "no quota"}, {})])
    service = SimpleNamespace(name="bank", _get_operation_state=lambda: next(states))
    assert wait_for_operation(service, 60) == Operation("Failed", "no quota")


def test_a_state_that_is_new_to_us() -> None:
    """Azure's words are ours; one that is not known is no healthy one."""
    assert _state("Healthy") is EndpointState.HEALTHY
    assert _state("Transitioning") is EndpointState.TRANSITIONING
    assert _state("Unschedulable") is EndpointState.UNHEALTHY
