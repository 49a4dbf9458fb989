"""Films as a page shows them: decoded in the process that looks at files, and kept at hand for a while."""

import threading
from collections import OrderedDict

from starlette.exceptions import HTTPException

from dicom_node.live_settings import LiveSettings
from dicom_node.tasks import FilmView, ViewTask
from dicom_node.web.uploads import Uploads
from inference.card import SHIPPED, ModelCard, load_card
from inference.errors import ModelDamaged
from inference.prediction import NotAnalysable
from storage.errors import ObjectMissing
from storage.folder import DataFolder

FIRST_SIDE = 1024
"""Rows or columns of a film at first: as much as a window shows."""
DEADLINE_SECONDS = 20.0
MOST_BYTES = 200_000_000
"""Of films at hand; the largest that is decoded has as many."""


class Films:
    """Gives films to pages. Safe to share between threads."""

    def __init__(self, live: LiveSettings, folder: DataFolder, uploads: Uploads) -> None:
        self._live = live
        self._folder = folder
        self._uploads = uploads
        self._lock = threading.Lock()
        self._at_hand: OrderedDict[str, FilmView] = OrderedDict()
        self._card: ModelCard | None = None

    def view(self, object_key: str) -> FilmView:
        """Return the film that these bytes are.

        Raises
        ------
        HTTPException
            404: it is not here any more; 422: it has no picture that can be shown; 503: try again.
        """
        found = self._found(object_key)
        if found is not None:
            return found
        with self._uploads.process() as (process, _):
            found = self._found(object_key)  # somebody may have had it decoded meanwhile
            if found is not None:
                return found
            try:
                path = self._folder.objects.require(object_key)
            except ObjectMissing as error:
                raise HTTPException(404, "The film is not here any more.") from error
            view = process.view(ViewTask(path, FIRST_SIDE), DEADLINE_SECONDS)
        if isinstance(view, NotAnalysable):
            raise HTTPException(422, f"The film cannot be shown: {view.reason.sentence}.")
        self._keep(object_key, view)
        return view

    def name_of(self, model_sha256: str) -> str:
        """Name the model that has these weights: in words where it is the one in service."""
        if self._card is None:
            try:
                self._card = load_card(self._live.current.model.bundle or SHIPPED)
            except ModelDamaged:
                return model_sha256[:12]
        if self._card.sha256 != model_sha256:
            return model_sha256[:12]
        return f"{self._card.name} {self._card.version}"

    def _found(self, object_key: str) -> FilmView | None:
        with self._lock:
            found = self._at_hand.get(object_key)
            if found is not None:
                self._at_hand.move_to_end(object_key)
            return found

    def _keep(self, object_key: str, view: FilmView) -> None:
        with self._lock:
            self._at_hand[object_key] = view
            while sum(len(each.full) for each in self._at_hand.values()) > MOST_BYTES:
                self._at_hand.popitem(last=False)
