"""Another project's model server with our model in it, run by the Python of the environment that `make bench-peers` makes.

    python benchmarks/serving_peer.py bentoml|litserve|mlserver|ray MODEL_FOLDER PORT FOLDER
    python benchmarks/serving_peer.py mlflow MODEL_PICKLE PORT FOLDER

Each is set up as its own documentation has it for one worker on this machine: with the ONNX model, which labels the rows of a
JSON body, or for MLflow, whose server takes models of MLflow's, with the pipeline that it was exported from. `FOLDER` takes
their files.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import plain_app

HOST = "127.0.0.1"
_MODEL = "BENCHMARK_MODEL"


def bentoml(port: int, folder: Path) -> None:
    """A service class with one API."""
    os.environ |= {"BENTOML_DO_NOT_TRACK": "True", "BENTOML_HOME": str(folder)}
    os.chdir(Path(__file__).parent)
    _become("bentoml", "serve", "serving_peer_bentoml:Scorer", "--host", HOST, "--port", str(port))


def litserve(port: int, _: Path) -> None:
    """A `LitAPI` with one worker, and one process that takes the requests."""
    from litserve import LitServer
    from serving_peer_litserve import Scorer

    server = LitServer(Scorer(api_path="/score"), accelerator="cpu", workers_per_device=1, disable_openapi_url=True)
    server.run(host=HOST, port=port, num_api_servers=1, generate_client_file=False, log_level="error")


def mlserver(port: int, folder: Path) -> None:
    """A runtime of one's own, with a handler that takes any JSON; no pool of processes."""
    settings = {"host": HOST, "http_port": port, "grpc_port": 0, "metrics_port": 0, "parallel_workers": 0, "debug": False}
    model = {"name": "benchmark", "implementation": "serving_peer_mlserver.Scorer"}
    (folder / "settings.json").write_text(json.dumps({**settings, "metrics_endpoint": None}), encoding="utf-8")
    (folder / "model-settings.json").write_text(json.dumps(model), encoding="utf-8")
    os.chdir(folder)
    _become("mlserver", "start", str(folder))


def ray(port: int, folder: Path) -> None:
    """Ray Serve with one replica, and a cluster of this machine for it."""
    import ray as ray_library
    from ray import serve
    from starlette.requests import Request

    @serve.deployment(num_replicas=1, ray_actor_options={"num_cpus": 1})
    class Scorer:
        def __init__(self, model: str) -> None:
            self.label = plain_app.labeller(Path(model))

        async def __call__(self, request: Request) -> dict[str, Any]:
            return {"result": self.label((await request.json())["data"])}

    ray_library.init(
        num_cpus=2, include_dashboard=False, _temp_dir=str(folder / "ray"), logging_level="error", object_store_memory=2**28
    )
    serve.start(http_options={"host": HOST, "port": port})
    serve.run(Scorer.bind(os.environ[_MODEL]), route_prefix="/score", logging_config={"enable_access_log": False})
    signal.sigwait({signal.SIGTERM, signal.SIGINT})
    serve.shutdown()
    ray_library.shutdown()


def mlflow(port: int, folder: Path) -> None:
    """`mlflow models serve` in the environment that is there."""
    import joblib
    import mlflow as mlflow_library

    model = folder / "model"
    if not model.exists():
        mlflow_library.sklearn.save_model(joblib.load(os.environ[_MODEL]), model, serialization_format="cloudpickle")
    serve = ["models", "serve", "--model-uri", str(model), "--env-manager", "local", "--workers", "1"]
    _become("mlflow", *serve, "--host", HOST, "--port", str(port))


def _become(program: str, *words: str) -> None:
    """Go on as another program of the same environment."""
    path = Path(sys.executable).with_name(program)
    os.execv(path, [str(path), *words])  # noqa: S606


_PEERS: dict[str, Callable[[int, Path], None]] = {
    "bentoml": bentoml,
    "litserve": litserve,
    "mlflow": mlflow,
    "mlserver": mlserver,
    "ray": ray,
}

if __name__ == "__main__":
    name, model_path, port_text, folder_path = sys.argv[1:]
    Path(folder_path).mkdir(exist_ok=True)
    os.environ[_MODEL] = model_path
    own = [str(Path(__file__).parent), str(Path(sys.executable).parent)]
    os.environ["PYTHONPATH"] = os.pathsep.join([own[0], os.environ.get("PYTHONPATH", "")])
    os.environ["PATH"] = os.pathsep.join([own[1], os.environ.get("PATH", "")])
    _PEERS[name](int(port_text), Path(folder_path))
