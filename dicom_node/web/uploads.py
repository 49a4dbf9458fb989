"""Files that somebody brings to a page: kept for as long as they are looked at, in a process of their own.

That process is not the worker's: a film of the waiting list never waits behind a file that somebody tries. It is
started when it is needed, takes a few hundred megabytes, and ends when nobody has needed it for a while.
"""

import secrets
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fastapi import UploadFile
from starlette.exceptions import HTTPException

from dicom_node.child import AnalysisProcess
from dicom_node.errors import AnalysisDied, AnalysisFailed, ModelRefused
from dicom_node.live_settings import LiveSettings
from inference.card import SHIPPED, ModelCard, load_card
from inference.errors import ModelDamaged
from storage.folder import DataFolder
from storage.objects import discard

NICENESS = 10
"""After everything that is done for patients."""
WAIT_SECONDS = 30.0
"""How long one waits for those before; then it is said that they come first."""
IDLE_SECONDS = 300.0


class Uploads:
    """Keeps and looks at files that are brought. Safe to share between threads."""

    def __init__(self, live: LiveSettings, folder: DataFolder) -> None:
        self._live = live
        self._folder = folder
        self._turn = threading.Lock()
        self._process: AnalysisProcess | None = None
        self._ending: threading.Timer | None = None

    @contextmanager
    def kept(self, upload: UploadFile) -> Iterator[Path]:
        """Give a file what was brought, for as long as the block lasts. Raises HTTPException 507 without room."""
        objects = self._folder.objects
        size = upload.size or 0
        if objects.free_bytes() - size < self._live.current.storage.minimum_free_bytes:
            raise HTTPException(507, "The node's disk is almost full.")
        path = objects.incoming / f"{secrets.token_hex(16)}.upload"
        try:
            with path.open("xb") as file:
                path.chmod(0o600)
                shutil.copyfileobj(upload.file, file)
            yield path
        finally:
            discard(path)

    @contextmanager
    def process(self) -> Iterator[tuple[AnalysisProcess, ModelCard]]:
        """Give the analysing process to one at a time, with its model's card.

        Raises
        ------
        HTTPException
            503 where others come first, where there is no model, or where the process gave no answer; 422 where it was
            the file that it could not bear.
        """
        if not self._turn.acquire(timeout=WAIT_SECONDS):
            raise HTTPException(503, "Others are being served; try again in a minute.", {"Retry-After": "60"})
        try:
            if self._ending is not None:
                self._ending.cancel()
            settings = self._live.current
            card = load_card(settings.model.bundle or SHIPPED)
            self._process = self._process or AnalysisProcess(settings, card, NICENESS)
            self._process.take(settings)
            yield self._process, card
        except (ModelDamaged, ModelRefused) as error:
            raise HTTPException(503, str(error)) from error
        except AnalysisDied as error:
            raise HTTPException(422, f"This file cannot be analysed: {error.reason}.") from error
        except AnalysisFailed as error:
            raise HTTPException(503, f"The analysis met an error: {error.error_type}.") from error
        finally:
            self._ending = threading.Timer(IDLE_SECONDS, self.close)
            self._ending.daemon = True
            self._ending.start()
            self._turn.release()

    def close(self) -> None:
        """End the process; the next file starts another."""
        with self._turn:
            if self._ending is not None:
                self._ending.cancel()
                self._ending = None
            if self._process is not None:
                self._process.stop()
                self._process = None
