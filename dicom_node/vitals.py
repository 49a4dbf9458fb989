"""What the page of the system, the metrics and the question whether the node is ready have in common."""

from pydantic import BaseModel

from config.settings import Settings
from storage import audit
from storage.folder import DataFolder

ROLES = ("receive", "analyse", "deliver", "web")
MADE_FOR_A_BYTE = 2.0
"""What is made of a film takes about as much room as the film."""


class Disk(BaseModel):
    """The room on the data folder's disk, in bytes.

    Below `makes_room_below` finished studies are removed before their time, below `refuses_below` nothing is received,
    and below `reads_nothing_below` nothing is analysed. `lasts_days` is how long it takes at the last day's rate until
    nothing is received, if nothing is removed; null: nothing came.
    """

    free_bytes: int
    makes_room_below: int
    refuses_below: int
    reads_nothing_below: int
    received_last_day_bytes: int
    lasts_days: float | None


def disk(settings: Settings, folder: DataFolder, received_last_day: int) -> Disk:
    """Return the room that there is, and how long it lasts."""
    free, least = folder.objects.free_bytes(), settings.storage.minimum_free_bytes
    lasts = max(0.0, free - least) / (MADE_FOR_A_BYTE * received_last_day) if received_last_day else None
    return Disk(
        free_bytes=free,
        makes_room_below=settings.retention.free_megabytes * 1_000_000,
        refuses_below=least,
        reads_nothing_below=settings.storage.reserve_bytes,
        received_last_day_bytes=received_last_day,
        lasts_days=None if lasts is None else round(lasts, 1),
    )


def running_since(folder: DataFolder) -> dict[str, float | None]:
    """Return since when (seconds since 1970, UTC) each role runs that is running; None: nobody wrote it down."""
    running: dict[str, float | None] = dict.fromkeys(folder.roles_running())
    unknown = set(running)
    with folder.database.read() as connection:
        for record in audit.latest(connection, "node_started"):
            for role in unknown & set(record.detail["roles"]):
                running[role] = record.at
                unknown.discard(role)
            if not unknown:
                break
    return running
