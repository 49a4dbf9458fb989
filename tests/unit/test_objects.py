"""The object store: durable, named by content, nothing half-kept."""

import hashlib
import os
from pathlib import Path

import pytest

from storage.errors import FolderInUse, ObjectMissing, StorageUnavailable
from storage.folder import DataFolder
from storage.objects import ObjectStore


@pytest.fixture
def store(tmp_path: Path) -> ObjectStore:
    return ObjectStore(tmp_path)


def test_what_was_put_is_read_back(store: ObjectStore) -> None:
    stored = store.put(b"radiograph")
    assert stored.key == hashlib.sha256(b"radiograph").hexdigest()
    assert (store.read(stored.key), stored.size) == (b"radiograph", 10)


def test_the_same_bytes_are_kept_once(store: ObjectStore, tmp_path: Path) -> None:
    store.put(b"radiograph")
    store.put(b"radiograph")
    assert len(list((tmp_path / "objects").rglob("*.dcm"))) == 1


def test_nothing_is_left_in_incoming(store: ObjectStore) -> None:
    store.put(b"radiograph")
    assert list(store.incoming.iterdir()) == []


def test_file_and_folders_are_durable_before_the_key_is_told(
    store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []
    real = os.fsync

    def fsync(descriptor: int) -> None:
        synced.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    path = store.incoming / "arriving"
    path.write_bytes(b"radiograph")
    key = store.adopt(path).key
    assert synced == ["arriving", key[:2]]


def test_an_altered_object_is_found(store: ObjectStore) -> None:
    key = store.put(b"radiograph").key
    store.path(key).write_bytes(b"radiogrApH")
    with pytest.raises(ObjectMissing):
        store.read(key)


def test_a_missing_object_is_named(store: ObjectStore) -> None:
    with pytest.raises(ObjectMissing, match="a" * 64):
        store.read("a" * 64)


def test_a_disk_that_fails_leaves_nothing_half_kept(
    store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageUnavailable, match="No space left"):
        store.put(b"radiograph")
    assert list(store.incoming.iterdir()) == []


def test_only_old_leftovers_are_removed(store: ObjectStore) -> None:
    for name, age in (("old", 100.0), ("young", 200.0)):
        (store.incoming / name).write_bytes(b"half")
        os.utime(store.incoming / name, (age, age))
    assert store.remove_leftovers(150.0) == 1
    assert [path.name for path in store.incoming.iterdir()] == ["young"]


def test_a_role_runs_once_on_a_data_folder(folder: DataFolder) -> None:
    folder.lock_role("analyse")
    other = DataFolder(folder.folder)
    other.lock_role("deliver")
    with pytest.raises(FolderInUse, match="analyse"):
        other.lock_role("analyse")
    other.close()


def test_a_role_is_free_again_when_its_node_has_ended(folder: DataFolder) -> None:
    first = DataFolder(folder.folder)
    first.lock_role("analyse")
    first.close()
    folder.lock_role("analyse")


def test_data_is_readable_by_the_services_user_only(folder: DataFolder) -> None:
    assert folder.folder.stat().st_mode & 0o077 == 0


def test_a_running_role_is_seen_and_a_dead_one_is_not(folder: DataFolder) -> None:
    assert folder.roles_running() == []
    other = DataFolder(folder.folder)
    other.lock_role("receive")
    assert folder.roles_running() == ["receive"]
    other.close()
    assert folder.roles_running() == []


def test_a_folder_of_another_user_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(_path: Path) -> bool:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "exists", forbidden)
    with pytest.raises(StorageUnavailable, match="belongs to another user"):
        DataFolder.existing(tmp_path)


def test_an_object_on_a_bad_sector_is_missing_and_costs_a_backup_no_other(
    store: ObjectStore, tmp_path: Path
) -> None:
    key = store.put(b"radiograph").key
    store.path(key).unlink()
    store.path(key).symlink_to("/proc/self/mem")  # whoever reads its beginning gets EIO
    with pytest.raises(ObjectMissing):
        store.read(key)
    with pytest.raises(ObjectMissing):
        store.require(key)
    with pytest.raises(ObjectMissing):
        ObjectStore(tmp_path / "backup").copy(store, key)
