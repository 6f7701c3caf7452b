"""What goes wrong with web services, as a script sees it: a failing init(), a taken name, a wrong key, a 503."""

# ruff: noqa: T201

import json
import subprocess
import sys
from pathlib import Path

import requests
from azureml.core import Environment, Model, Workspace
from azureml.core.model import InferenceConfig
from azureml.core.webservice import AciWebservice, Webservice
from azureml.exceptions import WebserviceException

ws = Workspace.from_config()
Path("source").mkdir()
Path("source/good.py").write_text("import json\ndef init():\n    pass\ndef run(data):\n    return json.dumps({'result': [1]})\n")
Path("source/bad.py").write_text("def init():\n    raise RuntimeError('no such model')\ndef run(data):\n    return 1\n")
Path("model.txt").write_text("a model")
model = Model.register(ws, model_path="model.txt", model_name="plain")
environment = Environment("plain")
aci = AciWebservice.deploy_configuration(cpu_cores=1, memory_gb=1, auth_enabled=True)


def deploy(name: str, script: str) -> Webservice:
    inference = InferenceConfig(entry_script=script, source_directory="source", environment=environment)
    return Model.deploy(ws, name, [model], inference, aci)


failing = deploy("failing", "bad.py")
try:
    failing.wait_for_deployment()
except WebserviceException as error:
    print("deployment:", "no such model" in error.message)
failing.update_deployment_state()
print("state:", failing.state)
print("logs:", "RuntimeError: no such model" in failing.get_logs())
failing.delete()

good = deploy("good", "good.py")
good.wait_for_deployment()
try:
    deploy("good", "good.py")
except WebserviceException as error:
    print("taken:", "already exists" in error.message)
print("state:", Webservice(ws, "good").state)
answer = requests.post(good.scoring_uri, data="{}", headers={"Authorization": "Bearer wrong"}, timeout=60)
print("wrong key:", answer.status_code)
print("score:", json.loads(good.run(json.dumps({"data": []}))))

# The next line alone is not a user's: it has the service answer 503 for a while.
subprocess.run([*sys.argv[1:], "fault", "/services", "--status", "503", "--times", "2"], check=True, stdout=subprocess.DEVNULL)
print("patience:", [service.name for service in Webservice.list(ws)])
good.delete()
print("left:", Webservice.list(ws))
