"""The online loop once: an endpoint collects, outcomes come back, a challenger learns from them, and is promoted."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from bankmlops import client
from bankmlops.cli.application import run
from bankmlops.connect import control_desk
from bankmlops.datasets import synthesize_stream
from bankmlops.errors import InvalidRequestError, NotFoundError
from bankmlops.local.backend import LocalBackend
from bankmlops.online.scores import POLICIES
from bankmlops.types import DeploymentConfig, Endpoint, RunStatus, StreamDrift, TokenScope
from support.trained import train
from support.waiting import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.long]
ROWS: list[Mapping[str, object]] = [
    {"age": 20 + number * 7 % 50, "job": ("student", "retired")[number % 2]} for number in range(900)
]
SPARE = len(ROWS)  # one row more is asked for, whose label may turn out to be either
TRUTH = ["no" if int(str(row["age"])) >= 40 else "yes" for row in ROWS]  # the opposite of what the model says


@dataclass(frozen=True)
class Online:
    """A workspace with an endpoint that was asked for all `ROWS` and one more, and a control server."""

    backend: LocalBackend
    endpoint: Endpoint
    folder: Path
    request_id: str
    url: str

    def post(self, outcomes: Sequence[Mapping[str, Any]], headers: Mapping[str, str] | None = None) -> httpx.Response:
        """Send outcomes, with the workspace's token unless other headers are given."""
        body = {"endpoint": self.endpoint.name, "outcomes": list(outcomes)}
        return self.send(json.dumps(body).encode(), headers)

    def send(self, body: bytes, headers: Mapping[str, str] | None = None) -> httpx.Response:
        """Send any bytes as JSON."""
        headers = self.backend.authorization_header() if headers is None else headers
        sent = {**headers, "Content-Type": "application/json"}
        return httpx.post(f"{self.url}/feedback", content=body, headers=sent, timeout=60, trust_env=False)

    def outcome(self, row: int, label: str | None = None) -> dict[str, Any]:
        return {"request_id": self.request_id, "row": row, "label": label or TRUTH[row]}

    def command(self, *words: str) -> int:
        return run([*words, "--workspace", str(self.folder / "workspace")])


@pytest.fixture(scope="module")
def online(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Online]:
    folder = tmp_path_factory.mktemp("online")
    trained = train(folder)
    backend = LocalBackend(trained.workspace.folder)
    model = backend.register_model(trained.run_id, "bank")
    endpoint = backend.deploy_model(model, DeploymentConfig("bank-endpoint", collect_model_data=True))
    try:
        url = backend.up()
        client.score(endpoint.scoring_uri, backend.get_keys(endpoint.name).primary, [*ROWS, ROWS[0]])
        copied = folder / "copied"
        wait_until(lambda: bool(backend.download_telemetry(endpoint.name, copied)))
        request_id = json.loads((copied / "collected.jsonl").read_text().splitlines()[0])["request_id"]
        yield Online(backend, endpoint, folder, request_id, url)
    finally:
        backend.down()
        backend.delete_endpoint(endpoint.name)


def test_outcomes_over_rest(online: Online) -> None:
    """With the token a label is stored once; an unknown id, a wrong value and a contradiction are refused in one line each."""
    before = len(online.backend.list_outcomes("bank-endpoint"))
    assert online.post([online.outcome(0)], {}).status_code == 401
    first = online.post([online.outcome(0), online.outcome(1), online.outcome(1, "maybe")])
    assert first.status_code == 200
    receipt = first.json()
    assert (receipt["stored"], receipt["repeated"], receipt["refused"]) == (2, 0, 1)
    assert online.post([online.outcome(0)]).json()["repeated"] == 1
    for outcome, status in (
        ({**online.outcome(0), "request_id": "nobody"}, 404),
        (online.outcome(0, "no" if TRUTH[0] == "yes" else "yes"), 409),
        (online.outcome(2, "maybe"), 400),
        ({**online.outcome(2), "row": -1}, 400),
        ({**online.outcome(2), "extra": 1}, 400),
    ):
        answer = online.post([outcome])
        assert answer.status_code == status, answer.text
        assert "\n" not in answer.json()["error"]["message"]
    assert online.post([online.outcome(0)] * 1001).status_code in (400, 413)
    assert len(online.backend.list_outcomes("bank-endpoint")) == before + 2


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"\xff\xfe", 400),
        (b"[]", 400),
        (b"[" * 60_000, 400),
        (b'{"endpoint": "bank-endpoint", "outcomes": []}', 400),
        (b'{"endpoint": NaN, "outcomes": [{"request_id": "ID", "label": "yes"}]}', 400),
        (b'{"endpoint": "../../bank-endpoint", "outcomes": [{"request_id": "ID", "label": "yes"}]}', 404),
        (b'{"endpoint": "nobody", "outcomes": [{"request_id": "ID", "label": "yes"}]}', 404),
        (b'{"endpoint": "bank-endpoint", "outcomes": [{"request_id": "\\ud800", "label": "yes"}]}', 400),
        (b'{"endpoint": "bank-endpoint", "outcomes": [{"request_id": "a\\u0000\\r\\n\\u001b[31m", "label": "yes"}]}', 404),
        (b'{"endpoint": "bank-endpoint", "outcomes": [{"request_id": "ID", "label": "yes\\u0000"}]}', 400),
        (b'{"endpoint": "bank-endpoint", "outcomes": [{"request_id": "ID", "label": true}]}', 400),
        (b'{"endpoint": "bank-endpoint", "outcomes": [{"request_id": "ID", "label": "yes", "row": "0"}]}', 400),
        (b'{"endpoint": "bank-endpoint", "outcomes": [{"request_id": "ID", "label": "yes", "row": 2147483648}]}', 400),
        (b'{"endpoint": "bank-endpoint", "outcomes": [{"request_id": "ID", "label": "yes", "row": ' + b"9" * 5000 + b"}]}", 400),
        (b'{"endpoint": "bank-endpoint", "outcomes": [{"request_id": "ID", "label": "yes", "row": 901}]}', 404),
        (b" " * (64 * 1024 + 1), 413),
    ],
    ids=lambda value: str(value)[:70],
)
def test_a_hostile_body(online: Online, body: bytes, status: int) -> None:
    """Whatever is sent is refused in one short line that says what is wrong, and nothing is stored of it."""
    before = online.backend.list_outcomes("bank-endpoint")
    answer = online.send(body.replace(b"ID", online.request_id.encode()))
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    assert error["code"] == {400: "BadRequest", 404: "NotFound", 413: "RequestTooLarge"}[status]
    assert error["message"].isprintable()
    assert len(error["message"]) < 300
    assert online.backend.list_outcomes("bank-endpoint") == before


def test_a_label_from_many_at_once(online: Online) -> None:
    """The same label from eight senders at once is stored once; of two that contradict each other one alone is believed."""
    with ThreadPoolExecutor(8) as senders:
        alike = list(senders.map(lambda _: online.post([online.outcome(3)]), range(8)))
        unlike = list(senders.map(lambda turn: online.post([online.outcome(SPARE, ("no", "yes")[turn % 2])]), range(8)))
    receipts = [answer.json() for answer in alike]
    assert sum(receipt["stored"] for receipt in receipts) + sum(receipt["repeated"] for receipt in receipts) == 8
    assert sum(receipt["stored"] for receipt in receipts) <= 1
    assert sorted(answer.status_code for answer in unlike) == [200] * 4 + [409] * 4
    labels = {row.row: row.label for row in online.backend.list_outcomes("bank-endpoint")}
    assert labels[3] == TRUTH[3]
    believed = [turn for turn, answer in enumerate(unlike) if answer.status_code == 200]
    assert {("no", "yes")[turn % 2] for turn in believed} == {labels[SPARE]}


def test_a_flood(online: Online) -> None:
    """A hundred bodies of unknown ids, eight at a time, leave nothing on the disk; a true label beside them gets in."""
    files = online.folder / "workspace" / "feedback"
    online.post([online.outcome(5)])
    before = sum(path.stat().st_size for path in files.rglob("*.db*"))
    flood = [{"request_id": f"unknown-{number}", "label": "yes"} for number in range(1000)]
    with ThreadPoolExecutor(9) as senders:
        sent = senders.map(lambda _: online.post(flood).status_code, range(100))
        wait_until(lambda: online.post([online.outcome(5)]).status_code == 200)
        assert set(sent) <= {404, 429}
    assert sum(path.stat().st_size for path in files.rglob("*.db*")) <= before


def test_whose_token(online: Online) -> None:
    """A token for labels brings labels and triggers nothing; one that may read brings none."""
    desk = control_desk("local", online.folder / "workspace")
    for scope, status in ((TokenScope.FEEDBACK, 200), (TokenScope.READ, 403), (TokenScope.TRIGGER, 403)):
        bearer = {"Authorization": f"Bearer {desk.create_token(f'of-{scope}', scope, 1.0).secret}"}
        assert online.post([online.outcome(6)], bearer).status_code == status
        assert httpx.post(f"{online.url}/runs", json={}, headers=bearer, timeout=60, trust_env=False).status_code == 403


def test_learn_and_promote(online: Online, capsys: pytest.CaptureFixture[str]) -> None:
    """Labels from a file are learnt beside the champion; the challenger is a run, and becomes the champion by its gate."""
    outcomes = online.folder / "outcomes.csv"
    lines = [f"{online.request_id},{row},{label}" for row, label in enumerate(TRUTH)]
    outcomes.write_text("request_id,row,y\n" + "\n".join([*lines, f"{online.request_id},0,maybe"]) + "\n")
    assert online.command("feedback", "import", str(outcomes), "--endpoint", "bank-endpoint", "--json") == 2
    done = capsys.readouterr()
    assert json.loads(done.out)["stored"] + json.loads(done.out)["repeated"] == 900
    assert done.err.startswith(f"{outcomes}, row 901: ")

    words = (
        "online",
        "run",
        "bank",
        "--endpoint",
        "bank-endpoint",
        "--model",
        "bank:1",
        "--warm-up",
        "200",
        "--retrain-every",
        "0",
    )
    assert online.command(*words, "--json") == 0
    report = json.loads(capsys.readouterr().out)
    scores = {score["policy"]: score["accuracy"] for score in report["scores"]}
    assert scores["challenger"] > 0.9
    assert scores["champion"] < 0.1
    kept = online.backend.get_run(report["run_id"])
    assert (kept.status, kept.best_algorithm) == (RunStatus.COMPLETED, "OnlineEnsemble")
    assert {"outputs/prequential.png", "outputs/bundle/model.onnx"} <= set(online.backend.list_artifacts(kept.id))
    assert online.command(*words, "--json") == 0
    assert json.loads(capsys.readouterr().out) == report

    for _ in range(2):
        assert online.command("online", "promote", "bank", "--model", "bank", "--json") == 0
        assert json.loads(capsys.readouterr().out)["version"] == "2"
    promoted = online.backend.get_model("bank")
    assert (promoted.version, promoted.run_id, promoted.aliases) == ("2", kept.id, ("champion",))
    online.backend.update_endpoint("bank-endpoint", promoted)
    key = online.backend.get_keys("bank-endpoint").primary
    answers = client.score(online.endpoint.scoring_uri, key, ROWS[:50])
    assert sum(answer == truth for answer, truth in zip(answers, TRUTH, strict=False)) >= 47

    present = (*words[:6], "bank", *words[7:])
    for other, code, message in (
        ((*words[:5], *words[7:]), 4, "against bank:1, not against a model of its warm-up"),
        ((*present, "--fresh", "--window", "7"), 2, "a window of 7 labels is too short"),
        ((*words[:6], "nobody", *words[7:], "--fresh"), 3, "nobody"),
    ):
        assert online.command(*other) == code
        assert message in capsys.readouterr().err
        assert online.command("online", "status", "bank", "--json") == 0
        assert json.loads(capsys.readouterr().out) == report


def _write_stream(labels: Sequence[str]) -> None:
    """Write `rows.csv`, one row a minute, and `labels.csv`, which come in the same minute."""
    moments = [f"{datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=row):%Y-%m-%dT%H:%M:%SZ}" for row in range(len(labels))]
    asked = (ROWS[row % len(ROWS)] for row in range(len(labels)))
    rows = [f"id-{row},{moments[row]},{values['age']},{values['job']}" for row, values in enumerate(asked)]
    known = [f"id-{row},{moments[row]},{label}" for row, label in enumerate(labels)]
    Path("rows.csv").write_text("\n".join(["request_id,time,age,job", *rows]) + "\n")
    Path("labels.csv").write_text("\n".join(["request_id,time,y", *known]) + "\n")


def test_on_after_a_promotion(
    online: Online, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same words go on against the version that was promoted. Old labels and few new ones promote nothing; where the world
    has changed again, and enough labels tell, the challenger is promoted again."""
    monkeypatch.chdir(tmp_path)
    online.backend.register_model(online.backend.get_model("bank", "1").run_id, "again")
    changed = [{"yes": "no", "no": "yes"}[label] for label in TRUTH]
    words = ("online", "run", "again", "--rows", "rows.csv", "--labels", "labels.csv", "--model", "again", "--warm-up", "200")
    scored = len(TRUTH) - 200

    def learn(labels: Sequence[str]) -> dict[str, Any]:
        _write_stream(labels)
        assert online.command(*words, "--retrain-every", "0", "--json") == 0
        report: dict[str, Any] = json.loads(capsys.readouterr().out)
        assert {score["rows"] for score in report["scores"]} == {len(labels) - 200}
        return report

    def promote() -> tuple[int, str]:
        code = online.command("online", "promote", "again", "--model", "again")
        return code, capsys.readouterr().err

    def present() -> tuple[str, str]:
        model = online.backend.get_model("again")
        return model.version, model.run_id

    first = learn(TRUTH)
    assert (first["champion"], first["new_champions"], first["comparison"]["rows"]) == ("again:1", [], scored)
    assert promote()[0] == 0
    assert present() == ("2", first["run_id"])

    same = learn(TRUTH)
    assert (same["champion"], same["new_champions"], same["comparison"]["rows"]) == ("again:2", [scored], 0)
    assert (same["run_id"], same["scores"]) == (first["run_id"], first["scores"])
    assert promote()[0] == 0
    assert present() == ("2", first["run_id"])

    few = learn([*TRUTH, *changed[:60]])
    assert few["comparison"]["rows"] == 60
    code, told = promote()
    assert code == 6
    assert "60 labels were scored against again:2" in told
    assert present() == ("2", first["run_id"])

    many = learn([*TRUTH, *changed])
    assert (many["champion"], many["new_champions"], many["comparison"]["rows"]) == ("again:2", [scored], len(changed))
    assert promote()[0] == 0
    assert present() == ("3", many["run_id"])
    assert learn([*TRUTH, *changed])["new_champions"] == [scored, scored + len(changed)]

    assert online.command(*words[:8], "again:2", *words[9:], "--retrain-every", "0") == 4
    assert "against again:3, not against again:2; --fresh begins anew, --model again:3 goes on" in capsys.readouterr().err


def test_files_as_a_stream(online: Online, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Two files do as well as an endpoint; with other settings a run of that name begins anew where that is asked for."""
    monkeypatch.chdir(online.folder)
    _write_stream(TRUTH)
    words = ("online", "run", "files", "--rows", "rows.csv", "--labels", "labels.csv", "--model", "bank:1", "--warm-up", "200")
    assert online.command(*words, "--retrain-every", "0", "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert {score["policy"]: score["rows"] for score in report["scores"]} == dict.fromkeys(POLICIES, report["labels"] - 200)
    assert report["champion"] == "bank:1"
    assert online.command("online", "status", "files", "--json") == 0
    assert json.loads(capsys.readouterr().out) == report

    assert online.command(*words, "--retrain-every", "0", "--seed", "7") == 4
    assert "--fresh begins anew" in capsys.readouterr().err
    assert online.command(*words, "--retrain-every", "0", "--seed", "7", "--fresh", "--json") == 0
    again = json.loads(capsys.readouterr().out)
    assert again["run_id"] != report["run_id"]
    assert again["labels"] == report["labels"]

    Path("labels.csv").write_text("request_id,time,y\nnobody,2026-01-01T00:00:00Z,yes\n")
    assert online.command(*words) == 2
    assert capsys.readouterr().err.count("request 'nobody' is no row of rows.csv") == 1


def test_automl_now_and_then(
    online: Online, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a model the champion is AutoML's of the warm-up, and AutoML runs anew on the newest labels; what was compared with
    that makes a new model, once, and replaces none."""
    monkeypatch.chdir(tmp_path)
    synthesize_stream(Path("rows.csv"), Path("labels.csv"), 1000, 5, StreamDrift.SUDDEN, 20.0)
    words = ("online", "run", "drift", "--rows", "rows.csv", "--labels", "labels.csv", "--warm-up", "300", "--synthetic")
    assert online.command(*words, "--retrain-every", "400", "--window", "300", "--minutes", "0.05", "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["champion"], len(report["retrained"])) == ("", 1)
    runs = online.backend.list_runs({"online": "drift"})
    assert [run.status for run in runs] == [RunStatus.COMPLETED] * 3
    assert {run.id for run in runs} - {report["run_id"]} == set(_trained_by(online.folder / "workspace" / "online" / "drift"))
    scores = {score["policy"]: score["log_loss"] for score in report["scores"]}
    assert scores["periodic"] != scores["champion"]

    for _ in range(2):
        assert online.command("online", "promote", "drift", "--model", "drift", "--json") == 0
        assert json.loads(capsys.readouterr().out)["version"] == "1"
    assert online.command("online", "promote", "drift", "--model", "bank") == 4
    (line,) = capsys.readouterr().err.splitlines()
    assert "compared with a model of its warm-up, and would replace bank:" in line
    with pytest.raises(NotFoundError):
        online.backend.get_model("drift", "2")


def _trained_by(folder: Path) -> list[str]:
    """The runs whose models answered for the champion and the periodic policy."""
    return [json.loads(path.read_text())["run_id"] for path in folder.glob("periodic-*/run.json")]


def test_kept_by_the_control_server(online: Online) -> None:
    """What the endpoint collects after a first delivery has its label later, though its file was rotated away and none came."""
    folder = online.folder / "workspace"
    collected = folder / "endpoints" / "bank-endpoint" / "collected.jsonl"
    online.post([online.outcome(0)])
    before = collected.stat().st_size
    client.score(online.endpoint.scoring_uri, online.backend.get_keys("bank-endpoint").primary, [ROWS[0]])
    wait_until(lambda: collected.stat().st_size > before)
    request = json.loads(collected.read_text().splitlines()[-1])["request_id"]
    with closing(sqlite3.connect(folder / "feedback" / "bank-endpoint" / "feedback.db")) as connection:
        wait_until(lambda: connection.execute("SELECT 1 FROM requests WHERE request_id = ?", (request,)).fetchone())
    collected.unlink()
    assert online.post([{"request_id": request, "label": TRUTH[0]}]).json()["stored"] == 1


def test_drawn_in_mlflow(online: Online) -> None:
    """The curves are metrics over rows, which MLflow draws, one for each policy."""
    from bankmlops.local.training.mlflow_store import open_store
    from bankmlops.local.workspace import LocalWorkspace

    mlflow = open_store(LocalWorkspace(online.folder / "workspace"))
    experiment = mlflow.get_experiment_by_name("online-bank")
    (found,) = (run for run in mlflow.search_runs([experiment.experiment_id]) if "mlflow.parentRunId" not in run.data.tags)
    for policy in ("champion", "periodic", "challenger"):
        history = mlflow.get_metric_history(found.info.run_id, f"prequential_log_loss_{policy}")
        assert [point.step for point in history] == sorted({point.step for point in history})
        assert len(history) > 10
    assert any(file.path == "prequential.png" for file in mlflow.list_artifacts(found.info.run_id))


def test_recording_half_a_model(online: Online, tmp_path: Path) -> None:
    """A model without its files is refused, and no run is left of it."""
    from dataclasses import replace

    from bankmlops.types import AutoMLConfig, Parity, TrainedModel

    config = AutoMLConfig(online.backend.get_dataset("bank"), experiment_name="half")
    half = TrainedModel(config, tmp_path, "Nothing", {"accuracy": 0.5}, {}, Parity(0.0, 0, 1), {})
    before = online.backend.list_runs()
    with pytest.raises(InvalidRequestError, match=r"has no model\.pkl"):
        online.backend.record_run(half)
    with pytest.raises(InvalidRequestError, match="experiment name"):
        online.backend.record_run(replace(half, config=replace(config, experiment_name="a/../b")))
    assert online.backend.list_runs() == before
