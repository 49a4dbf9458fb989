"""How fast radiographs are received, beside Orthanc and dcmtk's storescp where they are installed.

    python -m benchmarks.receiving                 everything, into benchmarks/receiving.{json,txt,svg}
    python -m benchmarks.receiving --rounds 1      a first look

In each round every server is started anew on an empty folder and gets the same films from dcmtk's storescu, in an order
that turns from round to round, so that what else the machine does meets all of them. The node syncs film and row to the
disk before it answers, as it always does; Orthanc syncs, too; storescp answers before anything is on the disk.
"""

import argparse
import os
import statistics
import struct
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian, generate_uid
from rich.console import Console
from rich.progress import Progress

from benchmarks.figures import Figures
from benchmarks.peer import Peer
from benchmarks.servers import HASTY, ORTHANC, STORESCP, Server, installed, server, tool

ROUNDS = 5
SIZES = {"10 MB": ((2500, 2048), 24), "263 KB": ((512, 256), 240)}
"""Rows and columns of 16 bits, and how many films are sent over all associations together."""
ASSOCIATIONS = (1, 4, 8)
SMALL_ASSOCIATIONS = 200
IDLE, IDLE_SECONDS = 8, 5.0


def main() -> None:
    """Measure, and write what was found."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--only", choices=[*SIZES, "default peers", "associations"], action="append")
    parser.add_argument("--output", type=Path, default=Path(__file__).with_suffix(""))
    arguments = parser.parse_args()
    only = arguments.only or [*SIZES, "default peers", "associations"]
    names = installed()
    figures = Figures("Receiving radiographs", ORTHANC if ORTHANC in names else names[0])
    with tempfile.TemporaryDirectory(dir=arguments.output.parent) as scratch, Progress() as progress:
        folder = Path(scratch)
        films = {size: _films(folder / size, *SIZES[size]) for size in SIZES}
        task = progress.add_task("receiving", total=arguments.rounds * len(names))
        for number in range(arguments.rounds):
            turned = names[number % len(names) :] + names[: number % len(names)]
            for name in turned:
                _round(name, folder / "server", films, figures, only)
                progress.advance(task)
    figures.write(arguments.output)
    Console().print(figures.table())


def _round(
    name: str, folder: Path, films: dict[str, list[Path]], figures: Figures, only: Sequence[str]
) -> None:
    for size in [size for size in SIZES if size in only]:
        for associations in ASSOCIATIONS:
            with server(name, folder, hasty=True) as running:
                seconds, cpu = _send(running, films[size], associations, HASTY)
            count = len(films[size])
            figures.note(f"{size}, {associations} associations", "images a second", name, count / seconds)
            if associations == 1:
                figures.note(f"{size}, processor", "ms an image", name, 1000 * cpu / count)
    if "default peers" in only:
        with server(name, folder) as running:
            seconds, _ = _send(running, films["10 MB"], 1, {})
        figures.note("10 MB, a peer as dcmtk comes", "images a second", name, len(films["10 MB"]) / seconds)
    if "associations" in only:
        with server(name, folder, hasty=True) as running:
            _measure_associations(running, figures)
        if name != STORESCP:  # it takes one association at a time
            with server(name, folder) as running:
                _measure_idle(running, figures)


def _films(folder: Path, shape: tuple[int, int], count: int) -> list[Path]:
    """Write so many films of one modality, two in a study."""
    folder.mkdir()
    rows, columns = shape
    film = Dataset()
    film.SOPClassUID = DigitalXRayImageStorageForPresentation
    film.PatientID, film.PatientName, film.Modality, film.AccessionNumber = "BENCH", "Bench", "DX", "BENCH"
    film.Rows, film.Columns = rows, columns
    film.SamplesPerPixel, film.PhotometricInterpretation = 1, "MONOCHROME2"
    film.BitsAllocated, film.BitsStored, film.HighBit, film.PixelRepresentation = 16, 16, 15, 0
    pixels = os.urandom(rows * columns * 2)
    paths = []
    for number in range(count):
        if number % 2 == 0:
            film.StudyInstanceUID, film.SeriesInstanceUID = generate_uid(), generate_uid()
        film.SOPInstanceUID = generate_uid()
        film.InstanceNumber = number + 1
        film.PixelData = number.to_bytes(4, "big") + pixels[4:]
        film.file_meta = FileMetaDataset()
        film.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        path = folder / f"{number}.dcm"
        film.save_as(path, enforce_file_format=True)
        paths.append(path)
    return paths


def _send(
    running: Server, films: list[Path], associations: int, environment: dict[str, str]
) -> tuple[float, float]:
    """Send the films over so many associations at once; return the seconds and the processor time that it took."""
    with Peer(running) as warm_up:
        warm_up.associate()
        warm_up.release()
    before, started = running.cpu_seconds(), time.perf_counter()
    senders = [
        subprocess.Popen(
            [
                str(tool("storescu")),
                *("-R", "--max-pdu", "131072", "-aet", "SENDER", "-aec", running.ae_title),
                *("127.0.0.1", str(running.port)),
                *map(str, films[number::associations]),
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=os.environ | environment,
        )
        for number in range(associations)
    ]
    for sender in senders:
        _, said = sender.communicate()
        if sender.returncode:
            raise RuntimeError(f"{running.name} refused: {said.decode(errors='replace')[-1000:]}")
    return time.perf_counter() - started, running.cpu_seconds() - before


def _measure_associations(running: Server, figures: Figures) -> None:
    """One association, one small film and the release: what a modality waits for, again and again."""
    taken = []
    for number in range(SMALL_ASSOCIATIONS):
        film = small_film()
        started = time.perf_counter()
        with Peer(running) as peer:
            peer.associate()
            peer.store(*film)
            peer.release()
        if number >= SMALL_ASSOCIATIONS // 10:
            taken.append(1000 * (time.perf_counter() - started))
    figures.note("association, one small film, release: median", "ms", running.name, statistics.median(taken))
    figures.note(
        "association, one small film, release: 95th percentile",
        "ms",
        running.name,
        statistics.quantiles(taken, n=20)[18],
    )


def small_film() -> tuple[str, bytes]:
    """A CR image's worth of header with hardly a pixel, in Implicit VR Little Endian: its UID and its bytes."""
    uid = generate_uid()
    values = {
        (0x0008, 0x0016): str(DigitalXRayImageStorageForPresentation),
        (0x0008, 0x0018): str(uid),
        (0x0008, 0x0060): "DX",
        (0x0010, 0x0020): "BENCH",
        (0x0020, 0x000D): str(generate_uid()),
        (0x0020, 0x000E): str(generate_uid()),
    }
    content = b""
    for (group, element), value in values.items():
        padded = value.encode() + (b"\0" if "." in value else b" ") * (len(value) % 2)
        content += struct.pack("<HHL", group, element, len(padded)) + padded
    return str(uid), content + struct.pack("<HHL", 0x7FE0, 0x0010, 4) + bytes(4)


def _measure_idle(running: Server, figures: Figures) -> None:
    peers = [Peer(running) for _ in range(IDLE)]
    for peer in peers:
        peer.associate()
    time.sleep(1.0)
    before, started = running.cpu_seconds(), time.perf_counter()
    time.sleep(IDLE_SECONDS)
    share = (running.cpu_seconds() - before) / (time.perf_counter() - started)
    for peer in peers:
        peer.close()
    figures.note(f"{IDLE} idle associations", "% of a core", running.name, 100 * share)


if __name__ == "__main__":
    main()
