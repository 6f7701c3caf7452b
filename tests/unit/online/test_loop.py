"""The loop: test before train with labels that are late, three policies side by side, and nothing lost when it is killed."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy
import pytest

from bankmlops.automl.parity import check_parity
from bankmlops.datasets import synthesize_stream
from bankmlops.errors import ConflictError, InvalidRequestError
from bankmlops.features import matrix_from_columns
from bankmlops.online import loop as room
from bankmlops.online.champion import OWN_CHAMPION
from bankmlops.online.checkpoint import FILE, load
from bankmlops.online.gate import check_gate
from bankmlops.online.loop import OnlineLoop, OnlineSettings
from bankmlops.online.promotion import comparison_of, report_of, scores_of, trained_model
from bankmlops.online.scores import CHALLENGER, CHAMPION, PERIODIC, POLICIES
from bankmlops.online.served import ServedModel
from bankmlops.online.stream import NEVER, Stream, read_stream, stream_of
from bankmlops.types import AutoMLConfig, Dataset, LabelledRow, StreamDrift
from support.quick_bundle import train_quickly

pytestmark = pytest.mark.slow
SETTINGS = OnlineSettings(warm_up=500, retrain_every=1000, window=1000, seed=1)
CONFIG = AutoMLConfig(Dataset("bank", "1", 1, ("age", "y"), "y", "0" * 64), primary_metric="AUC_weighted")


@pytest.fixture(scope="module")
def stream(tmp_path_factory: pytest.TempPathFactory) -> Stream:
    folder = tmp_path_factory.mktemp("stream")
    synthesize_stream(folder / "s.csv", folder / "s.labels.csv", 4000, 5, StreamDrift.SUDDEN, 60.0)
    return read_stream(folder / "s.csv", folder / "s.labels.csv")


def _coarse(arrivals: Any, resolution: int) -> Any:
    return numpy.where(arrivals == NEVER, NEVER, arrivals // resolution)


@pytest.fixture(scope="module")
def ended(stream: Stream, tmp_path_factory: pytest.TempPathFactory) -> OnlineLoop:
    """The loop at the end of a stream whose world changed suddenly."""
    loop = OnlineLoop(stream, SETTINGS, tmp_path_factory.mktemp("ended"), train_quickly)
    loop.run()
    return loop


def test_policies_on_a_sudden_drift(ended: OnlineLoop, stream: Stream) -> None:
    """The champion is lost after the change; AutoML anew helps, and learning each label helps more."""
    scores = {score.policy: score for score in scores_of(ended)}
    assert scores[CHALLENGER].log_loss < scores[PERIODIC].log_loss < scores[CHAMPION].log_loss
    assert scores[CHALLENGER].accuracy > scores[CHAMPION].accuracy + 0.05
    assert scores[CHAMPION].rows <= stream.rows - SETTINGS.warm_up
    assert len(ended.retrained) == 3


@pytest.mark.parametrize("resolution", [1, 24 * 60 * 60 * 1000], ids=["minutes", "days"])
def test_a_row_is_tested_before_it_trains(stream: Stream, tmp_path: Path, resolution: int) -> None:
    """Labels that had not arrived when a row was predicted can't have changed what was said of it, nor can those of later rows
    that have the same time: where times are days, a row's own label may arrive at its time."""
    stream = replace(stream, times=stream.times // resolution, arrivals=_coarse(stream.arrivals, resolution))
    middle = 2000
    late = numpy.arange(stream.rows) >= middle
    flipped = numpy.where(late, numpy.where(stream.labels == "yes", "no", "yes"), stream.labels).astype(object)
    answers = []
    for number, labels in enumerate((stream.labels, flipped)):
        folder = tmp_path / str(number)
        folder.mkdir()
        loop = OnlineLoop(replace(stream, labels=labels), replace(SETTINGS, retrain_every=0), folder, train_quickly)
        loop.run()
        answers.append(loop.predictions[2, loop.scored < middle])
    assert len(answers[0]) > 1000
    assert (answers[0] == answers[1]).all()


def _interrupt_at(row: int) -> Any:
    def progress(done: int, _total: int) -> None:
        if done >= row:
            raise KeyboardInterrupt

    return progress


def test_killed_and_going_on(ended: OnlineLoop, stream: Stream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ended anywhere, it goes on from its last checkpoint, and says in the end what an undisturbed one says, to the bit."""
    monkeypatch.setattr(room, "_CHECKPOINT_SECONDS", 0.0)

    for row in (700, 1900, 3100):
        with pytest.raises(KeyboardInterrupt):
            OnlineLoop(stream, SETTINGS, tmp_path, train_quickly).run(_interrupt_at(row))
    loop = OnlineLoop(stream, SETTINGS, tmp_path, train_quickly)
    loop.run()
    assert (loop.predictions == ended.predictions).all()
    assert loop.retrained == ended.retrained
    assert loop.learner.state() == ended.learner.state()


_VICTIM = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from unit.online.test_loop import OnlineLoop, SETTINGS, read_stream, room, train_quickly
folder = Path(sys.argv[1])
room._CHECKPOINT_SECONDS = 0.0
loop = OnlineLoop(read_stream(folder / "s.csv", folder / "s.labels.csv"), SETTINGS, folder / "work", train_quickly)
loop.run(lambda done, total: print(done, flush=True))
"""


def test_kill_minus_nine(tmp_path: Path) -> None:
    """A checkpoint is whole whenever its process is killed."""
    synthesize_stream(tmp_path / "s.csv", tmp_path / "s.labels.csv", 2000, 5, StreamDrift.NONE, 60.0)
    (tmp_path / "work").mkdir()
    words = [sys.executable, "-c", _VICTIM, str(tmp_path), str(Path(__file__).parents[2])]
    victim: subprocess.Popen[Any] = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    assert victim.stdout
    told = next(int(line) for line in victim.stdout if int(line) > 1000)
    os.kill(victim.pid, signal.SIGKILL)
    victim.wait()
    victim.stdout.close()
    stream = read_stream(tmp_path / "s.csv", tmp_path / "s.labels.csv")
    seen: list[int] = []
    OnlineLoop(stream, SETTINGS, tmp_path / "work", train_quickly).run(lambda done, _total: seen.append(done))
    assert told <= seen[0] <= told + 2 * room.BLOCK_ROWS
    assert seen[-1] == stream.rows


def test_promoted_as_any_model(ended: OnlineLoop, tmp_path: Path) -> None:
    """The export repeats the challenger, the pickle does too, and the gate lets it through."""
    import joblib
    import pandas

    trained = trained_model(ended, CONFIG, tmp_path / "outputs", 1.0)
    check_parity(trained.parity)
    check_gate(report_of("bank", ended, "run"), 0.6)
    columns = ended.stream.take(slice(0, 200))
    pipeline = joblib.load(tmp_path / "outputs" / "model.pkl")
    said = ended.learner.predict(matrix_from_columns(ended.specification, columns))
    assert numpy.abs(pipeline.predict_proba(pandas.DataFrame(columns))[:, 1] - said).max() < 1e-5
    assert (tmp_path / "outputs" / "prequential.png").stat().st_size > 10_000
    assert 0 < len(trained.curves["prequential_log_loss_challenger"]) <= 101
    assert {"accuracy", "AUC_weighted", "log_loss"} <= set(trained.metrics)


def _labelled(numbers: Sequence[int]) -> list[LabelledRow]:
    """Rows of an endpoint where who is 45 or older says yes."""
    rows = []
    for number in numbers:
        inputs = {"age": 20 + number * 7 % 50, "job": ("student", "retired")[number % 2]}
        label = "yes" if inputs["age"] >= 45 else "no"
        rows.append(LabelledRow(number, f"id-{number}", 0, "2026-01-01T00:00:00Z", "2026-01-02", "bank:1", inputs, "no", label))
    return rows


def test_an_endpoint_goes_on(tmp_path: Path) -> None:
    """What came back since the last time is all that is learnt anew; another past is refused."""
    settings = OnlineSettings(warm_up=200, retrain_every=0, window=200)
    first = OnlineLoop(stream_of(_labelled(range(1, 701)), "y"), settings, tmp_path, train_quickly)
    first.run()
    seen: list[int] = []
    second = OnlineLoop(stream_of(_labelled(range(1, 1001)), "y"), settings, tmp_path, train_quickly)
    second.run(lambda done, _total: seen.append(done))
    assert seen == [900, 1000]
    assert (second.predictions[:, :500] == first.predictions).all()
    assert second.predictions.shape == (3, 800)
    with pytest.raises(ConflictError, match="--fresh"):
        OnlineLoop(stream_of(_labelled(range(2, 1002)), "y"), settings, tmp_path, train_quickly)
    with pytest.raises(ConflictError, match="--fresh"):
        OnlineLoop(second.stream, replace(settings, seed=9), tmp_path, train_quickly)


def test_against_another_champion(stream: Stream, tmp_path: Path) -> None:
    """Work against one champion does not go on against an older version, another model or none; what would serve is said."""
    bundle = train_quickly(stream.take(slice(0, 500)), tmp_path / "bundle")
    settings = replace(SETTINGS, retrain_every=0, champion="bank:10")
    for _ in range(2):
        loop = OnlineLoop(stream, settings, tmp_path, train_quickly, bundle)
        loop.run()
    report = report_of("bank", loop, "run")
    assert (report.champion, report.new_champions) == ("bank:10", ())
    for champion, told, given in (("bank:9", "bank:9", bundle), ("other:11", "other:11", bundle), ("", OWN_CHAMPION, None)):
        message = f"against bank:10, not against {told}; --fresh begins anew, --model bank:10 goes on"
        with pytest.raises(ConflictError, match=message):
            OnlineLoop(stream, replace(settings, champion=champion), tmp_path, train_quickly, given)


def test_on_against_a_new_champion(ended: OnlineLoop, stream: Stream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A newer version predicts what is still to come, and is compared on that alone, whatever the order of the labels; all that
    was said before it stays."""
    monkeypatch.setattr(room, "_CHECKPOINT_SECONDS", 0.0)
    first = train_quickly(stream.take(slice(0, 500)), tmp_path / "first")
    second = train_quickly(stream.take(slice(500, 2000)), tmp_path / "second")
    before = OnlineLoop(stream, replace(SETTINGS, champion="bank:1"), tmp_path, train_quickly, first)
    with pytest.raises(KeyboardInterrupt):
        before.run(_interrupt_at(2000))
    loop = OnlineLoop(stream, replace(SETTINGS, champion="bank:10"), tmp_path, train_quickly, second)
    loop.run()
    said = loop.predictions[POLICIES.index(CHAMPION)]
    for bundle, is_its_own in ((first, ~loop.compared), (second, loop.compared)):
        columns = {name: array[loop.scored[is_its_own]] for name, array in stream.columns.items()}
        assert said[is_its_own] == pytest.approx(ServedModel(bundle).predict(columns, "yes"), abs=1e-6)
    some_came_after_those_of_the_second = numpy.diff(loop.compared.astype(int)) < 0
    assert some_came_after_those_of_the_second.any()
    assert comparison_of(loop).rows == loop.compared.sum()
    assert report_of("bank", loop, "run").new_champions == ((~loop.compared).sum(),)
    assert (loop.predictions[POLICIES.index(CHALLENGER)] == ended.predictions[POLICIES.index(CHALLENGER)]).all()


_AT_A_NEW_CHAMPION = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from unit.online.test_loop import OnlineLoop, SECOND, _labelled, room, stream_of, train_quickly
folder = Path(sys.argv[1])
room._CHECKPOINT_SECONDS = 0.0
loop = OnlineLoop(stream_of(_labelled(range(1, 1301)), "y"), SECOND, folder / "work", train_quickly, folder / "second")
loop.run(lambda done, total: done >= int(sys.argv[3]) and os.kill(os.getpid(), signal.SIGKILL))
"""
FIRST, SECOND = (OnlineSettings(warm_up=200, retrain_every=0, window=200, champion=f"bank:{version}") for version in (1, 2))


@pytest.mark.parametrize(("row", "saved"), [(900, []), (1100, [700])], ids=["before it was saved", "afterwards"])
def test_killed_at_a_new_champion(tmp_path: Path, row: int, saved: list[int]) -> None:
    """`kill -9` at a new champion's first rows: it takes its place once, and what is said in the end is the same to the bit."""
    work, whole = tmp_path / "work", stream_of(_labelled(range(1, 1301)), "y")
    first = train_quickly(whole.take(slice(0, 200)), tmp_path / "first")
    second = train_quickly(whole.take(slice(0, 700)), tmp_path / "second")
    work.mkdir()
    OnlineLoop(stream_of(_labelled(range(1, 701)), "y"), FIRST, work, train_quickly, first).run()
    shutil.copytree(work, tmp_path / "undisturbed")
    undisturbed = OnlineLoop(whole, SECOND, tmp_path / "undisturbed", train_quickly, second)
    undisturbed.run()

    words = [sys.executable, "-c", _AT_A_NEW_CHAMPION, str(tmp_path), str(Path(__file__).parents[2]), str(row)]
    assert subprocess.run(words, check=False).returncode == -signal.SIGKILL
    found = load(work)
    assert found
    assert found.new_champions == saved
    loop = OnlineLoop(whole, SECOND, work, train_quickly, second)
    loop.run()
    assert loop.new_champions == undisturbed.new_champions == (500,)
    assert (loop.predictions == undisturbed.predictions).all()
    assert loop.learner.state() == undisturbed.learner.state()
    assert comparison_of(loop).rows == 600


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (replace(SETTINGS, warm_up=50), "too short"),
        (replace(SETTINGS, warm_up=4000), "4,000 labels have arrived"),
        (replace(SETTINGS, window=10), "window of 10"),
    ],
)
def test_what_can_not_serve(stream: Stream, tmp_path: Path, settings: OnlineSettings, message: str) -> None:
    """Settings that can't serve are refused before anything is trained."""
    with pytest.raises(InvalidRequestError, match=message):
        OnlineLoop(stream, settings, tmp_path, train_quickly)


def test_a_damaged_checkpoint(stream: Stream, tmp_path: Path) -> None:
    """It is said to be that, in one line with what would serve."""
    (tmp_path / FILE).write_bytes(b"PK no archive")
    with pytest.raises(InvalidRequestError, match=r"damaged.*--fresh"):
        OnlineLoop(stream, SETTINGS, tmp_path, train_quickly)
