"""One emulator: its secrets, addresses and state, and the workspaces that exist as soon as they are asked for."""

from __future__ import annotations

import base64
import json
import secrets
import threading
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from bankmlops.emulator.files import make_private_folder, write_private
from bankmlops.emulator.state import Document, Documents, Store
from bankmlops.emulator.storage.blobs import BlobName, BlobStore
from bankmlops.emulator.web.faults import Faults

if TYPE_CHECKING:
    from bankmlops.backend import Backend

ACCOUNT_PREFIX = "bankmlops"
AZURE_HOSTS = frozenset({"management.azure.com", "login.microsoftonline.com", "login.windows.net"})
BLOB_SUFFIX = ".blob.core.windows.net"
SUBSCRIPTION_ID = "00000000-0000-0000-0000-000000000000"


@dataclass(frozen=True, slots=True)
class Secrets:
    """What only this instance knows; none of it shows in a repr."""

    msi: str = field(repr=False)
    signing_key: str = field(repr=False)
    control: str = field(repr=False)
    tenant_id: str
    client_id: str
    client_secret: str = field(repr=False)
    user_id: str

    def hidden(self) -> tuple[str, ...]:
        """Those that nobody else may see."""
        return self.msi, self.signing_key, self.control, self.client_secret


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where this instance listens, on the loopback interface alone."""

    http_port: int
    https_port: int
    proxy_port: int

    @property
    def base_url(self) -> str:
        """What the discovery service hands out for each service behind ARM."""
        return f"http://127.0.0.1:{self.http_port}"


class Emulator:
    """The state of a running emulator, and the backend that trains for it."""

    def __init__(self, folder: Path, time_scale: float = 1.0) -> None:
        """Open (or begin) the state in `folder`. `time_scale` is the share of an asked budget that AutoML may use, 0 to 1."""
        make_private_folder(folder)
        self.folder = folder
        self.time_scale = time_scale
        self.secrets = _load_secrets(folder / "secrets.json")
        self.addresses = Addresses(0, 0, 0)
        self.store = Store(folder / "state.sqlite")
        self.blobs = BlobStore(self.store, folder / "blobs")
        self.faults = Faults()
        self.is_at_work = False  # whether runs and services are carried out meanwhile, so that they are worth waiting for
        self._lock = threading.Lock()
        self._backend: Backend | None = None

    @property
    def base_url(self) -> str:
        """The URL of the services behind ARM, for links that the emulator hands out."""
        return self.addresses.base_url

    @property
    def backend(self) -> Backend:
        """The local backend that carries out AutoML and pipelines, opened when first wanted."""
        with self._lock:
            if self._backend is None:
                from bankmlops.connect import connect

                self._backend = connect("local", self.folder / "workspace")
            return self._backend

    def workspace(self, subscription_id: str, resource_group: str, name: str) -> WorkspaceState:
        """The workspace of these names; any exists, with an id and a storage account of its own, as soon as it is named."""
        key = f"{subscription_id}/{resource_group}/{name}".lower()
        shared = Documents(self.store, "")
        record = shared.get("workspace", key)
        if record is None:
            self.add_subscription(subscription_id)
            record = shared.get_or_create("workspace", key, lambda: _new_workspace(subscription_id, resource_group, name))
        return WorkspaceState(self, subscription_id, resource_group, name, record, Documents(self.store, record["id"]))

    def add_subscription(self, subscription_id: str) -> None:
        """Have the list of subscriptions hold this one: the SDK looks there before it asks for a workspace."""
        Documents(self.store, "").put("subscription", subscription_id.lower(), {"id": subscription_id})

    def subscriptions(self) -> list[str]:
        """The emulator's own subscription, and those it was told of or has met."""
        met = [str(record["id"]) for record in Documents(self.store, "").find("subscription")]
        return list(dict.fromkeys([SUBSCRIPTION_ID, *met]))

    def workspaces(self, subscription_id: str) -> list[WorkspaceState]:
        """The workspaces of a subscription that were asked for until now, oldest first."""
        records = Documents(self.store, "").find("workspace")
        own = [record for record in records if record["subscription_id"].lower() == subscription_id.lower()]
        return [self.workspace(record["subscription_id"], record["resource_group"], record["name"]) for record in own]

    def account_key(self, account: str) -> str | None:
        """The key of one of this instance's storage accounts, or None."""
        for record in Documents(self.store, "").find("workspace"):
            if record["account"] == account:
                return str(record["account_key"])
        return None

    def add_public_account(self, account: str, containers: Iterable[str]) -> None:
        """Have the blobs of another storage account be answered here, to whoever reads."""
        document = {"account": account, "containers": sorted(containers)}
        Documents(self.store, "").put("public_account", account, document)

    def remove_public_accounts(self) -> None:
        """Answer for no other storage account any more, and forget its blobs."""
        documents = Documents(self.store, "")
        for record in documents.find("public_account"):
            for container in record.get("containers", ()):
                for blob in self.blobs.find(record["account"], container):
                    self.blobs.delete(BlobName(blob.account, blob.container, blob.name))
            documents.delete("public_account", record["account"])

    def is_public(self, account: str) -> bool:
        """Whether it is an account whose blobs anybody may read and nobody may write."""
        return Documents(self.store, "").get("public_account", account) is not None

    def has_account(self, account: str) -> bool:
        """Whether this instance answers for the blobs of a storage account."""
        return self.account_key(account) is not None or self.is_public(account)

    def close(self) -> None:
        """Let go of the files."""
        self.store.close()


@dataclass(frozen=True, slots=True)
class WorkspaceState:
    """One workspace: its names, its storage account, its documents and, through `emulator`, all else."""

    emulator: Emulator
    subscription_id: str
    resource_group: str
    name: str
    record: Document = field(repr=False)
    documents: Documents = field(repr=False)

    @property
    def id(self) -> str:
        """The workspace id, unique to this state, so that the SDK's caches never meet a stranger's."""
        return str(self.record["id"])

    @property
    def account(self) -> str:
        """The name of the workspace's storage account."""
        return str(self.record["account"])

    @property
    def account_key(self) -> str:
        """The storage account's key, base64."""
        return str(self.record["account_key"])

    @property
    def path(self) -> str:
        """The ARM id: /subscriptions/.../workspaces/NAME."""
        return f"{self.group_path}/providers/Microsoft.MachineLearningServices/workspaces/{self.name}"

    @property
    def group_path(self) -> str:
        """The ARM id of the resource group."""
        return f"/subscriptions/{self.subscription_id}/resourceGroups/{self.resource_group}"


def _new_workspace(subscription_id: str, resource_group: str, name: str) -> Document:
    workspace_id = str(uuid.uuid4())
    return {
        "id": workspace_id,
        "subscription_id": subscription_id,
        "resource_group": resource_group,
        "name": name,
        "account": ACCOUNT_PREFIX + workspace_id.replace("-", "")[:12],
        "account_key": base64.b64encode(secrets.token_bytes(64)).decode(),
        "default_datastore": "workspaceblobstore",
    }


def _load_secrets(path: Path) -> Secrets:
    if not path.exists():
        write_private(path, json.dumps(_new_secrets()).encode())
    return Secrets(**json.loads(path.read_text("utf-8")))


def _new_secrets() -> dict[str, str]:
    return {
        "msi": secrets.token_urlsafe(32),
        "signing_key": secrets.token_urlsafe(48),
        "control": secrets.token_urlsafe(32),
        "tenant_id": str(uuid.uuid4()),
        "client_id": str(uuid.uuid4()),
        "client_secret": secrets.token_urlsafe(32),
        "user_id": str(uuid.uuid4()),
    }
