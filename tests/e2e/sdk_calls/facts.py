"""What the SDK's objects say of themselves: a workspace, experiments, runs, datastores, datasets, environments and models."""

from __future__ import annotations

from pathlib import Path

from azureml.core import Datastore, Environment, Experiment, Model, Run, Workspace
from azureml.core.compute import AmlCompute, ComputeTarget
from azureml.data import FileDataset, TabularDataset
from azureml.data.abstract_dataset import AbstractDataset
from azureml.data.azure_storage_datastore import AzureBlobDatastore
from azureml.data.dataset_consumption_config import DatasetConsumptionConfig
from azureml.data.dataset_factory import FileDatasetFactory, TabularDatasetFactory
from checks import main, raised, sdk_call


def table(ws: Workspace) -> TabularDataset:
    """Four rows, a day each."""
    Path("facts").mkdir(exist_ok=True)
    Path("facts/days.csv").write_text("day,count\n2026-01-01,1\n2026-01-02,2\n2026-01-03,3\n2026-01-04,4\n")
    store = ws.get_default_datastore()
    store.upload("facts", "facts", overwrite=True, show_progress=False)
    return TabularDatasetFactory.from_delimited_files(store.path("facts/days.csv"))


@sdk_call(
    "Workspace.name",
    "Workspace.resource_group",
    "Workspace.subscription_id",
    "Workspace.location",
    "Workspace.sku",
    "Workspace.tags",
    "Workspace.discovery_url",
    "Workspace.get_default_datastore",
    "Workspace.get_default_compute_target",
    "Workspace.environments",
)
def a_workspace(ws: Workspace) -> None:
    assert (ws.name, ws.resource_group, ws.subscription_id) == ("facts", "a-group", "a-subscription")
    assert ws.location
    assert ws.sku
    assert not ws.tags
    assert ws.discovery_url.startswith("http")
    assert ws.get_default_datastore().name == "workspaceblobstore"
    assert ws.get_default_compute_target("CPU") is None
    Environment("of-facts").register(ws)
    assert "of-facts" in ws.environments


@sdk_call(
    "Experiment.name",
    "Experiment.id",
    "Experiment.workspace",
    "Experiment.workspace_object",
    "Experiment.tags",
    "Experiment.archived_time",
    "Experiment.identity",
    "Experiment.portal_url",
    "Experiment.get_portal_url",
    "Experiment.get_docs_url",
)
def an_experiment(ws: Workspace) -> None:
    experiment = Experiment(ws, "of-facts")
    assert (experiment.name, experiment.workspace.name, experiment.workspace_object.name) == ("of-facts", ws.name, ws.name)
    assert experiment.id == Experiment(ws, "of-facts").id
    assert not experiment.tags
    assert experiment.archived_time is None
    assert "of-facts" in str(experiment.identity)
    assert experiment.portal_url in experiment.get_portal_url()
    assert experiment.get_docs_url().startswith("http")


@sdk_call(
    "Run.experiment",
    "Run.status",
    "Run.type",
    "Run.tags",
    "Run.properties",
    "Run.identity",
    "Run.portal_url",
    "Run.get_portal_url",
    "Run.get_docs_url",
    "Run.get_detailed_status",
    "Run.get_secret",
    "Run.get_secrets",
    "Run.list_by_compute",
    "Workspace.get_run",
)
def a_run(ws: Workspace) -> None:
    run = Experiment(ws, "of-facts").start_logging(snapshot_directory=None, display_name="a name")
    run.set_tags({"a": "1"})
    assert (run.experiment.name, run.display_name) == ("of-facts", "a name")
    assert run.status == run.get_detailed_status()["status"] == "Running"
    assert run.type is None or isinstance(run.type, str)
    assert run.id in str(run.identity)
    assert run.id in run.get_portal_url()
    assert run.portal_url
    assert Run.get_docs_url().startswith("http")
    ws.get_default_keyvault().set_secret("of-facts", "kept")
    assert run.get_secret("of-facts") == "kept"
    assert run.get_secrets(["of-facts"]) == {"of-facts": "kept"}
    run.complete()
    found = ws.get_run(run.id)
    assert found.tags["a"] == "1"
    assert isinstance(found.properties, dict)
    compute = ComputeTarget.create(ws, "of-facts", AmlCompute.provisioning_configuration("STANDARD_D2_V2", max_nodes=1))
    compute.wait_for_completion()
    assert list(Run.list_by_compute(compute)) == []


@sdk_call(
    "AzureBlobDatastore.name",
    "AzureBlobDatastore.datastore_type",
    "AzureBlobDatastore.workspace",
    "AzureBlobDatastore.is_sas",
    "AzureBlobDatastore.path",
    "AzureBlobDatastore.set_as_default",
    "AzureBlobDatastore.unregister",
    "AzureBlobDatastore.as_mount",
    "AzureBlobDatastore.as_download",
    "AzureBlobDatastore.as_upload",
    "AzureBlobDatastore",
    "Datastore",
)
def a_datastore(ws: Workspace) -> None:
    store = Datastore(ws, "workspaceblobstore")
    assert isinstance(store, AzureBlobDatastore)
    assert (store.name, store.datastore_type, store.workspace.name) == ("workspaceblobstore", "AzureBlob", ws.name)
    assert store.is_sas is False
    modes = (store.as_mount().mode, store.as_download().mode, store.as_upload().mode)
    assert modes == ("mount", "download", "upload")
    assert store.path("a/b").path_on_datastore == "a/b"
    second = Datastore.register_azure_blob_container(
        ws, "second", store.container_name, store.account_name, account_key=store.account_key
    )
    second.set_as_default()
    assert ws.get_default_datastore().name == "second"
    store.set_as_default()
    second.unregister()
    assert "second" not in ws.datastores


@sdk_call(
    "AbstractDataset.name",
    "AbstractDataset.id",
    "AbstractDataset.version",
    "AbstractDataset.description",
    "AbstractDataset.tags",
    "AbstractDataset.partition_keys",
    "AbstractDataset.get_by_id",
    "AbstractDataset.get_by_name",
    "AbstractDataset.get_all",
    "TabularDatasetFactory",
)
def a_dataset(ws: Workspace) -> None:
    data = table(ws).register(ws, "of-facts", description="days", tags={"a": "1"})
    assert (data.name, data.version, data.description, data.tags) == ("of-facts", 1, "days", {"a": "1"})
    assert data.partition_keys == []
    assert AbstractDataset.get_by_id(ws, data.id).name == "of-facts"
    assert AbstractDataset.get_by_name(ws, "of-facts").id == data.id
    assert [data.name for data in AbstractDataset.get_all(ws).values()] == ["of-facts"]


@sdk_call(
    "TabularDataset.time_after",
    "TabularDataset.time_before",
    "TabularDataset.time_between",
    "TabularDataset.time_recent",
    "TabularDataset.timestamp_columns",
    "TabularDataset.download",
)
def days_of_a_table(ws: Workspace) -> None:
    from datetime import datetime, timedelta

    data = table(ws).with_timestamp_columns("day")
    assert data.timestamp_columns == ("day", None)
    second, third = datetime(2026, 1, 2), datetime(2026, 1, 3)  # noqa: DTZ001 - the SDK takes bare moments
    assert counts(data.time_after(second, include_boundary=False)) == [3, 4]
    assert counts(data.time_before(second)) == [1, 2]
    assert counts(data.time_between(second, third)) == [2, 3]
    assert data.time_recent(timedelta(days=1)).to_pandas_dataframe().empty


def counts(data: TabularDataset) -> list[int]:
    """The numbers of the rows that are left."""
    return [int(count) for count in data.to_pandas_dataframe()["count"]]


@sdk_call(
    "FileDataset.take_sample",
    "FileDataset.filter",
    "FileDataset.hydrate",
    "FileDatasetFactory",
    "DatasetConsumptionConfig.as_mount",
    "DatasetConsumptionConfig.as_download",
    "DatasetConsumptionConfig.name",
)
def files_of_a_dataset(ws: Workspace) -> None:
    table(ws)
    data: FileDataset = FileDatasetFactory.from_files(ws.get_default_datastore().path("facts/**"))
    assert data.take_sample(1.0, seed=1).to_path() == data.to_path() == ["/days.csv"]
    assert data.filter(data.file_metadata("Size") > 10_000).to_path() == []
    named = DatasetConsumptionConfig("days", data)
    assert (named.name, named.as_mount().mode, named.as_download().mode) == ("days", "mount", "download")


@sdk_call(
    "Environment",
    "Environment.environment_variables",
    "Environment.from_docker_image",
    "Environment.from_dockerfile",
    "Model.print_configuration",
    "Model.deserialize",
    "Model.update_tags_properties",
)
def environments_and_models(ws: Workspace) -> None:
    environment = Environment("variables")
    environment.environment_variables = {"A": "1"}
    environment.register(ws)
    assert Environment.get(ws, "variables").environment_variables == {"A": "1"}
    assert Environment.from_docker_image("image", "debian:12").docker.base_image == "debian:12"
    assert Environment.from_dockerfile("file", "FROM debian:12\n").docker.base_dockerfile == "FROM debian:12\n"
    Path("model.txt").write_text("a model")
    model = Model.register(ws, "model.txt", "of-facts", tags={"a": "1"})
    model.update_tags_properties(add_tags={"b": "2"}, remove_tags=["a"], add_properties={"p": "3"})
    again = Model(ws, "of-facts")
    assert (again.tags, again.properties) == ({"b": "2"}, {"p": "3"})
    assert Model.deserialize(ws, model.serialize()).id == model.id
    assert "no" in raised(lambda: Model(ws, "no-such-model")).lower()


if __name__ == "__main__":
    main()
