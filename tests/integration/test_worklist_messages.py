"""A RIS is told by HL7: from storescu to a real receiver of messages, through the node as a process of its own."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset

from tests.builders import NAMES, chest_film, write
from tests.hl7_receiver import Receiver, field_of
from tests.peers import NodeProcess, wait_for
from tests.ports import free_port

ALL_LIKELY = "[model]\nuncertain = [0, 0]"
HL7 = """
[[hl7]]
name = "ris"
host = "127.0.0.1"
port = {port}
receiving_application = "RIS"
"""


@pytest.fixture(scope="module")
def receiver() -> Receiver:
    return Receiver()


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory, receiver: Receiver) -> Iterator[NodeProcess]:
    """A node that calls pneumonia likely on every film, and whose archive is down: nobody waits for it."""
    folder = tmp_path_factory.mktemp("node")
    with NodeProcess(folder, free_port(), ALL_LIKELY + HL7.format(port=receiver.port)) as made:
        yield made


def delivery(node: NodeProcess, film: Dataset) -> dict[str, Any]:
    """The last message of this study; empty where there is none yet."""
    deliveries = node.story(film.StudyInstanceUID)["deliveries"]
    found = [each for each in deliveries if each["kind"] == "hl7_message"]
    return found[-1] if found else {}


def test_the_ris_is_told_of_patient_order_answer_and_priority(
    node: NodeProcess, receiver: Receiver, tmp_path: Path
) -> None:
    film = chest_film(
        study="likely", name=NAMES["japanese"], AccessionNumber="ACC-1", without=["RequestAttributesSequence"]
    )
    with receiver.listening():
        assert node.send(write(film, tmp_path / "film.dcm")) == 0
        wait_for(lambda: delivery(node, film).get("state") == "done", why="the message did not arrive")
    message = receiver.messages[-1]
    assert field_of(message, "MSH", 5) == "RIS"
    assert field_of(message, "PID", 5).split("~")[1] == "山田^太郎^^^^^L^I"
    assert field_of(message, "OBR", 18) == "ACC-1"
    assert field_of(message, "TQ1", 9) == "S^STAT^HL70485"


def test_a_ris_that_is_down_is_told_when_it_is_back(
    node: NodeProcess, receiver: Receiver, tmp_path: Path
) -> None:
    film = chest_film(study="down")
    assert node.send(write(film, tmp_path / "film.dcm")) == 0
    wait_for(lambda: delivery(node, film).get("reason") == "nobody listens at this host and port")
    assert delivery(node, film)["state"] == "queued"
    before = len(receiver.messages)
    with receiver.listening():
        wait_for(lambda: delivery(node, film)["state"] == "done")
    assert len(receiver.messages) == before + 1


def test_a_message_that_the_ris_refuses_waits_for_a_person_and_goes_out_when_she_says_so(
    node: NodeProcess, receiver: Receiver, tmp_path: Path
) -> None:
    film = chest_film(study="refused")
    before = len(receiver.messages)
    receiver.codes[:] = ["AE"]
    with receiver.listening():
        assert node.send(write(film, tmp_path / "film.dcm")) == 0
        wait_for(lambda: delivery(node, film).get("state") == "rejected")
        refused = delivery(node, film)
        assert (refused["reason"], refused["destination"]) == ("answered AE", "ris")
        assert node.command("retry", f"d{refused['delivery']}").returncode == 0
        wait_for(lambda: delivery(node, film)["state"] == "done")
    first, second = receiver.messages[before:]
    assert str(first) == str(second)


def test_a_late_film_corrects_what_the_ris_was_told(
    node: NodeProcess, receiver: Receiver, tmp_path: Path
) -> None:
    first, late = chest_film("first", study="late"), chest_film("late", study="late")
    before = len(receiver.messages)
    with receiver.listening():
        node.send(write(first, tmp_path / "first.dcm"))
        wait_for(lambda: len(receiver.messages) == before + 1)
        node.send(write(late, tmp_path / "late.dcm"))
        wait_for(lambda: len(receiver.messages) == before + 2)
        wait_for(lambda: delivery(node, first)["state"] == "done")
    assert [field_of(each, "OBR", 25) for each in receiver.messages[before:]] == ["P", "C"]


def test_a_refused_message_is_not_sent_after_the_one_that_replaced_it(
    node: NodeProcess, receiver: Receiver, tmp_path: Path
) -> None:
    """And since nobody has taken the first, the second is no correction."""
    first, late = chest_film("first", study="replaced"), chest_film("late", study="replaced")
    before = len(receiver.messages)
    receiver.codes[:] = ["AE"]
    with receiver.listening():
        node.send(write(first, tmp_path / "first.dcm"))
        wait_for(lambda: delivery(node, first).get("state") == "rejected")
        refused = f"d{delivery(node, first)['delivery']}"
        node.send(write(late, tmp_path / "late.dcm"))
        wait_for(lambda: delivery(node, first)["state"] == "done")
        assert node.command("retry", refused).returncode == 0
        wait_for(lambda: "a later message has arrived" in node.command("show", first.StudyInstanceUID).stdout)
    assert [field_of(each, "OBR", 25) for each in receiver.messages[before:]] == ["P", "P"]


def test_no_patient_data_of_a_message_is_in_the_log(
    node: NodeProcess, receiver: Receiver, tmp_path: Path
) -> None:
    film = chest_film(
        study="canary", PatientName="CANARY^Yellow", PatientID="CANARY-ID", AccessionNumber="CANARY-ACC"
    )
    receiver.codes[:] = ["AR"]
    with receiver.listening():
        node.send(write(film, tmp_path / "film.dcm"))
        wait_for(lambda: delivery(node, film).get("state") == "done")
    assert "CANARY" in str(receiver.messages[-1])
    assert "CANARY" not in node.log.upper()


def test_echo_says_whether_the_port_answers(node: NodeProcess, receiver: Receiver) -> None:
    down = node.command("echo", "ris")
    assert (down.returncode, "nobody listens" in down.stderr) == (1, True)
    with receiver.listening():
        up = node.command("echo", "ris")
    assert (up.returncode, "HL7 has no echo" in up.stdout) == (0, True)


def test_process_writes_the_message_that_would_be_sent(node: NodeProcess, tmp_path: Path) -> None:
    film = chest_film(study="process")
    ran = node.command("process", str(write(film, tmp_path / "film.dcm")), "--out", str(tmp_path / "out"))
    assert ran.returncode == 0, ran.stderr
    content = (tmp_path / "out" / film.StudyInstanceUID / "ris.hl7").read_bytes()
    assert content.startswith(b"MSH|")
    assert b"\rTQ1|" in content


@pytest.mark.parametrize(("normal_results", "count"), [("nothing", 0), ("routine", 1)])
def test_normal_results_send_nothing_or_a_routine_result_as_set(
    tmp_path: Path, normal_results: str, count: int
) -> None:
    receiver = Receiver()
    settings = (
        f'[model]\nuncertain = [1, 1]\n{HL7.format(port=receiver.port)}normal_results = "{normal_results}"\n'
    )
    made = NodeProcess(tmp_path, free_port(), settings)
    film = chest_film(study="normal")
    with receiver.listening():
        made.start()
        try:
            made.send(write(film, tmp_path / "film.dcm"))
            wait_for(
                lambda: [each["state"] for each in made.story(film.StudyInstanceUID)["reports"]] == ["done"]
            )
            if count:
                wait_for(lambda: delivery(made, film).get("state") == "done")
            assert bool(delivery(made, film)) == bool(count)
        finally:
            made.stop()
    assert len(receiver.messages) == count
    assert not any("TQ1" in str(each) for each in receiver.messages)
