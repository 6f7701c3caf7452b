"""Models, datasets, datastores, computes, environments, secrets, experiments and the workspace itself."""

from __future__ import annotations

import os
from pathlib import Path

import pandas as pd
from azureml.core import Dataset, Datastore, Environment, Experiment, Model, Workspace
from azureml.core.authentication import (
    ArmTokenAuthentication,
    InteractiveLoginAuthentication,
    MsiAuthentication,
    ServicePrincipalAuthentication,
)
from azureml.core.compute import AmlCompute, ComputeTarget
from azureml.data.datapath import DataPath
from checks import main, raised, sdk_call

ROWS = 200
TABLE = pd.DataFrame({"age": range(ROWS), "job": ["münchen, süd"] * ROWS, "y": ["yes", "no"] * (ROWS // 2)})


def text_file(name: str, text: str = "a model") -> str:
    path = Path("files") / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")
    return str(path)


@sdk_call("Model.register", "Model.update", "Model.add_tags", "Model.remove_tags", "Model.add_properties", "Model.serialize")
def models_change(ws: Workspace) -> None:
    model = Model.register(ws, text_file("change.txt"), "change", tags={"a": "1"}, properties={"p": "1"}, description="first")
    model.update(tags={"b": "2"}, description="second")
    model.add_tags({"c": "3"})
    model.remove_tags(["b"])
    model.add_properties({"q": "2"})
    found = Model(ws, "change")
    assert found.tags == {"c": "3"}, found.tags
    assert found.description == "second"
    assert found.properties == {"p": "1", "q": "2"}
    assert found.serialize()["name"] == "change"
    assert "immutable" in raised(lambda: model.add_properties({"p": "9"})).lower() or Model(ws, "change").properties["p"] == "1"


@sdk_call("Model.list", "Model.delete", "Model", "Workspace.models")
def models_are_listed_and_deleted(ws: Workspace) -> None:
    first = Model.register(ws, text_file("list.txt"), "listed", tags={"area": "bank", "kind": "x"})
    second = Model.register(ws, text_file("list.txt"), "listed", tags={"area": "bank"}, properties={"size": "1"})
    assert [each.version for each in Model.list(ws, name="listed")] == [2, 1]
    assert [each.version for each in Model.list(ws, name="listed", latest=True)] == [2]
    assert [each.version for each in Model.list(ws, tags=["area", ["kind", "x"]])] == [1]
    assert [each.version for each in Model.list(ws, properties=[["size", "1"]])] == [2]
    assert Model.list(ws, tags=["nowhere"]) == []
    assert ws.models["listed"].version == 2
    assert Model(ws, id="listed:1").version == 1
    assert Model(ws, "listed", tags=[["kind", "x"]]).version == 1
    second.delete()
    assert Model(ws, "listed").version == 1
    first.delete()
    assert "ModelNotFound" in raised(lambda: Model(ws, "listed"))
    assert Model.register(ws, text_file("list.txt"), "listed").version == 3


@sdk_call("Model.download", "Model.get_model_path")
def a_folder_is_a_model(ws: Workspace) -> None:
    text_file("folder/a.txt", "a")
    text_file("folder/deep/b.txt", "b")
    Model.register(ws, "files/folder", "folder")
    where = Path(Model(ws, "folder").download("down", exist_ok=True))
    assert (where / "deep/b.txt").read_text() == "b", where
    assert "exists" in raised(lambda: Model(ws, "folder").download("down"))
    assert Path(Model.get_model_path("folder", _workspace=ws)).exists()


@sdk_call(
    "AzureBlobDatastore.upload",
    "AzureBlobDatastore.upload_files",
    "AzureBlobDatastore.download",
)
def blobs_large_and_small(ws: Workspace) -> None:
    store = ws.get_default_datastore()
    content = os.urandom(1 << 20) * 70  # above 64 MB a client sends blocks and commits them by a list
    Path("large").mkdir(exist_ok=True)
    Path("large/large.bin").write_bytes(content)
    store.upload_files(["large/large.bin"], target_path="large", overwrite=True, show_progress=False)
    assert store.download("back", prefix="large", show_progress=False) == 1
    assert Path("back/large/large.bin").read_bytes() == content
    service = store.blob_service
    container = service.get_container_client(store.container_name)
    assert [blob.name for blob in container.list_blobs(name_starts_with="large/")] == ["large/large.bin"]
    container.delete_blob("large/large.bin")
    assert not container.get_blob_client("large/large.bin").exists()


@sdk_call("TabularDatasetFactory.from_delimited_files")
def tables_at_public_addresses(ws: Workspace) -> None:
    address = "https://samples.blob.core.windows.net/data/bank.csv"
    table = pd.read_csv(address)
    assert list(table["age"]) == [20, 30]
    dataset = Dataset.Tabular.from_delimited_files(address).register(ws, "public")
    assert len(dataset.to_pandas_dataframe()) == len(table)


@sdk_call(
    "Datastore.get",
    "Datastore.get_default",
    "Workspace.set_default_datastore",
    "Datastore.unregister",
    "Datastore.register_azure_blob_container",
    "Workspace.datastores",
    "Datastore.set_as_default",
)
def datastores(ws: Workspace) -> None:
    first = ws.get_default_datastore()
    other = Datastore.register_azure_blob_container(
        ws, "other", "more", first.account_name, account_key=first.account_key, overwrite=True
    )
    assert Datastore.get(ws, "other").container_name == "more"
    assert {"other", first.name} <= set(ws.datastores)
    ws.set_default_datastore("other")
    assert Datastore.get_default(ws).name == "other"
    first.set_as_default()
    assert Datastore.get_default(ws).name == first.name
    other.unregister()
    assert "other" not in ws.datastores


@sdk_call(
    "TabularDatasetFactory.register_pandas_dataframe",
    "TabularDataset.to_pandas_dataframe",
    "TabularDataset.random_split",
    "TabularDataset.take",
    "TabularDataset.skip",
    "TabularDataset.keep_columns",
    "TabularDataset.drop_columns",
    "TabularDataset.take_sample",
    "TabularDataset.filter",
)
def frames(ws: Workspace) -> None:
    dataset = Dataset.Tabular.register_pandas_dataframe(
        TABLE, (ws.get_default_datastore(), "frames"), "frame", show_progress=False
    )
    pd.testing.assert_frame_equal(dataset.to_pandas_dataframe(), TABLE)
    left, right = dataset.random_split(0.75, seed=7)
    parts = [each.to_pandas_dataframe() for each in (left, right)]
    assert sorted([*parts[0].age, *parts[1].age]) == list(range(ROWS))
    assert 0.55 * ROWS < len(parts[0]) < 0.95 * ROWS
    assert list(dataset.take(3).to_pandas_dataframe().age) == [0, 1, 2]
    assert len(dataset.skip(190).to_pandas_dataframe()) == 10
    assert list(dataset.keep_columns(["y"]).to_pandas_dataframe()) == ["y"]
    assert list(dataset.drop_columns("job").to_pandas_dataframe()) == ["age", "y"]
    assert 0 < len(dataset.take_sample(0.5, seed=1).to_pandas_dataframe()) < ROWS
    assert list(dataset.filter(dataset["age"] < 2).to_pandas_dataframe().age) == [0, 1]
    assert right.register(ws, "right").version == 1


@sdk_call(
    "Dataset.get_by_name",
    "Dataset.get_all",
    "Dataset.get_by_id",
    "AbstractDataset.register",
    "AbstractDataset.update",
    "AbstractDataset.add_tags",
    "AbstractDataset.remove_tags",
    "AbstractDataset.unregister_all_versions",
    "AbstractDataset.as_named_input",
    "Workspace.datasets",
    "TabularDatasetFactory.from_delimited_files",
)
def versions_of_a_dataset(ws: Workspace) -> None:
    store = ws.get_default_datastore()
    text_file("one.csv", "a,b\n1,x\n2,y\n")
    text_file("two.csv", "a,b\n3,z\n")
    store.upload_files(["files/one.csv", "files/two.csv"], target_path="versions", overwrite=True, show_progress=False)
    one = Dataset.Tabular.from_delimited_files(store.path("versions/one.csv")).register(ws, "versions", description="first")
    both = Dataset.Tabular.from_delimited_files([store.path("versions/one.csv"), (store, "versions/two.csv")])
    two = both.register(ws, "versions", create_new_version=True, tags={"a": "1"})
    assert (one.version, two.version) == (1, 2)
    assert len(Dataset.get_by_name(ws, "versions").to_pandas_dataframe()) == 3
    assert len(Dataset.get_by_name(ws, "versions", version=1).to_pandas_dataframe()) == 2
    assert Dataset.get_by_id(ws, two.id).version == 2
    two.add_tags({"b": "2"})
    two = Dataset.get_by_name(ws, "versions")
    two.remove_tags(["a"])
    two = two.update(description="second")
    assert (Dataset.get_by_name(ws, "versions").tags, two.description) == ({"b": "2"}, "second")
    assert "versions" in ws.datasets
    assert "versions" in Dataset.get_all(ws)
    assert "already a dataset registered" in raised(lambda: both.take(1).register(ws, "versions"))
    assert "annot find dataset" in raised(lambda: Dataset.get_by_name(ws, "versions", version=9))
    two.unregister_all_versions()
    assert "annot find dataset" in raised(lambda: Dataset.get_by_name(ws, "versions"))


@sdk_call(
    "FileDatasetFactory.from_files",
    "FileDataset.to_path",
    "FileDataset.download",
    "FileDataset.skip",
    "FileDataset.take",
    "FileDataset.random_split",
    "FileDatasetFactory.upload_directory",
    "FileDataset.file_metadata",
)
def files_as_datasets(ws: Workspace) -> None:
    store = ws.get_default_datastore()
    for number in range(4):
        text_file(f"many/{number}.txt", str(number))
    Dataset.File.upload_directory("files/many", DataPath(store, "many"), overwrite=True, show_progress=False)
    files = Dataset.File.from_files(store.path("many/*.txt"))
    assert sorted(files.to_path()) == [f"/{number}.txt" for number in range(4)]
    assert sorted(Path(each).read_text() for each in files.download("many", overwrite=True)) == ["0", "1", "2", "3"]
    assert len(files.take(2).to_path()) == 2
    assert len(files.skip(1).to_path()) == 3
    left, right = files.random_split(0.5, seed=2)
    assert len(left.to_path()) + len(right.to_path()) == 4
    assert files.register(ws, "many").version == 1
    assert type(Dataset.get_by_name(ws, "many")).__name__ == "FileDataset"


@sdk_call(
    "TabularDatasetFactory.from_parquet_files",
    "TabularDatasetFactory.from_json_lines_files",
    "TabularDataset.to_csv_files",
    "TabularDataset.to_parquet_files",
    "TabularDataset.with_timestamp_columns",
)
def other_formats(ws: Workspace) -> None:
    store = ws.get_default_datastore()
    Path("formats").mkdir(exist_ok=True)
    TABLE.to_parquet("formats/table.parquet")
    TABLE.to_json("formats/table.jsonl", orient="records", lines=True)
    store.upload("formats", "formats", overwrite=True, show_progress=False)
    parquet = Dataset.Tabular.from_parquet_files(store.path("formats/table.parquet"))
    pd.testing.assert_frame_equal(parquet.to_pandas_dataframe(), TABLE)
    lines = Dataset.Tabular.from_json_lines_files(store.path("formats/table.jsonl"))
    assert list(lines.to_pandas_dataframe().y) == list(TABLE.y)
    assert len(parquet.to_csv_files().download("csv", overwrite=True)) == 1
    assert len(parquet.to_parquet_files().download("parquet", overwrite=True)) == 1


@sdk_call(
    "ComputeTarget.create",
    "ComputeTarget.wait_for_completion",
    "AmlCompute.update",
    "AmlCompute.get_status",
    "AmlCompute.wait_for_completion",
    "AmlCompute.list_nodes",
    "AmlCompute.delete",
    "AmlCompute.provisioning_configuration",
    "AmlCompute.serialize",
    "ComputeTarget",
    "Workspace.compute_targets",
    "AmlCompute.refresh_state",
)
def computes(ws: Workspace) -> None:
    wanted = AmlCompute.provisioning_configuration("STANDARD_D2_V2", min_nodes=0, max_nodes=2, tags={"a": "b"}, description="one")
    compute = ComputeTarget.create(ws, "cluster", wanted)
    compute.wait_for_completion(show_output=True, min_node_count=1, timeout_in_minutes=1)
    assert compute.get_status().serialize()["currentNodeCount"] == 1
    compute.update(min_nodes=1, max_nodes=4, idle_seconds_before_scaledown=300)
    compute.wait_for_completion(show_output=True, min_node_count=1, timeout_in_minutes=1)
    status = compute.get_status()
    assert status.current_node_count == 1
    assert (status.scale_settings.maximum_node_count, status.allocation_state) == (4, "Steady")
    compute.refresh_state()
    assert len(compute.list_nodes()) == 1
    assert ComputeTarget(ws, "cluster").serialize()["tags"] == {"a": "b"}
    assert "cluster" in ws.compute_targets
    compute.delete()
    assert "ComputeTargetNotFound" in raised(lambda: ComputeTarget(ws, "cluster"))
    assert "cluster" not in ws.compute_targets


@sdk_call("AmlCompute.supported_vmsizes", "AmlCompute.get_active_runs")
def what_a_compute_can_be(ws: Workspace) -> None:
    sizes = AmlCompute.supported_vmsizes(ws)
    assert "Standard_D2_v2" in [each["name"] for each in sizes]
    assert {"vCPUs", "memoryGB"} <= set(sizes[0])
    compute = ComputeTarget.create(ws, "busy", AmlCompute.provisioning_configuration("STANDARD_D2_V2", max_nodes=1))
    assert list(compute.get_active_runs()) == []


@sdk_call(
    "Environment.register",
    "Environment.get",
    "Environment.list",
    "Environment.from_conda_specification",
    "Environment.from_pip_requirements",
    "Environment.clone",
    "Environment.save_to_directory",
    "Environment.load_from_directory",
)
def environments(ws: Workspace) -> None:
    text_file("requirements.txt", "numpy==2.0\n")
    environment = Environment.from_pip_requirements("own", "files/requirements.txt")
    environment.environment_variables = {"COLOUR": "blue"}
    assert environment.register(ws).version == "1"
    assert environment.register(ws).version == "1"
    environment.docker.base_image = "somebody/image:1"
    assert environment.register(ws).version == "2"
    assert Environment.get(ws, "own").docker.base_image == "somebody/image:1"
    assert Environment.get(ws, "own", version="1").environment_variables == {"COLOUR": "blue"}
    assert "own" in Environment.list(ws)
    assert Environment.get(ws, "own").clone("copy").register(ws).name == "copy"
    environment.save_to_directory("files/environment", overwrite=True)
    assert Environment.load_from_directory("files/environment").name == "own"
    text_file("conda.yml", "dependencies:\n- python=3.11\n- pip:\n  - pandas\n")
    assert Environment.from_conda_specification("conda", "files/conda.yml").register(ws).version == "1"
    assert "not in workspace" in raised(lambda: Environment.get(ws, "none"))
    curated = Environment.get(ws, "AzureML-AutoML")
    own = curated.clone("of-automl")
    own.python.conda_dependencies.add_pip_package("scikit-learn")
    assert own.register(ws).version == "1"


@sdk_call(
    "Keyvault.set_secret",
    "Keyvault.get_secret",
    "Keyvault.list_secrets",
    "Keyvault.delete_secret",
    "Keyvault.set_secrets",
    "Keyvault.get_secrets",
    "Keyvault.delete_secrets",
    "Keyvault.get_secret_content_type",
    "Workspace.get_default_keyvault",
)
def secrets(ws: Workspace) -> None:
    vault = ws.get_default_keyvault()
    vault.set_secret("password", "correct horse")
    vault.set_secrets({"one": "1", "two": "2"})
    assert vault.get_secret("password") == "correct horse"
    assert vault.get_secrets(["one", "two"]) == {"one": "1", "two": "2"}
    vault.set_secret("password", "another", content_type="text/plain")
    assert vault.get_secret("password") == "another"
    assert sorted(each["name"] for each in vault.list_secrets()) == ["one", "password", "two"]
    assert vault.get_secret_content_type("password") == "text/plain"
    vault.delete_secret("password")
    vault.delete_secrets(["one", "two"])
    assert vault.list_secrets() == []
    assert "not found" in raised(lambda: vault.get_secret("password"))
    assert vault.get_secrets(["password"]) == {"password": None}
    assert raised(lambda: vault.set_secret("no_underscore", "x"))


@sdk_call(
    "Experiment",
    "Experiment.list",
    "Experiment.archive",
    "Experiment.reactivate",
    "Experiment.set_tags",
    "Experiment.tag",
    "Experiment.remove_tags",
    "Experiment.refresh",
    "Experiment.delete",
    "Workspace.experiments",
)
def experiments(ws: Workspace) -> None:
    experiment = Experiment(ws, "kept")
    Experiment(ws, "empty")
    assert {"kept", "empty"} <= set(ws.experiments)
    assert {"kept", "empty"} <= {each.name for each in Experiment.list(ws)}
    experiment.set_tags({"a": "1"})
    experiment.tag("b", "2")
    experiment.remove_tags(["a"])
    again = Experiment(ws, "kept")
    assert (again.tags, again.id) == ({"b": "2"}, experiment.id)
    experiment.archive()
    assert "kept" not in [each.name for each in Experiment.list(ws)]
    assert "kept" in [each.name for each in Experiment.list(ws, view_type="All")]
    assert [each.name for each in Experiment.list(ws, experiment_name="kept", view_type="ArchivedOnly")] == ["kept"]
    experiment.reactivate()
    assert "kept" in ws.experiments
    experiment.refresh()
    assert experiment.archived_time is None
    Experiment.delete(ws, Experiment(ws, "empty").id)
    assert "empty" not in ws.experiments


@sdk_call(
    "Workspace",
    "Workspace.get",
    "Workspace.list",
    "Workspace.from_config",
    "Workspace.write_config",
    "Workspace.get_details",
    "Workspace.update",
    "Workspace.service_context",
)
def the_workspace(ws: Workspace) -> None:
    assert ws.name in Workspace.list(ws.subscription_id)
    again = Workspace.get(ws.name, subscription_id=ws.subscription_id, resource_group=ws.resource_group)
    assert again._workspace_id == ws._workspace_id
    ws.update(friendly_name="Ours", description="a workspace", tags={"a": "b"})
    details = Workspace(ws.subscription_id, ws.resource_group, ws.name).get_details()
    assert (details["friendlyName"], details["description"], details["tags"]) == ("Ours", "a workspace", {"a": "b"})
    Path("written").mkdir(exist_ok=True)
    ws.write_config("written")
    assert Workspace.from_config("written").name == ws.name


def let_in(ws: Workspace, auth: object) -> None:
    again = Workspace(ws.subscription_id, ws.resource_group, ws.name, auth=auth)
    assert again._workspace_id == ws._workspace_id
    assert again.get_default_datastore().name


@sdk_call("ServicePrincipalAuthentication", "ServicePrincipalAuthentication.get_authentication_header")
def service_principals(ws: Workspace) -> None:
    tenant, client, secret = (os.environ[f"AZURE_{name}"] for name in ("TENANT_ID", "CLIENT_ID", "CLIENT_SECRET"))
    let_in(ws, ServicePrincipalAuthentication(tenant, client, secret))
    let_in(ws, ServicePrincipalAuthentication("11111111-2222-4333-8444-555555555555", "any-client", secret))
    wrong = ServicePrincipalAuthentication("22222222-2222-4333-8444-555555555555", client, "guessed")
    message = raised(lambda: Workspace(ws.subscription_id, ws.resource_group, ws.name, auth=wrong))
    # Microsoft Entra's reference of error codes: AADSTS7000215, InvalidClientSecret.
    assert "AADSTS7000215: Invalid client secret provided" in message, message
    assert "guessed" not in message


@sdk_call("MsiAuthentication", "InteractiveLoginAuthentication", "InteractiveLoginAuthentication.get_authentication_header")
def managed_identity_and_interactive(ws: Workspace) -> None:
    let_in(ws, MsiAuthentication())
    let_in(ws, InteractiveLoginAuthentication())
    let_in(ws, InteractiveLoginAuthentication(tenant_id=os.environ["AZURE_TENANT_ID"]))
    assert InteractiveLoginAuthentication().get_authentication_header()["Authorization"].startswith("Bearer ")


@sdk_call("ArmTokenAuthentication", "ArmTokenAuthentication.update_arm_access_token")
def arm_tokens(ws: Workspace) -> None:
    token = MsiAuthentication().get_authentication_header()["Authorization"].removeprefix("Bearer ")
    auth = ArmTokenAuthentication(token, cloud="AzureCloud")
    let_in(ws, auth)
    auth.update_arm_access_token(token)
    let_in(ws, auth)
    foreign = token.rpartition(".")[0] + ".AAAA"
    let = raised(
        lambda: Workspace(
            ws.subscription_id, ws.resource_group, ws.name, auth=ArmTokenAuthentication(foreign, cloud="AzureCloud")
        )
    )
    assert let


if __name__ == "__main__":
    main()
