"""What is promised of the container files, as far as it can be checked without an engine."""

import itertools
import json
import re
import shlex
import socket
import subprocess
import sys
import tomllib
from contextlib import closing
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import yaml

from config.load import load_settings

REPOSITORY = Path(__file__).parents[2]
DOCKER = REPOSITORY / "docker"


def compose(name: str = "compose.yaml") -> Any:
    return yaml.safe_load((DOCKER / name).read_text())


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile as (instruction, arguments), comments left out and continued lines joined."""
    lines = [line for line in (DOCKER / "Dockerfile").read_text().splitlines() if not line.startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    return [(word, rest) for word, _, rest in (line.partition(" ") for line in joined.splitlines() if line)]


def last_stage() -> list[tuple[str, str]]:
    steps = instructions()
    start = max(place for place, (word, _) in enumerate(steps) if word == "FROM")
    return steps[start:]


def the_one(word: str) -> str:
    (arguments,) = (rest for each, rest in last_stage() if each == word)
    return arguments


# The image


def test_every_instruction_is_one_that_docker_knows() -> None:
    known = "FROM ARG RUN COPY WORKDIR ENV USER VOLUME EXPOSE STOPSIGNAL HEALTHCHECK ENTRYPOINT CMD"
    assert {word for word, _ in instructions()} <= set(known.split())


def test_everything_that_is_copied_is_there_and_not_ignored() -> None:
    ignore = (DOCKER / "Dockerfile.dockerignore").read_text().splitlines()
    allowed = {line.removeprefix("!") for line in ignore if line.startswith("!")}
    copied = set()
    for word, rest in instructions():
        if word == "COPY" and "--from" not in rest:
            *sources, _ = rest.split()
            copied.update(sources)
    assert copied == allowed
    assert [source for source in sorted(copied) if not (REPOSITORY / source).exists()] == []


def test_every_package_of_the_application_is_in_the_image() -> None:
    packages = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    wanted = {pattern.rstrip("*") for pattern in packages["find"]["include"]}
    copied = {rest.split()[0] for word, rest in instructions() if word == "COPY"}
    assert wanted <= copied


def test_the_image_is_python_of_a_version_that_the_package_allows() -> None:
    bases = [rest.split()[0] for word, rest in instructions() if word == "FROM"]
    assert len(set(bases)) == 1
    assert re.fullmatch(r"python:3\.1[1-9]-slim-\w+", bases[0])


def test_the_gpu_build_is_one_build_argument_away() -> None:
    assert ("ARG", "TORCH=cpu") in instructions()
    assert any('--torch "$TORCH"' in rest for word, rest in instructions() if word == "RUN")
    assert compose("compose.gpu.yaml")["services"]["node"]["build"]["args"]["TORCH"] == "cuda"


def test_the_node_runs_as_a_user_of_its_own_that_owns_its_data() -> None:
    user = the_one("USER")
    uid, gid = user.split(":")
    assert int(uid) > 1000
    made = next(rest for word, rest in last_stage() if word == "RUN")
    assert f"groupadd --gid {gid} " in made
    assert f"useradd --uid {uid} --gid {gid} " in made
    assert f"--owner={uid} --group={gid} --mode=0700 {the_one('VOLUME')}" in made


def test_sigterm_reaches_the_node() -> None:
    """Without a shell between: only the form in brackets starts the program itself."""
    assert json.loads(the_one("ENTRYPOINT")) == ["dicom-node"]
    assert json.loads(the_one("CMD")) == ["run"]
    assert the_one("STOPSIGNAL") == "SIGTERM"
    assert compose()["services"]["node"]["init"] is True


def test_no_secret_is_in_the_files() -> None:
    for file in DOCKER.iterdir():
        if file.name != "README.md":
            assert not re.search(r"(?i)password\W*[:=]|secret|token|RegisteredUsers", file.read_text()), file


def test_the_health_check_sees_whether_the_port_is_open(tmp_path: Path) -> None:
    command = json.loads(the_one("HEALTHCHECK").partition(" CMD ")[2])
    assert command[0] == "python"
    with closing(socket.create_server(("127.0.0.1", 0))) as listening:
        port = listening.getsockname()[1]
        (tmp_path / "node.toml").write_text(f"[receiver]\nport = {port}\n")

        def healthy() -> bool:
            environment = {"PYTHONPATH": str(REPOSITORY)}
            check = [sys.executable, *command[1:]]
            return not subprocess.run(
                check, cwd=tmp_path, env=environment, stderr=subprocess.DEVNULL, check=False
            ).returncode

        assert healthy()
        listening.close()
        assert not healthy()


# The settings in the container


def test_the_settings_in_the_container_are_right_and_lie_where_the_image_looks() -> None:
    settings = load_settings(DOCKER / "node.toml")
    assert str(settings.node.data_dir) == the_one("VOLUME")
    assert str(settings.receiver.port) == the_one("EXPOSE")
    assert settings.receiver.host == "0.0.0.0"
    folder = the_one("WORKDIR")
    assert f"docker/node.toml {folder}/node.toml" in [rest for word, rest in last_stage() if word == "COPY"]
    node = compose()["services"]["node"]
    assert f"./node.toml:{folder}/node.toml:ro" in node["volumes"]
    pages = settings.web
    assert (pages.host, node["ports"]) == ("0.0.0.0", [f"127.0.0.1:{pages.port}:{pages.port}"])


# The PACS beside it


def test_node_and_orthanc_know_each_other() -> None:
    settings = load_settings(DOCKER / "node.toml")
    orthanc = json.loads((DOCKER / "orthanc.json").read_text())
    services = compose()["services"]
    (modality,) = orthanc["DicomModalities"].values()
    assert modality == {"AET": settings.node.ae_title, "Host": "node", "Port": settings.receiver.port}
    address = services["orthanc"]["networks"]["dicom"]["ipv4_address"]
    source = settings.source_of(orthanc["DicomAet"], address)
    assert source is not None
    (destination,) = settings.destinations
    assert (destination.ae_title, destination.host, destination.port) == (
        orthanc["DicomAet"],
        "orthanc",
        orthanc["DicomPort"],
    )
    assert set(services) == {"node", "orthanc"}


def test_the_addresses_lie_in_the_network_of_the_containers() -> None:
    files = compose()
    (network,) = files["networks"]["dicom"]["ipam"]["config"]
    addresses = [service["networks"]["dicom"]["ipv4_address"] for service in files["services"].values()]
    assert len({*addresses, network["gateway"]}) == 3
    assert all(ip_network(address).subnet_of(ip_network(network["subnet"])) for address in addresses)


def test_without_passwords_every_port_is_open_to_this_machine_alone() -> None:
    for service in compose()["services"].values():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))
        assert "network_mode" not in service


def test_the_node_has_no_capabilities_and_a_root_that_it_cannot_write() -> None:
    node = compose()["services"]["node"]
    assert node["read_only"] is True
    assert node["cap_drop"] == ["ALL"]
    assert node["security_opt"] == ["no-new-privileges:true"]
    assert node["tmpfs"] == ["/tmp"]


def test_without_compose_the_node_gets_no_more_rights_than_with_it() -> None:
    text = (DOCKER / "README.md").read_text().replace("\\\n", "")
    [command] = re.findall(r"^    (docker run .*)$", text, re.MULTILINE)
    words = command.split()
    assert {"--init", "--read-only"} <= set(words)
    given = list(itertools.pairwise(words))
    for option in (("--tmpfs", "/tmp"), ("--cap-drop", "ALL"), ("--security-opt", "no-new-privileges")):
        assert option in given


def test_images_from_elsewhere_have_a_version() -> None:
    assert re.fullmatch(r"orthancteam/orthanc:\d+\.\d+\.\d+", compose()["services"]["orthanc"]["image"])


def test_every_file_that_is_mounted_is_there() -> None:
    for service in compose()["services"].values():
        for volume in service["volumes"]:
            source = volume.split(":")[0]
            if source.startswith("."):
                assert (DOCKER / source).is_file(), source
            else:
                assert source in compose()["volumes"]


def test_the_gpu_file_changes_the_node_alone() -> None:
    (name,) = compose("compose.gpu.yaml")["services"]
    assert name == "node"


def test_the_compose_files_are_in_good_style() -> None:
    rules = "{extends: default, rules: {line-length: {max: 110}}}"
    files = sorted(DOCKER.glob("*.yaml"))
    assert len(files) == 2
    linted = subprocess.run(
        [sys.executable, "-m", "yamllint", "--strict", "-d", rules, *files],
        capture_output=True,
        text=True,
        check=False,
    )
    assert linted.returncode == 0, linted.stdout


def test_the_commands_in_the_readme_name_files_that_exist() -> None:
    text = (DOCKER / "README.md").read_text()
    for path in re.findall(r"docker/[\w.]+", text):
        assert (REPOSITORY / path).is_file(), path
    for line in re.findall(r"^    (.*[^\\])$", text, re.MULTILINE):
        shlex.split(line)
