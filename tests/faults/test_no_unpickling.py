"""A node at work in which every unpickler raises, in each of its processes."""

import shutil
from pathlib import Path

from inference.card import SHIPPED
from tests.builders import chest_film, write
from tests.peers import NodeProcess, Pacs, wait_for


def test_a_node_does_its_work_where_every_unpickler_raises(tmp_path: Path, own_pacs: Pacs) -> None:
    """In all of its processes, from C-STORE to the archive; beside the weights lies a pickle that nobody opens."""
    bundle = Path(shutil.copytree(SHIPPED, tmp_path / "bundle"))
    for name in ("weights.pt", "weights.pth", "model.pkl"):
        (bundle / name).write_bytes(b"cos\nsystem\n(S'false'\ntR.")
    own_pacs.start()
    (tmp_path / "node").mkdir()
    node = NodeProcess(tmp_path / "node", own_pacs.port, f'[model]\nbundle = "{bundle}"\nuncertain = [0, 0]')
    node.launch("tests.faults.unpickling_refused")
    assert node.running, node.log
    film = chest_film(study="without pickle")
    assert node.send(write(film, tmp_path / "film.dcm")) == 0
    wait_for(lambda: all(own_pacs.results(film.StudyInstanceUID)), 120)
    assert node.stop() == 0
    # each process has tried whether an unpickler raises there, and said so
    assert node.log.count("unpickling is refused in run") == 1
    assert node.log.count("unpickling is refused in analyse") >= 1
    assert "touched" not in node.log
    assert '"level": "error"' not in node.log
