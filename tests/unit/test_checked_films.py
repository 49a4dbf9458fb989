"""A film is read as a whole before it is looked at, and what was altered or lost is never reported on."""

from pathlib import Path

import pytest

from dicom_node.checked_films import CheckedFilms
from storage.errors import ObjectMissing
from storage.objects import ObjectStore


@pytest.fixture
def store(tmp_path: Path) -> ObjectStore:
    return ObjectStore(tmp_path)


def test_a_film_that_was_altered_is_found_at_the_first_look(store: ObjectStore) -> None:
    key = store.put(b"a film").key
    store.path(key).write_bytes(b"another")
    with pytest.raises(ObjectMissing):
        CheckedFilms(store).path(key)


def test_a_film_that_is_gone_since_it_was_checked_is_missing(store: ObjectStore) -> None:
    films, key = CheckedFilms(store), store.put(b"a film").key
    assert films.path(key) == store.path(key)
    store.remove(key)
    with pytest.raises(ObjectMissing):
        films.path(key)


def test_a_film_is_checked_again_after_a_while(store: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    films, key = CheckedFilms(store), store.put(b"a film").key
    films.path(key)
    store.path(key).write_bytes(b"another")
    assert films.path(key) == store.path(key)  # for the report that follows at once
    monkeypatch.setattr("dicom_node.checked_films.CHECKED_SECONDS", 0.0)
    with pytest.raises(ObjectMissing):
        films.path(key)
