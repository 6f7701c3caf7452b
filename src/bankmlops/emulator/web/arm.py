"""Azure Resource Manager: the cloud's metadata, subscriptions, and workspaces, any of which exists once it is asked for."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request

from bankmlops.emulator.instance import WorkspaceState
from bankmlops.emulator.state import Documents
from bankmlops.emulator.web.routing import Router
from bankmlops.emulator.web.wire import WS, EmulatorState, JsonBody, Workspace, now

router = Router()
metadata_router = Router()

LOCATION = "westeurope"
ARM_HOST = "https://management.azure.com"
_SDK_V2 = "2023"  # SDK v1 asks for versions up to 2022-05-01; it is spared TLS behind Azure Resource Manager


@metadata_router.get("/metadata/endpoints")
async def cloud_metadata() -> list[dict[str, Any]]:
    """The one cloud there is, under Azure's own names."""
    return [
        {
            "name": "AzureCloud",
            "portal": "https://portal.azure.com",
            "authentication": {
                "loginEndpoint": "https://login.microsoftonline.com/",
                "audiences": ["https://management.core.windows.net/", "https://management.azure.com/"],
                "tenant": "common",
                "identityProvider": "AAD",
            },
            "resourceManager": ARM_HOST,
            "graph": "https://graph.windows.net/",
            "graphAudience": "https://graph.windows.net/",
            "batch": "https://batch.core.windows.net/",
            "media": "https://rest.media.azure.net",
            "gallery": "https://gallery.azure.com/",
            "vmImageAliasDoc": "",
            "sqlManagement": "https://management.core.windows.net:8443/",
            "activeDirectoryDataLake": "https://datalake.azure.net/",
            "suffixes": {
                "storage": "core.windows.net",
                "keyVaultDns": "vault.azure.net",
                "acrLoginServer": "azurecr.io",
                "sqlServerHostname": "database.windows.net",
                "azureDataLakeStoreFileSystem": "azuredatalakestore.net",
                "azureDataLakeAnalyticsCatalogAndJob": "azuredatalakeanalytics.net",
            },
        }
    ]


@router.get("/subscriptions")
async def list_subscriptions(emulator: EmulatorState) -> dict[str, Any]:
    """The subscriptions that this emulator was started for, or has met."""
    return {"value": [_subscription(each, emulator.secrets.tenant_id) for each in emulator.subscriptions()]}


@router.get("/subscriptions/{subscription_id}")
async def get_subscription(subscription_id: str, emulator: EmulatorState) -> dict[str, Any]:
    """Any subscription exists."""
    return _subscription(subscription_id, emulator.secrets.tenant_id)


@router.get("/subscriptions/{subscription_id}/resourceGroups/{resource_group}")
async def get_resource_group(subscription_id: str, resource_group: str) -> dict[str, Any]:
    """Any resource group exists."""
    return {
        "id": f"/subscriptions/{subscription_id}/resourceGroups/{resource_group}",
        "name": resource_group,
        "location": LOCATION,
        "tags": {},
        "properties": {"provisioningState": "Succeeded"},
    }


@router.get("/subscriptions/{subscription_id}/resources")
@router.get("/subscriptions/{subscription_id}/providers/Microsoft.MachineLearningServices/workspaces")
async def list_workspaces(subscription_id: str, emulator: EmulatorState) -> dict[str, Any]:
    """The workspaces of a subscription, as `Workspace.list` asks for them."""
    return {"value": [_workspace_document(each) for each in emulator.workspaces(subscription_id)]}


@router.get("/subscriptions/{subscription_id}/resourceGroups/{resource_group}/resources")
@router.get(WS.removesuffix("/{workspace}"))
async def list_workspaces_of_group(subscription_id: str, resource_group: str, emulator: EmulatorState) -> dict[str, Any]:
    """Those of one resource group."""
    found = [each for each in emulator.workspaces(subscription_id) if each.resource_group.lower() == resource_group.lower()]
    return {"value": [_workspace_document(each) for each in found]}


@router.get(WS)
async def get_workspace(workspace: Workspace, request: Request) -> dict[str, Any]:
    """The workspace; it is made on first sight."""
    document = _workspace_document(workspace)
    if request.query_params.get("api-version", "") >= _SDK_V2:
        document["properties"]["discoveryUrl"] = f"{ARM_HOST}/discovery"
    return document


@router.patch(WS)
async def update_workspace(workspace: Workspace, body: JsonBody) -> dict[str, Any]:
    """Tags, friendly name and description."""
    key = f"{workspace.subscription_id}/{workspace.resource_group}/{workspace.name}".lower()
    changes = {"tags": body.get("tags"), **(body.get("properties") or {})}
    wanted = {name: changes[name] for name in ("tags", "friendlyName", "description") if changes.get(name) is not None}
    Documents(workspace.emulator.store, "").update("workspace", key, lambda record: record.update(wanted))
    fresh = workspace.emulator.workspace(workspace.subscription_id, workspace.resource_group, workspace.name)
    return _workspace_document(fresh)


def _subscription(subscription_id: str, tenant_id: str) -> dict[str, Any]:
    return {
        "id": f"/subscriptions/{subscription_id}",
        "subscriptionId": subscription_id,
        "displayName": "Emulator",
        "state": "Enabled",
        "tenantId": tenant_id,
    }


def _workspace_document(workspace: WorkspaceState) -> dict[str, Any]:
    providers = f"{workspace.group_path}/providers"
    tenant_id = workspace.emulator.secrets.tenant_id
    return {
        "id": workspace.path,
        "name": workspace.name,
        "type": "Microsoft.MachineLearningServices/workspaces",
        "location": LOCATION,
        "tags": workspace.record.get("tags", {}),
        "sku": {"name": "Basic", "tier": "Basic"},
        "identity": {"type": "SystemAssigned", "principalId": workspace.id, "tenantId": tenant_id},
        "properties": {
            "friendlyName": workspace.record.get("friendlyName", workspace.name),
            "description": workspace.record.get("description", ""),
            "workspaceId": workspace.id,
            "discoveryUrl": f"{workspace.emulator.base_url}/discovery",
            "storageAccount": f"{providers}/Microsoft.Storage/storageAccounts/{workspace.account}",
            "keyVault": f"{providers}/Microsoft.KeyVault/vaults/{workspace.account}",
            "applicationInsights": f"{providers}/Microsoft.Insights/components/{workspace.account}",
            "containerRegistry": None,
            "hbiWorkspace": False,
            "creationTime": workspace.record.get("created", now()),
            "provisioningState": "Succeeded",
            "sdkTelemetryAppInsightsKey": None,
        },
    }
