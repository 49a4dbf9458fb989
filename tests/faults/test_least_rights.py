"""What the node writes is its user's alone; and it needs no more than that user, its data folder, and a root file
system that it cannot write, as its container gives it.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.builders import chest_film, write
from tests.peers import NodeProcess, Pacs, wait_for

OTHERS = 0o077
CONTAINER_USER = 10112  # of docker/Dockerfile


def open_to_others(folder: Path) -> list[str]:
    """What somebody else than its user could read or change, seen from inside the folder."""
    return [
        f"{path.stat().st_mode & 0o777:o} {path.relative_to(folder)}"
        for path in (folder, *folder.rglob("*"))
        if path.stat().st_mode & OTHERS
    ]


def test_nobody_else_can_read_what_the_node_writes(
    own_node: NodeProcess, own_pacs: Pacs, tmp_path: Path
) -> None:
    own_pacs.start()
    before = os.umask(0o000)  # what an administrator's shell may have
    try:
        own_node.start()
        assert own_node.send(write(chest_film(study="private"), tmp_path / "film.dcm")) == 0
        wait_for(lambda: own_node.settled(1))
        own_node.command("show", "ACC-77")
        backup = tmp_path / "backup"
        own_node.command("backup", str(backup))
        written = {path.name for path in (own_node.folder / "data").iterdir()}
        assert {"node.sqlite", "node.sqlite-wal", "node.sqlite-shm", "objects", "receive.lock"} <= written
        assert open_to_others(own_node.folder / "data") == []
        assert backup.is_dir()
        assert open_to_others(backup) == []
    finally:
        os.umask(before)


def test_what_others_may_read_is_named_at_the_start(own_node: NodeProcess, own_pacs: Pacs) -> None:
    own_node.start()
    own_node.stop()
    assert "rights_too_wide" not in own_node.log
    (own_node.folder / "data" / "objects").chmod(0o755)
    own_node.start()
    [line] = [line for line in own_node.log.splitlines() if "rights_too_wide" in line]
    assert "chmod -R go=" in line
    assert str(own_node.folder / "data" / "objects") in line


def test_the_node_and_its_analysing_process_leave_no_core_dump(own_node: NodeProcess, own_pacs: Pacs) -> None:
    own_node.start()
    tasks = Path(f"/proc/{own_node.pid}/task")
    found = wait_for(
        lambda: [number for each in tasks.iterdir() for number in (each / "children").read_text().split()]
    )
    for process in (own_node.pid, *found):
        limits = Path(f"/proc/{process}/limits").read_text(encoding="ascii")
        [line] = [line for line in limits.splitlines() if line.startswith("Max core file size")]
        assert line.split()[4:6] == ["0", "0"]


@pytest.fixture
def data(own_pacs: Pacs) -> Iterator[Path]:
    """A folder that the container's user may enter: pytest's own are root's alone."""
    made = Path(tempfile.mkdtemp(dir="/var/tmp"))
    made.chmod(0o755)
    (made / "data").mkdir(mode=0o700)
    os.chown(made / "data", CONTAINER_USER, CONTAINER_USER)
    yield made
    shutil.rmtree(made)


# sees everything read-only but the data folder; the interpreter's own folder may lie in one that is root's alone
CONFINE = f"""set -e
mount --make-rprivate /
mount --bind "$DATA" "$DATA"
if [ -n "$HIDDEN" ]; then
    mount --bind "$PREFIX" "$KEPT"
    mount -t tmpfs -o mode=755 none "$HIDDEN"
    mkdir -p "$PREFIX"
    mount --bind "$KEPT" "$PREFIX"
fi
mount -o remount,bind,ro /
cd /
exec setpriv --reuid {CONTAINER_USER} --regid {CONTAINER_USER} --clear-groups \\
    --inh-caps=-all --bounding-set=-all --no-new-privs "$@"
"""


class ConfinedNode(NodeProcess):
    """A node as its container runs it: a user of its own, read-only root, no capabilities, no new privileges."""

    def confine(self) -> None:
        prefix = Path(sys.base_prefix)
        hidden = [str(each) for each in reversed(prefix.parents) if not each.stat().st_mode & 0o001]
        kept = self.folder / "prefix"
        kept.mkdir()
        environment = os.environ | {
            "DATA": str(self.folder / "data"),
            "PREFIX": str(prefix),
            "HIDDEN": hidden[0] if hidden else "",
            "KEPT": str(kept),
            "PYTHONPATH": str(Path(__file__).parents[2]),
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        words = [sys.executable, "-m", "dicom_node.cli", "run", "--config", str(self.config)]
        with (self.folder / "node.log").open("ab") as log:
            self._process = subprocess.Popen(
                ["unshare", "--mount", "sh", "-c", CONFINE, "sh", *words], env=environment, stderr=log
            )
        wait_for(lambda: "dicom-node ready" in self.log or not self.running, 120, "start")
        assert self.running, self.log


def test_it_works_as_its_container_runs_it(data: Path, own_pacs: Pacs, tmp_path: Path) -> None:
    if os.geteuid() != 0 or subprocess.run(["unshare", "--mount", "true"], check=False).returncode:
        pytest.skip("optional peer missing: another user and a mount namespace, which only root can have")
    own_pacs.start()
    film = chest_film(study="confined")
    node = ConfinedNode(data, own_pacs.port, "[model]\nuncertain = [0, 0]")
    node.confine()
    try:
        status = Path(f"/proc/{node.pid}/status").read_text(encoding="ascii")
        assert node.send(write(film, tmp_path / "film.dcm")) == 0
        wait_for(lambda: len(own_pacs.results(film.StudyInstanceUID)[1]) == 1, 120)
    finally:
        assert node.stop() == 0
    facts = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert facts["Uid"].split() == [str(CONTAINER_USER)] * 4
    assert {facts[each] for each in ("CapEff", "CapPrm", "CapInh", "CapBnd")} == {"0" * 16}
    assert facts["NoNewPrivs"] == "1"
    assert open_to_others(data / "data") == []
    assert {path.stat().st_uid for path in (data / "data").rglob("*")} == {CONTAINER_USER}
    assert "error" not in {word for line in node.log.splitlines() for word in line.split('"')}
