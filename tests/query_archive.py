"""An archive with a script that is asked for films, by C-FIND and C-GET; for C-MOVE it knows nobody to send them to.

It ignores every key but UIDs, as an archive may that supports no others: it answers with whatever it holds, of
whatever patient and date.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    ComputedRadiographyImageStorage,
    DigitalXRayImageStorageForPresentation,
    ExplicitVRLittleEndian,
)
from pynetdicom import AE, evt

from dicom_node.fetcher import STUDY_ROOT_GET
from dicom_node.find import STUDY_ROOT_FIND
from tests.ports import free_port

AE_TITLE = "ARCHIVE"
PENDING = 0xFF00
Answers = Iterator[tuple[int, Dataset | None]]
_KEYS = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")


def as_archived(film: Dataset) -> Dataset:
    """The film as pynetdicom sends it."""
    film.file_meta = FileMetaDataset()
    film.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return film


@dataclass
class QueryArchive:
    """What it holds, and what it was asked: the identifiers of C-FIND, the SOP Instance UIDs of C-GET."""

    port: int = field(default_factory=free_port)
    films: list[Dataset] = field(default_factory=list)
    questions: list[Dataset] = field(default_factory=list)
    wanted: list[str] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    """What the node answered to what it was sent."""

    def find(self, asked: Dataset) -> Answers:
        for film in self.films:
            if all(asked.get(key, "") in ("", film[key].value) for key in _KEYS):
                answer = Dataset()
                for element in asked:
                    if element.keyword in film:
                        setattr(answer, element.keyword, film[element.keyword].value)
                answer.QueryRetrieveLevel = asked.QueryRetrieveLevel
                answer.ModalitiesInStudy = film.Modality
                yield PENDING, answer

    def get(self, asked: Dataset) -> list[Dataset]:
        return [film for film in self.films if film.SOPInstanceUID == asked.SOPInstanceUID]

    @contextmanager
    def listening(
        self,
        find: Callable[[Dataset], Answers] | None = None,
        get: Callable[[Dataset], list[Dataset]] | None = None,
        classes: tuple[str, ...] = (STUDY_ROOT_FIND, STUDY_ROOT_GET),
    ) -> Iterator["QueryArchive"]:
        """Answer by `find` and `get` instead of what it holds, where they are given."""

        def found(event: evt.Event) -> Answers:
            self.questions.append(event.identifier)
            yield from (find or self.find)(event.identifier)

        def got(event: evt.Event) -> Iterator[Any]:
            self.wanted.append(event.identifier.SOPInstanceUID)
            films = (get or self.get)(event.identifier)
            yield len(films)
            for film in films:
                yield PENDING, film

        def moved(_event: evt.Event) -> Iterator[Any]:
            yield None, None

        def answered(event: evt.Event) -> None:
            status = event.message.command_set.get("Status")
            if event.message.command_set.CommandField == 0x8001:  # C-STORE-RSP
                self.statuses.append(status)

        entity = AE(AE_TITLE)
        for each in classes:
            entity.add_supported_context(each)
        for each in (ComputedRadiographyImageStorage, DigitalXRayImageStorageForPresentation):
            entity.add_supported_context(each, ExplicitVRLittleEndian, scu_role=True, scp_role=True)
        server = entity.start_server(
            ("127.0.0.1", self.port),
            block=False,
            evt_handlers=[
                (evt.EVT_C_FIND, found),
                (evt.EVT_C_GET, got),
                (evt.EVT_C_MOVE, moved),
                (evt.EVT_DIMSE_RECV, answered),
            ],
        )
        try:
            yield self
        finally:
            server.shutdown()
