"""The command line as an administrator uses it."""

import subprocess
import sys
from pathlib import Path

import pytest
from pydicom import dcmread

from dicom_node.cli import COMMANDS
from dicom_node.demo.archive import AE_TITLE as PACS_AE_TITLE
from tests.builders import chest_film, write
from tests.peers import NodeProcess, Pacs, wait_for
from tests.ports import free_port


def dicom_node(*words: str, folder: Path | None = None) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "dicom_node.cli", *words],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
    )


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str) -> None:
    ran = dicom_node(command, "--help")
    assert ran.returncode == 0
    assert len(ran.stdout.split()) > 30


def test_wrong_usage_ends_with_2() -> None:
    assert dicom_node("deliver").returncode == 2
    assert dicom_node().returncode == 2


def test_echo_tells_the_round_trip(node: NodeProcess, pacs: Pacs) -> None:
    ran = node.command("echo", "pacs")
    assert ran.returncode == 0
    assert "C-ECHO succeeded" in ran.stdout


def test_echo_says_in_words_why_a_destination_does_not_answer(
    node: NodeProcess, pacs: Pacs, tmp_path: Path
) -> None:
    settings = tmp_path / "node.toml"
    settings.write_text(
        f"""
[[destinations]]
name = "nobody"
ae_title = "NOBODY"
host = "127.0.0.1"
port = {free_port()}
[[destinations]]
name = "wrong-title"
ae_title = "NOT_{PACS_AE_TITLE}"
host = "127.0.0.1"
port = {pacs.port}
""",
        encoding="utf-8",
    )
    nobody = dicom_node("echo", "nobody", "--config", str(settings))
    assert (nobody.returncode, "no DICOM answer" in nobody.stderr) == (1, True)
    refused = dicom_node("echo", "wrong-title", "--config", str(settings))
    assert (refused.returncode, "called ae title" in refused.stderr.lower()) == (1, True)
    unknown = dicom_node("echo", "unheard-of", "--config", str(settings))
    assert (unknown.returncode, "nobody, wrong-title" in unknown.stderr) == (2, True)


def test_check_config_names_every_fault_at_once(tmp_path: Path) -> None:
    settings = tmp_path / "node.toml"
    settings.write_text('[receiver]\nport = 70000\n[node]\nae_title = ""\nadress = "x"\n', encoding="utf-8")
    ran = dicom_node("check-config", str(settings))
    assert ran.returncode == 2
    assert [name in ran.stderr for name in ("receiver.port", "node.ae_title", "node.adress")] == [True] * 3


def test_check_config_finds_what_is_not_on_this_machine(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    settings = tmp_path / "node.toml"
    settings.write_text(
        '[node]\ndata_dir = "file/data"\n[model]\nbundle = "nowhere"\n[[web_destinations]]\nname = "web"\n'
        'url = "https://archive.example.org/dicom-web"\ntoken_file = "no.token"\n',
        encoding="utf-8",
    )
    ran = dicom_node("check-config", str(settings))
    assert ran.returncode == 2
    named = ("node.data_dir", "model.bundle", "web_destinations[0].token_file")
    assert [name in ran.stderr for name in named] == [True] * 3


def test_check_config_accepts_the_shipped_default() -> None:
    ran = dicom_node("check-config")
    assert (ran.returncode, "no faults" in ran.stdout) == (0, True)
    assert "engine: auto; installed: onnxruntime" in ran.stdout


def test_a_failed_or_rejected_job_can_be_found_shown_and_retried(
    node: NodeProcess, pacs: Pacs, tmp_path: Path
) -> None:
    film = chest_film(study="retry", view="LL", AccessionNumber="ACC-RETRY")
    node.send(write(film, tmp_path / "film.dcm"))
    wait_for(lambda: pacs.results(film.StudyInstanceUID)[0])
    [job] = [
        each["id"]
        for each in node.json("jobs", "--state", "rejected")
        if each["study_instance_uid"] == film.StudyInstanceUID
    ]
    assert "lateral_view" in node.command("show", "ACC-RETRY").stdout
    assert node.command("retry", job).stdout.strip() == f"queued again: {job}"
    wait_for(lambda: len(pacs.results(film.StudyInstanceUID)[0]) == 2)
    assert node.command("retry", "j999999").returncode == 1
    assert node.command("retry", "everything").returncode == 2
    assert "nothing" in node.command("retry", "--all").stdout


def test_status_says_what_runs_and_what_waits_for_a_person(pacs: Pacs, tmp_path: Path) -> None:
    wanted = 'objects = ["heatmap", "review_workitem"]'
    refusing = NodeProcess(tmp_path, pacs.port, "[model]\nuncertain = [0, 0]", wanted)
    refusing.start()
    assert refusing.json("status")["running"] == ["analyse", "deliver", "receive"]
    film = chest_film(study="refused workitem")
    refusing.send(write(film, tmp_path / "film.dcm"))
    wait_for(lambda: refusing.status()["waiting_for_a_person"] == 1)
    [waiting] = refusing.json("jobs", "--for-a-person")
    assert (waiting["kind"], waiting["state"]) == ("review_workitem", "rejected")
    assert refusing.command("retry", "--all").stdout.strip() == f"queued again: {waiting['id']}"
    wait_for(lambda: refusing.status()["waiting_for_a_person"] == 1)
    assert refusing.command("dismiss", waiting["id"]).returncode == 0
    assert refusing.command("dismiss", waiting["id"]).returncode == 1
    assert refusing.json("status")["waiting_for_a_person"] == 0
    refusing.kill()
    assert refusing.json("status")["running"] == []
    assert "no node works on this folder" in refusing.command("status").stdout


def test_a_study_can_be_reported_again_with_the_settings_of_today(
    node: NodeProcess, pacs: Pacs, tmp_path: Path
) -> None:
    film = chest_film(study="reported by hand", AccessionNumber="ACC-AGAIN")
    node.send(write(film, tmp_path / "film.dcm"))
    wait_for(lambda: len(pacs.results(film.StudyInstanceUID)[0]) == 1)
    assert "a further report" in node.command("report", "ACC-AGAIN").stdout
    wait_for(lambda: len(pacs.results(film.StudyInstanceUID)[0]) == 2)
    assert [each["revision"] for each in node.json("show", "ACC-AGAIN")["reports"]] == [1, 2]
    assert "nothing known" in node.command("report", "ACC-UNHEARD-OF").stderr


def test_the_worklist_names_the_study_with_a_finding_before_one_without_an_answer(
    node: NodeProcess, pacs: Pacs, tmp_path: Path
) -> None:
    lateral = chest_film(study="worklist, lateral", view="LL", AccessionNumber="ACC-LATER")
    likely = chest_film(study="worklist, likely", AccessionNumber="ACC-FIRST")
    for number, film in enumerate((lateral, likely)):
        node.send(write(film, tmp_path / f"{number}.dcm"))
        wait_for(lambda study=film.StudyInstanceUID: pacs.results(study)[0])
    listed = node.json("worklist")
    places = {row["accession_number"]: number for number, row in enumerate(listed)}
    assert places["ACC-FIRST"] < places["ACC-LATER"]
    first = listed[places["ACC-FIRST"]]
    assert (first["answer"], first["study_instance_uid"]) == ("likely", likely.StudyInstanceUID)
    assert 0 < first["score"] < 1
    assert first["waits_seconds"] > 0
    said = node.command("worklist").stdout
    assert said.index("ACC-FIRST") < said.index("ACC-LATER")
    assert "nothing" in node.command("worklist", "--hours", "0").stdout


def test_status_says_when_no_node_has_run(tmp_path: Path) -> None:
    (tmp_path / "node.toml").write_text("", encoding="utf-8")
    ran = dicom_node("status", folder=tmp_path)
    assert (ran.returncode, "no node has run" in ran.stderr) == (1, True)


def test_status_for_people_shows_the_queue(node: NodeProcess) -> None:
    said = node.command("status").stdout
    assert all(word in said for word in ("instances received", "queued", "failed", "oldest waiting"))


def test_process_makes_the_same_objects_without_network_or_database(
    node: NodeProcess, pacs: Pacs, tmp_path: Path
) -> None:
    film = chest_film(study="by hand")
    path = write(film, tmp_path / "film.dcm")
    broken = tmp_path / "letter.txt"
    broken.write_text("not DICOM", encoding="utf-8")
    ran = node.command("process", str(path), str(broken), "--out", str(tmp_path / "out"))
    assert ran.returncode == 1
    assert "letter.txt" in ran.stderr
    folder = tmp_path / "out" / film.StudyInstanceUID
    assert {each.name for each in folder.iterdir()} == {
        "report.dcm",
        "report.txt",
        "heatmap.dcm",
        "heatmap.png",
    }
    node.send(path)
    [report] = wait_for(lambda: pacs.results(film.StudyInstanceUID)[0])
    assert dcmread(folder / "report.dcm").SOPInstanceUID == report.SOPInstanceUID
    assert "Pneumonia" in (folder / "report.txt").read_text(encoding="utf-8")
