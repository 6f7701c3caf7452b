"""Many clients at once: nothing is lost, nothing is given twice, nothing fails."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import httpx

from support.served_emulator import Served

CLIENTS = 8
EACH = 12


def _work(served: Served, number: int) -> list[int]:
    """What one client does: runs with metrics and artifacts, a model's versions, blobs; answers the run numbers it was given."""
    numbers = []
    with httpx.Client(base_url=served.emulator.base_url, trust_env=False, timeout=60) as client:
        own = Served(served.emulator, client, served.name)
        for step in range(EACH):
            run_id = f"run-{number}-{step}"
            made = own.call("PATCH", "/history/v1.0", f"/experiments/shared/runs/{run_id}", json={"tags": {"by": str(number)}})
            numbers.append(made.json()["runNumber"])
            cell = {"metricId": "m", "data": {"accuracy": step}}
            series = {"values": [{"name": "accuracy", "columns": {"accuracy": "Double"}, "value": [cell]}]}
            answers = [
                own.call("POST", "/metric/v2.0", f"/runs/{run_id}/batch", json=series),
                own.call("POST", "/metric/v2.0", "/runs/shared/batch", json=series),
                own.call("POST", "/artifact/v2.0", f"/artifacts/content/ExperimentRun/dcid.{run_id}/a.txt", content=b"x" * 1000),
                own.call("POST", "/modelmanagement/v1.0", "/models", json={"name": "shared", "url": "aml://asset/1"}),
                own.blob("PUT", f"/c/{number}/{step}", content=bytes([number]) * 5000),
                own.call("GET", "", ""),
            ]
            assert all(answer.is_success for answer in answers), [answer.text for answer in answers]
            assert own.blob("GET", f"/c/{number}/{step}").content == bytes([number]) * 5000
    return numbers


def test_eight_clients_at_once(served: Served) -> None:
    """Run numbers and model versions are given once each, and every metric, artifact and blob is there at the end."""
    with ThreadPoolExecutor(CLIENTS) as pool:
        numbers = [number for given in pool.map(lambda number: _work(served, number), range(CLIENTS)) for number in given]
    total = CLIENTS * EACH
    assert sorted(numbers) == list(range(1, total + 1))
    shared = served.call("POST", "/metric/v2.0", "/runs/shared/full", json={"metricName": "accuracy"}).json()
    assert len(shared["value"]) == total
    models = served.call("GET", "/modelmanagement/v1.0", "/models", params={"name": "shared"}).json()["value"]
    assert sorted(int(model["version"]) for model in models) == list(range(1, total + 1))
    assert len(served.emulator.blobs.find(served.workspace.account, "c")) == total
