"""What is received is kept as it came: the process that receives decodes no pixel, whatever the coding."""

import subprocess
from pathlib import Path

import pytest
from pydicom.uid import JPEG2000Lossless

from tests.builders import chest_film, write
from tests.faults.undecoding_node import LOADED
from tests.peers import NodeProcess, tool, wait_for

CODINGS = {
    "JPEG baseline": ("dcmcjpeg +eb", "-xy"),
    "JPEG extended": ("dcmcjpeg +ee", "-xx"),
    "JPEG lossless": ("dcmcjpeg +e1", "-xs"),
    "JPEG-LS": ("dcmcjpls +el", "-xt"),
    "RLE": ("dcmcrle", "-xr"),
}
"""How dcmtk encodes a film, and how storescu proposes that transfer syntax."""


@pytest.mark.filterwarnings("ignore")  # pydicom's, about what it encodes
def test_films_of_every_coding_are_kept_where_any_decoder_would_end_the_process(tmp_path: Path) -> None:
    """And neither the decoders that are there for their speed nor what runs the model are loaded there."""
    (tmp_path / "node").mkdir()
    node = NodeProcess(tmp_path / "node", None)
    node.launch("tests.faults.undecoding_node", roles=["receive"])
    assert node.running, node.log
    for coding, (command, option) in CODINGS.items():
        plain, path = write(chest_film(study=coding), tmp_path / "plain.dcm"), tmp_path / f"{coding}.dcm"
        subprocess.run([tool(command.split()[0]), *command.split()[1:], plain, path], check=True)
        assert node.send(path, options=option) == 0
    film = chest_film(study="JPEG 2000")
    film.ensure_file_meta()
    film.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.1"
    film.compress(JPEG2000Lossless, generate_instance_uid=False)
    film.save_as(tmp_path / "j2k.dcm", enforce_file_format=True)
    assert node.send(tmp_path / "j2k.dcm", options="-xv") == 0
    wait_for(lambda: len(list((tmp_path / "node" / "data").rglob("*.dcm"))) == len(CODINGS) + 1, 60)
    assert node.stop() == 0
    assert f"{LOADED}[]" in node.log
