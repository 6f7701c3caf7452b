"""The SDK's workspace, opened once and shared: who we are, where we are, and what answers there."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from typing import Any

from bankmlops.azure.authentication import Credentials, choose_credentials, sdk_authentication
from bankmlops.azure.configuration import AzureConfig
from bankmlops.azure.errors import translated
from bankmlops.azure.quiet import hush
from bankmlops.azure.retries import bound_the_sdk
from bankmlops.types import Workspace

CREATED_BY = {"created_by": "bankmlops"}


class AzureWorkspace:
    """The configured workspace; the SDK is imported and asked when `sdk` is first read."""

    def __init__(self, config: AzureConfig, environ: Mapping[str, str] = os.environ) -> None:
        self.config = config
        self._environ = environ
        self._lock = threading.Lock()
        self._sdk: Any = None

    @property
    def sdk(self) -> Any:
        """The SDK's Workspace. Raises `AuthenticationError`, `NotFoundError`, `BackendUnavailableError`."""
        with self._lock:
            if self._sdk is None:
                self._sdk = self._open(choose_credentials(self._environ))
            return self._sdk

    def _open(self, credentials: Credentials) -> Any:
        hush()
        bound_the_sdk()
        from azureml.core import Workspace as SdkWorkspace

        hush()  # its import sets the levels of its loggers anew
        config = self.config
        with translated(f"Azure ML workspace {config.workspace_name}"):
            authentication = sdk_authentication(credentials)
            return SdkWorkspace(config.subscription_id, config.resource_group, config.workspace_name, auth=authentication)

    def describe(self) -> Workspace:
        sdk = self.sdk
        return Workspace(str(sdk.name), str(sdk.location), str(sdk.subscription_id), str(sdk.resource_group))

    def authorization_header(self) -> Mapping[str, str]:
        header = self.sdk._auth_object.get_authentication_header()
        return {"Authorization": str(header["Authorization"])}
