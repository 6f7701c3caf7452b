"""The cluster that AutoML trains on: found by its name, or made so that it shrinks to nothing when idle."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from bankmlops.azure.errors import translated
from bankmlops.azure.retries import poll
from bankmlops.azure.workspace import CREATED_BY, AzureWorkspace
from bankmlops.errors import BackendUnavailableError, InvalidRequestError, NotFoundError
from bankmlops.types import CostlyResource

KIND = "AmlCompute"
NAME = re.compile(r"[A-Za-z](?:[A-Za-z0-9-]{0,22}[A-Za-z0-9])")
IDLE_SECONDS = 120
PROVISIONING_SECONDS = 900.0
FINAL = ("Succeeded", "Failed", "Canceled")


class Computes:
    """The workspace's clusters."""

    def __init__(self, workspace: AzureWorkspace) -> None:
        self._workspace = workspace

    def find_or_create(self, name: str) -> Any:
        """The cluster of this name; a new one where there is none. Raises `InvalidRequestError` for a name Azure won't take."""
        if not NAME.fullmatch(name):
            raise InvalidRequestError(
                f"compute_target {name!r} can't serve; use 2 to 24 letters, digits and dashes, a letter first, no dash last"
            )
        try:
            return self._find(name)
        except NotFoundError:
            return self._create(name)

    def maximum_nodes(self, compute: Any) -> int:
        settings = getattr(compute, "scale_settings", None)
        return int(getattr(settings, "maximum_node_count", None) or self._workspace.config.maximum_nodes)

    def costly(self) -> Sequence[CostlyResource]:
        """The clusters that this package made; it does not tell others' to be removed."""
        targets = self._workspace.sdk.compute_targets
        made = [name for name, target in targets.items() if CREATED_BY.items() <= (getattr(target, "tags", None) or {}).items()]
        return [CostlyResource(KIND, name) for name in sorted(made)]

    def release(self, name: str) -> None:
        """Delete the cluster and wait until it is gone; one that is not there is no error."""
        try:
            self._find(name).delete()
        except NotFoundError:
            return
        poll(lambda: self._is_gone(name), bool, what=f"the deletion of compute {name}", timeout_seconds=PROVISIONING_SECONDS)

    def _find(self, name: str) -> Any:
        from azureml.core.compute import ComputeTarget

        with translated(f"compute {name}"):
            return ComputeTarget(self._workspace.sdk, name)

    def _is_gone(self, name: str) -> bool:
        try:
            self._find(name)
        except NotFoundError:
            return True
        return False

    def _create(self, name: str) -> Any:
        from azureml.core.compute import AmlCompute, ComputeTarget

        config = self._workspace.config
        wanted = AmlCompute.provisioning_configuration(
            vm_size=config.vm_size,
            min_nodes=0,
            max_nodes=config.maximum_nodes,
            idle_seconds_before_scaledown=IDLE_SECONDS,
            tags=dict(CREATED_BY),
        )
        with translated(f"compute {name}"):
            compute = ComputeTarget.create(self._workspace.sdk, name, wanted)
        compute = self._until_provisioned(name)
        if str(compute.provisioning_state) != "Succeeded":
            errors = "; ".join(str(error) for error in compute.provisioning_errors or ()) or "no reason was given"
            raise BackendUnavailableError(f"compute {name} ({config.vm_size}) was not provisioned: {' '.join(errors.split())}")
        return compute

    def _until_provisioned(self, name: str) -> Any:
        return poll(
            lambda: self._find(name),
            lambda compute: str(compute.provisioning_state) in FINAL,
            what=f"compute {name}",
            timeout_seconds=PROVISIONING_SECONDS,
        )
