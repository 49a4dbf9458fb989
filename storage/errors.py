"""What can go wrong in this room.

StorageError
├── StorageUnavailable   retry: the disk is full or answers with an error
│   ├── DatabaseBusy     retry: others write to the database, and the caller has waited for long already
│   └── DatabaseDamaged  stop at the start, retry while running: only a backup mends it
├── LeaseLost            drop: another worker owns the job by now; what was computed is not kept
├── ObjectMissing        reject: the object store has no such object, or its bytes were altered
├── LastAdministrator    reject: without this one nobody could let people in
├── DatabaseTooNew       stop: the database was written by a newer version
└── FolderInUse          stop: another process has this role on the same data folder
"""

from pathlib import Path


class StorageError(Exception):
    """The room's root."""


class StorageUnavailable(StorageError):
    """The database or the disk cannot do this now; the same call may succeed later."""


class DatabaseBusy(StorageUnavailable):
    """Others write to the database, longer than anybody waits."""


class DatabaseDamaged(StorageUnavailable):
    """The database at `path` is not what the node wrote; `fault` is SQLite's word for it."""

    def __init__(self, path: Path, fault: str) -> None:
        super().__init__(
            f"{path}: {fault}; stop the node, move the data folder aside and restore a backup (dicom-node restore)"
        )
        self.path = path
        self.fault = fault


class LeaseLost(StorageError):
    """Row `row_id` of `table` is no longer owned by `owner`: its lease ran out and somebody else has it."""

    def __init__(self, table: str, row_id: int, owner: str) -> None:
        super().__init__(f"{table} {row_id} is no longer owned by {owner}")
        self.table = table
        self.row_id = row_id
        self.owner = owner


class ObjectMissing(StorageError):
    """The object with this key is not in the store, or is not what was stored."""

    def __init__(self, key: str) -> None:
        super().__init__(f"object {key} is missing from the object store or was altered")
        self.key = key


class DatabaseTooNew(StorageError):
    """The database at `path` has migration `revision`, which this version does not know."""

    def __init__(self, path: Path, revision: str) -> None:
        super().__init__(
            f"{path}: the database was written by a newer version (migration {revision}); install that version"
        )
        self.path = path
        self.revision = revision


class FolderInUse(StorageError):
    """Another process already has `role` on the data folder `folder`."""

    def __init__(self, folder: Path, role: str) -> None:
        super().__init__(
            f"{folder}: another node already has the role '{role}' on this data folder; stop it, or change data_dir"
        )
        self.folder = folder
        self.role = role


class LastAdministrator(StorageError):
    """`name` is the only administrator with a password here, and has to stay one."""

    def __init__(self, name: str) -> None:
        super().__init__(f"{name} is the last administrator: make somebody else one first")
        self.name = name
