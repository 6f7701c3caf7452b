"""Endpoints on Azure Container Instances: a model behind the scoring script and the environment of its own AutoML run."""

from __future__ import annotations

import logging
import re
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from bankmlops.azure.automl_runs import download_file
from bankmlops.azure.errors import translated
from bankmlops.azure.models import Models
from bankmlops.azure.names import check_endpoint_name
from bankmlops.azure.retries import TimedOutError, poll
from bankmlops.azure.run_records import find_run
from bankmlops.azure.service_operations import Operation, wait_for_operation
from bankmlops.azure.workspace import CREATED_BY, AzureWorkspace
from bankmlops.errors import BankMLOpsError, ConflictError, DeploymentFailedError, InvalidRequestError, NotFoundError
from bankmlops.types import CostlyResource, DeploymentConfig, Endpoint, EndpointKeys, EndpointState, KeyName, Model, Runtime

KIND = "ACI"
PREVIOUS_TAG = "previous_model"
WORKER_COUNT = "WORKER_COUNT"  # what Microsoft's inference server reads in the container
SCORING_SCRIPT = "outputs/scoring_file_v_1_0_0.py"
CONDA_FILE = "outputs/conda_env_v_1_0_0.yml"
MINIMUM_DEPLOYMENT_SECONDS = 1800.0  # the first deployment of an environment builds its image
UPDATE_SECONDS = 600.0
DELETION_SECONDS = 300.0
MAXIMUM_LINES = 5000
LAST_LINES = 10
LAST_EXCEPTIONS = 3
EXCEPTION = re.compile(r"[A-Za-z_][\w.]*(Error|Exception)\b.*: ")

log = logging.getLogger(__name__)


class Endpoints:
    """The workspace's services on Azure Container Instances."""

    def __init__(self, workspace: AzureWorkspace, models: Models) -> None:
        self._workspace = workspace
        self._models = models

    def deploy(self, model: Model, config: DeploymentConfig) -> Endpoint:
        """Serve the model and wait until it is healthy; whatever goes wrong, nothing of it is left."""
        _check(config)
        registered = self._models.find(model.name, model.version)
        if self._exists(config.name):
            raise ConflictError(f"endpoint {config.name} exists already; delete it, or choose another name")
        begin = time.monotonic()
        service = self._create(registered, config)
        try:
            self._wait_until_healthy(service, max(config.timeout_seconds, MINIMUM_DEPLOYMENT_SECONDS))
        except BaseException:
            self._remove(config.name)
            raise
        return replace(self.get(config.name), cold_start_seconds=time.monotonic() - begin)

    def get(self, name: str) -> Endpoint:
        return _endpoint(self._find(name))

    def list(self) -> Sequence[Endpoint]:
        """Every service on ACI, by name."""
        return sorted((_endpoint(service) for service in self._services()), key=lambda endpoint: endpoint.name)

    def update(self, name: str, model: Model) -> Endpoint:
        """Serve another model. Azure starts its container anew meanwhile; one that can't serve is replaced by the one before."""
        service = self._serving(name)
        registered = self._models.find(model.name, model.version)
        if _name_of(registered) == _name_of(service.models[0]):
            raise ConflictError(f"endpoint {name} serves version {registered.version} of {registered.name} already")
        return self._switch(service, registered)

    def rollback(self, name: str) -> Endpoint:
        """Serve the model that a tag of the service remembers."""
        service = self._serving(name)
        model, _, version = str((service.tags or {}).get(PREVIOUS_TAG, "")).rpartition(":")
        if not model:
            raise ConflictError(f"endpoint {name} served no other model before, so there is none to go back to")
        return self._switch(service, self._models.find(model, version))

    def set_app_insights(self, name: str, enabled: bool) -> Endpoint:
        service = self._find(name)
        if bool(service.enable_app_insights) is not enabled:
            with translated(f"endpoint {name}"):
                service.update(enable_app_insights=enabled)
            wait_for_operation(service, UPDATE_SECONDS)
        return self.get(name)

    def set_data_collection(self, name: str, enabled: bool) -> Endpoint:
        """A service on ACI collects nothing, so that is all it can be told. Raises `InvalidRequestError` for more."""
        if enabled:
            raise InvalidRequestError("a service on Azure Container Instances can't collect model data; the local backend's can")
        return self.get(name)

    def keys(self, name: str) -> EndpointKeys:
        return EndpointKeys(*_with_keys(self._find(name)).get_keys())

    def regenerate_key(self, name: str, which: KeyName) -> EndpointKeys:
        service = _with_keys(self._find(name))
        with translated(f"endpoint {name}"):
            service.regen_key(str(which))
        return self.keys(name)

    def logs(self, name: str) -> Sequence[str]:
        """The newest 5,000 lines, oldest first."""
        return _lines(self._find(name))[-MAXIMUM_LINES:]

    def delete(self, name: str) -> None:
        """Take it down and wait until it is gone; one that is not there is no error."""
        try:
            service = self._find(name)
        except NotFoundError:
            return
        with translated(f"endpoint {name}"):
            service.delete()
        poll(lambda: self._exists(name), _is_false, what=f"the deletion of endpoint {name}", timeout_seconds=DELETION_SECONDS)

    def costly(self) -> Sequence[CostlyResource]:
        """The services that this package made; it does not tell others' to be removed."""
        made = [service.name for service in self._services() if CREATED_BY.items() <= (service.tags or {}).items()]
        return [CostlyResource(KIND, str(name)) for name in sorted(made)]

    def _services(self) -> Sequence[Any]:
        from azureml.core.webservice import Webservice

        return list(Webservice.list(self._workspace.sdk, compute_type="ACI"))

    def _find(self, name: str) -> Any:
        from azureml.core.webservice import Webservice

        with translated(f"endpoint {name}"):
            return Webservice(self._workspace.sdk, name)

    def _exists(self, name: str) -> bool:
        try:
            self._find(name)
        except NotFoundError:
            return False
        return True

    def _serving(self, name: str) -> Any:
        service = self._find(name)
        if service.state != "Healthy" or not service.models:
            raise ConflictError(f"endpoint {name} does not serve; `bankmlops endpoints logs {name}` may tell why")
        return service

    def _switch(self, service: Any, registered: Any) -> Endpoint:
        before = self._models.find(service.models[0].name, str(service.models[0].version))
        tags = dict(service.tags or {})
        try:
            self._replace_model(service, registered, {**tags, PREVIOUS_TAG: _name_of(before)})
        except DeploymentFailedError as error:
            self._replace_model(service, before, tags)
            goes_on, wanted = _name_of(before), _name_of(registered)
            message = f"endpoint {service.name} goes on with {goes_on}, since {wanted} can't be served: {error}"
            raise DeploymentFailedError(message) from error
        return self.get(service.name)

    def _replace_model(self, service: Any, registered: Any, tags: Mapping[str, str]) -> None:
        with tempfile.TemporaryDirectory(prefix="bankmlops-update-") as folder, translated(f"endpoint {service.name}"):
            inference = self._inference(registered, service.name, Path(folder), _worker_count(service))
            service.update(models=[registered], inference_config=inference, tags=dict(tags))
        self._wait_until_healthy(service, MINIMUM_DEPLOYMENT_SECONDS)

    def _create(self, registered: Any, config: DeploymentConfig) -> Any:
        from azureml.core import Model as SdkModel
        from azureml.core.webservice import AciWebservice

        wanted = AciWebservice.deploy_configuration(
            cpu_cores=config.cpu_cores,
            memory_gb=config.memory_gb,
            auth_enabled=config.auth_enabled,
            enable_app_insights=config.app_insights,
            tags={**config.tags, **CREATED_BY},
        )
        with tempfile.TemporaryDirectory(prefix="bankmlops-deployment-") as folder, translated(f"endpoint {config.name}"):
            inference = self._inference(registered, config.name, Path(folder), str(config.workers))
            return SdkModel.deploy(self._workspace.sdk, config.name, [registered], inference, wanted)

    def _inference(self, registered: Any, name: str, folder: Path, worker_count: str) -> Any:
        """The scoring script and the environment that AutoML wrote beside the model."""
        from azureml.core import Environment
        from azureml.core.model import InferenceConfig

        if not registered.run_id:
            raise InvalidRequestError(
                f"model {registered.name} version {registered.version} comes from no run, so it has no script"
            )
        run = find_run(self._workspace.sdk, str(registered.run_id))
        script = download_file(run, SCORING_SCRIPT, folder / "source")
        conda = download_file(run, CONDA_FILE, folder)
        environment = Environment.from_conda_specification(f"{name}-environment", str(conda))
        environment.environment_variables = {WORKER_COUNT: worker_count}
        return InferenceConfig(entry_script=script.name, source_directory=str(script.parent), environment=environment)

    def _wait_until_healthy(self, service: Any, timeout_seconds: float) -> None:
        try:
            operation = wait_for_operation(service, timeout_seconds)
        except TimedOutError as error:
            operation = Operation("TimedOut", str(error))
        found = self._find(service.name)
        if not operation.succeeded or found.state != "Healthy":
            raise DeploymentFailedError(_failure(found, operation))

    def _remove(self, name: str) -> None:
        """Undo a deployment; the error that brought us here is the one to be told."""
        try:
            self.delete(name)
        except BankMLOpsError as error:
            log.warning("endpoint %s could not be removed: %s", name, error)


def _check(config: DeploymentConfig) -> None:
    check_endpoint_name(config.name)
    if config.port:
        raise InvalidRequestError(f"port {config.port} has no equivalent on Azure, which serves on 80 and 443: leave it out")
    if config.runtime is not Runtime.AUTO:
        raise InvalidRequestError(f"runtime {config.runtime}: on Azure Container Instances serve it; leave it out")
    for field in ("cors_origins", "plain_json", "unknown_categories", "collect_model_data"):
        if getattr(config, field) != getattr(DeploymentConfig(config.name), field):
            raise InvalidRequestError(f"{field} has no equivalent on Azure, where AutoML's script answers: leave it out")
    for field in ("cpu_cores", "memory_gb", "workers"):
        if getattr(config, field) <= 0:
            raise InvalidRequestError(f"{field} is {getattr(config, field)}; give a number above 0")


def _name_of(model: Any) -> str:
    return f"{model.name}:{model.version}"


def _worker_count(service: Any) -> str:
    variables = (service.environment.environment_variables or {}) if service.environment else {}
    return str(variables.get(WORKER_COUNT, 1))


def _with_keys(service: Any) -> Any:
    if not service.auth_enabled:
        raise ConflictError(f"endpoint {service.name} has no key authentication, so it has no keys")
    return service


def _lines(service: Any) -> list[str]:
    with translated(f"the logs of endpoint {service.name}"):
        return str(service.get_logs(num_lines=MAXIMUM_LINES) or "").splitlines()


def _failure(service: Any, operation: Operation) -> str:
    """One line: Azure's word, its reason, and the end of the log."""
    try:
        told = _telling([line.strip() for line in _lines(service) if line.strip()])
    except BankMLOpsError as error:  # a container that never began has no log
        told = [str(error)]
    reason = f": {operation.error}" if operation.error else ""
    return f"endpoint {service.name} ended {service.state}{reason}; its log ends with: {' | '.join(told) or '(nothing)'}"


def _telling(lines: list[str]) -> list[str]:
    """The last lines, and before them the scoring script's own exceptions, which the server's last words push out of sight."""
    last = lines[-LAST_LINES:]
    raised = dict.fromkeys(line for line in lines[:-LAST_LINES] if EXCEPTION.match(line))
    return [*[line for line in raised if line not in last][-LAST_EXCEPTIONS:], *last]


def _endpoint(service: Any) -> Endpoint:
    model = service.models[0] if service.models else None
    return Endpoint(
        name=str(service.name),
        state=_state(str(service.state)),
        scoring_uri=str(service.scoring_uri or ""),
        swagger_uri=str(service.swagger_uri or ""),
        runtime=KIND,
        model_name=str(model.name) if model else "",
        model_version=str(model.version) if model else "",
        auth_enabled=bool(service.auth_enabled),
        app_insights=bool(service.enable_app_insights),
        created=service.created_time,
        tags={name: value for name, value in (service.tags or {}).items() if name != PREVIOUS_TAG},
    )


def _state(word: str) -> EndpointState:
    """Azure's word as ours; one that is new to us, such as Unschedulable, is no healthy one."""
    return EndpointState(word) if word in list(EndpointState) else EndpointState.UNHEALTHY


def _is_false(value: bool) -> bool:
    return not value
