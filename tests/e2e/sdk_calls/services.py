"""Web services on ACI: deployed, listed, changed, asked, deleted."""

from __future__ import annotations

import json
from pathlib import Path

import requests
from azureml.core import Environment, Model, Workspace
from azureml.core.model import InferenceConfig
from azureml.core.webservice import AciWebservice, Webservice
from checks import main, raised, sdk_call

SCRIPT = """
import json, os
def init():
    print("init was here")
def run(data):
    return [os.environ["AZUREML_MODEL_DIR"].split("/")[-2], json.loads(data)["x"]]
"""


def deployed(ws: Workspace) -> Webservice:
    """One service for all checks: to deploy takes seconds."""
    if "corners" in ws.webservices:
        return Webservice(ws, "corners")
    Path("source").mkdir(exist_ok=True)
    Path("source/score.py").write_text(SCRIPT)
    Path("model.txt").write_text("a model")
    model = Model.register(ws, "model.txt", "served", tags={"area": "bank"})
    inference = InferenceConfig(entry_script="score.py", source_directory="source", environment=Environment("plain"))
    config = AciWebservice.deploy_configuration(
        cpu_cores=1, memory_gb=1, auth_enabled=True, tags={"area": "bank"}, properties={"p": "1"}, description="first"
    )
    service = Model.deploy(ws, "corners", [model], inference, config)
    service.wait_for_deployment(show_output=True)
    return service


@sdk_call(
    "Model.deploy",
    "Webservice.wait_for_deployment",
    "Webservice",
    "AciWebservice.deploy_configuration",
    "Webservice.run",
    "AciWebservice.run",
    "AciWebservice.serialize",
    "InferenceConfig",
)
def a_service_is_deployed(ws: Workspace) -> None:
    service = deployed(ws)
    assert service.state == "Healthy"
    assert service.run(json.dumps({"x": 1})) == ["served", 1]
    assert service.swagger_uri.endswith("/swagger.json")
    assert service.serialize()["name"] == "corners"
    assert requests.get(service.swagger_uri, headers=key_header(service), timeout=60).ok


def key_header(service: Webservice, which: int = 0) -> dict[str, str]:
    return {"Authorization": f"Bearer {service.get_keys()[which]}", "Content-Type": "application/json"}


@sdk_call("Webservice.list", "Workspace.webservices", "Model.get_sas_urls")
def services_are_listed(ws: Workspace) -> None:
    deployed(ws)
    assert [each.name for each in Webservice.list(ws)] == ["corners"]
    assert [each.name for each in Webservice.list(ws, compute_type="ACI")] == ["corners"]
    assert Webservice.list(ws, compute_type="AKS") == []
    assert [each.name for each in Webservice.list(ws, tags=["area"])] == ["corners"]
    assert [each.name for each in Webservice.list(ws, tags=[["area", "bank"]])] == ["corners"]
    assert Webservice.list(ws, tags=[["area", "none"]]) == []
    assert [each.name for each in Webservice.list(ws, model_name="served")] == ["corners"]
    assert [each.name for each in Webservice.list(ws, model_id="served:1")] == ["corners"]
    assert Webservice.list(ws, properties=["none"]) == []
    assert "WebserviceNotFound" in raised(lambda: Webservice(ws, "none"))


@sdk_call(
    "AciWebservice.update",
    "AciWebservice.add_tags",
    "AciWebservice.remove_tags",
    "AciWebservice.add_properties",
    "Webservice.update_deployment_state",
)
def a_service_is_changed(ws: Workspace) -> None:
    service = deployed(ws)
    service.update(tags={"b": "2"}, description="second", enable_app_insights=True)
    service.wait_for_deployment()
    service.add_tags({"c": "3"})
    service.remove_tags(["b"])
    service.add_properties({"q": "2"})
    again = Webservice(ws, "corners")
    assert (again.tags, again.description, again.enable_app_insights) == ({"c": "3"}, "second", True)
    assert again.properties == {"p": "1", "q": "2"}
    assert service.run(json.dumps({"x": 2})) == ["served", 2]


@sdk_call("AciWebservice.update")
def cpu_and_memory(ws: Workspace) -> None:
    # azureml-core, core/webservice/aci.py: CPU and memory can't be updated on ACI, and the SDK has no argument for them;
    # another deployment under the same name can have others.
    deployed(ws)
    inference = InferenceConfig(entry_script="score.py", source_directory="source", environment=Environment("plain"))
    config = AciWebservice.deploy_configuration(cpu_cores=2, memory_gb=2, auth_enabled=True)
    service = Model.deploy(ws, "corners", [Model(ws, "served")], inference, config, overwrite=True)
    service.wait_for_deployment()
    resources = Webservice(ws, "corners").container_resource_requirements
    assert (resources.cpu, resources.memory_in_gb) == (2, 2)


@sdk_call(
    "AciWebservice.get_keys",
    "AciWebservice.regen_key",
    "AciWebservice.get_logs",
    "AciWebservice.get_token",
    "AciWebservice.delete",
)
def keys_logs_and_the_end(ws: Workspace) -> None:
    service = deployed(ws)
    before = service.get_keys()
    old = key_header(service)
    service.regen_key("Primary")
    after = service.get_keys()
    assert (after[0] != before[0], after[1]) == (True, before[1])
    service.regen_key("Secondary", set_key="a-key-of-my-own")
    assert service.get_keys()[1] == "a-key-of-my-own"
    body = json.dumps({"x": 3})
    assert requests.post(service.scoring_uri, body, headers=old, timeout=60).status_code == 401
    assert requests.post(service.scoring_uri, body, headers=key_header(service, 1), timeout=60).json() == ["served", 3]
    assert "init was here" in service.get_logs()
    assert raised(service.get_token)
    service.delete()
    assert ws.webservices == {}


if __name__ == "__main__":
    main()
