"""The analysing process and the worker that asks it: what hangs, dies or raises there harms nothing else."""

import json
import os
import shutil
import signal
import sys
import threading
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.uid import DeflatedExplicitVRLittleEndian
from sqlalchemy import Table, select, update
from structlog.testing import capture_logs

from config.sections import ModelSettings, RetrySettings
from config.settings import Settings
from dicom_node.child import AnalysisProcess
from dicom_node.errors import AnalysisDied, AnalysisFailed
from dicom_node.tasks import AnalysedFilm, StudyTask
from dicom_node.worker import NOT_STARTED_SECONDS, Worker
from inference.card import CARD_NAME, SHIPPED, load_card
from inference.prediction import NotAnalysable, Prediction, Reason
from storage import ledger, queue, reception, views
from storage.folder import DataFolder
from storage.records import JobKind
from storage.schema import deliveries, jobs, predictions, results
from storage.states import State
from storage.steps import Step
from tests.builders import chest_film, encoded, write
from tests.instances import NOW, OWNER, claimed, instance, receive


@pytest.fixture
def started() -> Iterator[Callable[..., AnalysisProcess]]:
    made: list[AnalysisProcess] = []

    def start(**model: object) -> AnalysisProcess:
        made.append(AnalysisProcess(Settings(model=ModelSettings(**model)), load_card(SHIPPED), 0))  # type: ignore[arg-type]
        made[-1].ensure_started()
        return made[-1]

    yield start
    for process in made:
        process.stop()


@pytest.fixture
def film(tmp_path: Path) -> Path:
    return write(chest_film(), tmp_path / "film.dcm")


@pytest.fixture
def poison(tmp_path: Path) -> Path:
    """A file that whoever opens it waits for, for ever: what a decoder that hangs looks like from outside."""
    path = tmp_path / "poison.dcm"
    os.mkfifo(path)
    return path


def test_it_answers_and_is_replaced_after_its_number_of_images(
    started: Callable[..., AnalysisProcess], film: Path
) -> None:
    process = started(images_per_process=2)
    pids = []
    for _ in range(3):
        assert isinstance(process.analyse(film, 60.0), Prediction)
        pids.append(process.pid)
    assert pids[0] == pids[1] != pids[2]


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_the_log_says_which_engine_runs_the_network(
    engine: str, started: Callable[..., AnalysisProcess], film: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert isinstance(started(engine=engine).analyse(film, 60.0), Prediction)
    lines = [json.loads(line) for line in capfd.readouterr().err.splitlines()]
    assert [each["engine"] for each in lines if each["event"] == "engine_chosen"] == [f"{engine} on cpu"]


def test_what_hangs_is_killed_at_its_deadline_and_the_next_image_is_analysed(
    started: Callable[..., AnalysisProcess], film: Path, poison: Path
) -> None:
    process = started()
    hanging = process.pid
    with pytest.raises(AnalysisDied, match="deadline_exceeded"):
        process.analyse(poison, 0.2)
    assert isinstance(process.analyse(film, 60.0), Prediction)
    assert process.pid != hanging


def test_what_dies_at_work_is_replaced(
    started: Callable[..., AnalysisProcess], film: Path, poison: Path
) -> None:
    process = started()
    assert process.pid is not None

    def kill_when_it_reads() -> None:
        with poison.open("wb"):  # returns when the child has opened the other end
            os.kill(process.pid, signal.SIGKILL)

    killer = threading.Thread(target=kill_when_it_reads)
    killer.start()
    with pytest.raises(AnalysisDied, match="worker_died"):
        process.analyse(poison, 60.0)
    killer.join()
    assert isinstance(process.analyse(film, 60.0), Prediction)


def test_an_error_tells_its_type_and_place_and_nothing_of_the_patient(
    started: Callable[..., AnalysisProcess], tmp_path: Path
) -> None:
    missing = StudyTask((AnalysedFilm(tmp_path / "CANARY.dcm", None),), 1, NOW, None)
    with pytest.raises(AnalysisFailed) as caught:
        started().report(missing, 60.0)
    assert caught.value.error_type == "FileNotFoundError"
    assert caught.value.where
    assert "CANARY" not in repr((caught.value.args, caught.value.where))


def test_a_deflate_bomb_is_a_result_and_no_error(
    started: Callable[..., AnalysisProcess], film: Path, tmp_path: Path
) -> None:
    head = encoded(chest_film(), DeflatedExplicitVRLittleEndian)
    meta = head[: 144 + int.from_bytes(head[140:144], "little")]
    squeeze = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    megabyte = squeeze.compress(bytes(1024**2)) + squeeze.flush(zlib.Z_FULL_FLUSH)
    bomb = tmp_path / "bomb.dcm"
    bomb.write_bytes(meta + megabyte * 5000 + squeeze.flush())
    process = started()
    assert process.analyse(bomb, 120.0) == NotAnalysable(Reason.TOO_LARGE)
    assert isinstance(process.analyse(film, 60.0), Prediction)


def test_a_broken_file_is_a_result_and_no_error(
    started: Callable[..., AnalysisProcess], tmp_path: Path
) -> None:
    path = tmp_path / "broken.dcm"
    path.write_bytes(b"\0" * 128 + b"DICM" + b"\xff" * 1000)
    assert isinstance(started().analyse(path, 60.0), NotAnalysable)


@pytest.fixture
def worker(folder: DataFolder) -> Iterator[Callable[..., Worker]]:
    made: list[Worker] = []

    def make(clock: Callable[[], float], *, retries: bool = False, **model: float) -> Worker:
        settings = Settings(model=ModelSettings(**model), retry=RetrySettings(analyse_attempts=2))  # type: ignore[arg-type]
        card = load_card(SHIPPED)
        made.append(Worker(settings, folder, card, OWNER, lambda: None, clock, retries=retries))
        return made[-1]

    yield make
    for each in made:
        each.close()


def test_a_poisonous_image_fails_after_its_attempts_and_the_others_never_wait_for_it(
    folder: DataFolder, worker: Callable[..., Worker], monkeypatch: pytest.MonkeyPatch
) -> None:
    command = (sys.executable, "-m", "tests.faults.poisoned_node", "analyse")
    monkeypatch.setattr("dicom_node.child.COMMAND", command)
    bad, good = chest_film(study="poison", SeriesDescription="HANG"), chest_film(study="good")
    poisonous, key = (folder.objects.put(encoded(film)).key for film in (bad, good))
    receive(folder, instance(1, study=bad.StudyInstanceUID, object_key=poisonous), quiet=0.0)
    receive(folder, instance(2, study=good.StudyInstanceUID, object_key=key), quiet=0.0)
    now = NOW
    one = worker(lambda: now, deadline_seconds=4.5)
    one.step()
    assert ("analyse", State.QUEUED, "deadline_exceeded") in ended(folder)
    one.step()  # the good image
    one.step()  # its report
    assert ("report", State.DONE, None) in ended(folder)
    now += 60
    assert one.step() > 0  # it does not touch what was tried before
    worker(lambda: now, deadline_seconds=4.5, retries=True).step()
    assert ("analyse", State.FAILED, "deadline_exceeded") in ended(folder)


def ended(folder: DataFolder) -> set[tuple[str, str, str | None]]:
    with folder.database.read() as connection:
        rows = connection.execute(select(jobs.c.kind, jobs.c.state, jobs.c.reason)).all()
    return {(kind, state, reason) for kind, state, reason in rows}


def test_a_report_is_made_again_with_the_same_bytes_after_a_crash(
    folder: DataFolder, worker: Callable[..., Worker]
) -> None:
    film = chest_film()
    key = folder.objects.put(encoded(film)).key
    receive(folder, instance(1, study=film.StudyInstanceUID, object_key=key), quiet=0.0)
    one = worker(lambda: NOW, uncertain=(0.0, 0.0))
    one.step()
    before = {path.name for path in objects(folder)}
    one.step()
    made = {path.name for path in objects(folder)} - before
    with folder.database.write(Step.BY_HAND) as connection:
        # as if the node had died before the transaction that entered what it made
        connection.execute(deliveries.delete())
        connection.execute(results.delete())
        connection.execute(
            jobs.update().where(jobs.c.kind == "report").values(state=State.QUEUED, ended_at=None)
        )
    one.step()
    assert len(made) == 2
    assert {path.name for path in objects(folder)} - before == made


def test_a_report_that_is_retried_after_a_later_one_has_nothing_left_to_tell(
    folder: DataFolder, worker: Callable[..., Worker]
) -> None:
    film = chest_film()
    key = folder.objects.put(encoded(film)).key
    receive(folder, instance(1, study=film.StudyInstanceUID, object_key=key), quiet=0.0)
    one = worker(lambda: NOW, uncertain=(0.0, 0.0))
    one.step()
    first = claimed(folder, JobKind.REPORT)
    with folder.database.write(Step.BY_HAND) as connection:
        queue.give_up(connection, jobs, first.id, OWNER, NOW, "worker_died")
        reception.queue_report(connection, film.StudyInstanceUID, NOW, NOW)
    one.step()
    before = rows_of(folder, results)
    with folder.database.write(Step.BY_HAND) as connection:
        assert ledger.retry_jobs(connection, [first.id], NOW) == [first.id]
    one.step()
    assert (before, rows_of(folder, results)) == (2, 2)
    assert State.FAILED not in {state for _, state, _ in ended(folder)}


def rows_of(folder: DataFolder, table: Table) -> int:
    with folder.database.read() as connection:
        return len(connection.execute(select(table.c.id)).all())


def test_a_further_report_of_other_bytes_of_an_image_is_another_object(tmp_path: Path) -> None:
    made = []
    for accession_number in ("1", "2"):
        folder = DataFolder(tmp_path / accession_number)
        folder.database.migrate()
        film = chest_film(AccessionNumber=accession_number)
        key = folder.objects.put(encoded(film)).key
        receive(folder, instance(1, study=film.StudyInstanceUID, object_key=key), quiet=0.0)
        settings = Settings(model=ModelSettings(uncertain=(0.0, 0.0)))
        one = Worker(settings, folder, load_card(SHIPPED), OWNER, lambda: None, lambda: NOW)
        one.step()
        one.step()
        with folder.database.write(Step.BY_HAND) as connection:
            reception.queue_report(connection, film.StudyInstanceUID, NOW, NOW)
        one.step()
        one.close()
        with folder.database.read() as connection:
            made.append(set(connection.execute(select(results.c.sop_instance_uid)).scalars()))
        folder.close()
    assert [len(each) for each in made] == [4, 4]
    assert len(set.intersection(*made)) == 2  # the first report's and its heatmap's


def test_an_analysing_process_that_does_not_come_up_is_started_again_after_a_while_and_costs_no_attempt(
    folder: DataFolder, worker: Callable[..., Worker], monkeypatch: pytest.MonkeyPatch
) -> None:
    receive(folder, instance(1, object_key=folder.objects.put(encoded(chest_film())).key))
    one = worker(lambda: NOW)
    with monkeypatch.context() as broken, capture_logs() as logs:
        broken.setattr("dicom_node.child.COMMAND", (sys.executable, "-c", "raise SystemExit"))
        assert one.step() == NOT_STARTED_SECONDS
    assert [each["event"] for each in logs] == ["analysis_not_started"]
    one.step()
    with folder.database.read() as connection:
        [attempts] = connection.execute(select(jobs.c.attempts).where(jobs.c.state == State.DONE)).scalars()
    assert attempts == 1


def test_films_wait_while_the_model_in_the_folder_is_another_than_at_the_start(
    folder: DataFolder, tmp_path: Path
) -> None:
    film = chest_film()
    key = folder.objects.put(encoded(film)).key
    receive(folder, instance(1, study=film.StudyInstanceUID, object_key=key), quiet=0.0)
    bundle = Path(shutil.copytree(SHIPPED, tmp_path / "bundle"))
    settings = Settings(model=ModelSettings(bundle=bundle))
    one = Worker(settings, folder, load_card(bundle), OWNER, lambda: None, lambda: NOW)
    card = json.loads((bundle / CARD_NAME).read_text(encoding="utf-8"))
    for change, waits in (
        ({"temperature": 50.0}, True),
        ({"sha256": "0" * 64}, True),
        ({"figures": {}}, False),
    ):
        (bundle / CARD_NAME).write_text(json.dumps(card | change), encoding="utf-8")
        with capture_logs() as logs:
            one.step()
        refusals = [each["reason"] for each in logs if each["event"] == "model_refused"]
        assert [str(bundle) in each for each in refusals] == [True] * waits
        with folder.database.read() as connection:
            states = connection.execute(select(jobs.c.state, jobs.c.attempts).order_by(jobs.c.id)).all()
        assert states[0] == ((State.QUEUED, 0) if waits else (State.DONE, 1))
    one.close()


def test_a_report_after_a_change_of_settings_says_what_was_answered_and_by_which_limits(
    folder: DataFolder, worker: Callable[..., Worker]
) -> None:
    film = chest_film()
    key = folder.objects.put(encoded(film)).key
    receive(folder, instance(1, study=film.StudyInstanceUID, object_key=key), quiet=0.0)
    worker(lambda: NOW, uncertain=(0.0, 1.0)).step()
    worker(lambda: NOW, uncertain=(0.0, 0.0)).step()
    with folder.database.read() as connection:
        story = views.study(connection, film.StudyInstanceUID)
    [analysed] = story["instances"]
    assert (analysed["answer"], analysed["uncertain_from"], analysed["likely_from"]) == ("uncertain", 0, 1)
    reports = [dcmread(path) for path in objects(folder)]
    assert {each.SeriesDescription.split(" (")[0] for each in reports if each.Modality == "SR"} == {
        "Pneumonia uncertain"
    }


def test_a_report_speaks_of_one_model_and_what_another_one_answered_is_analysed_again(
    folder: DataFolder, worker: Callable[..., Worker]
) -> None:
    film = chest_film()
    key = folder.objects.put(encoded(film)).key
    receive(folder, instance(1, study=film.StudyInstanceUID, object_key=key), quiet=0.0)
    now = NOW
    one = worker(lambda: now)
    one.step()
    with folder.database.write(Step.BY_HAND) as connection:
        by_another = {"model_sha256": "0" * 64, "score": 0.1234, "answer": "unlikely"}
        connection.execute(update(predictions).values(by_another))
    one.step()
    assert ("report", State.QUEUED, "images are analysed by a new model") in ended(folder)
    now += 1
    one.step()
    one.step()
    assert ("report", State.DONE, None) in ended(folder)
    with folder.database.read() as connection:
        [answered] = connection.execute(select(predictions.c.model_sha256, predictions.c.score)).all()
    assert answered.model_sha256 == load_card(SHIPPED).sha256
    assert answered.score != 0.1234


def objects(folder: DataFolder) -> list[Path]:
    return list((folder.folder / "objects").rglob("*.dcm"))
