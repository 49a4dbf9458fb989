"""Changes one entry of the settings file and leaves every other byte as it was written, comments included.

An entry is what stands from its ``[[...]]`` to its last line, with the comments right under that; what comes after a
blank line, or stands right above the next header, is not its own. Only these lines go through tomlkit. What came of it
is read again by the standard library, and has to be exactly the document that was meant: a file that is written in some
other way (an inline list, say) is left to its editor.
"""

import re
import tomllib
from collections.abc import Mapping
from enum import StrEnum
from itertools import pairwise
from typing import Any, get_args

import tomlkit
from tomlkit.exceptions import TOMLKitError
from tomlkit.items import AbstractTable, Array

from config.errors import NotWritten
from config.section import Section
from config.settings import Settings

_IN_ANOTHER_WAY = "the file is written in a way that cannot be changed here: edit the file itself"


class PeerSection(StrEnum):
    """The lists of the settings file: who sends, and where results go."""

    SOURCES = "sources"
    DESTINATIONS = "destinations"
    WEB_DESTINATIONS = "web_destinations"
    HL7 = "hl7"

    @property
    def model(self) -> type[Section]:
        """The type of an entry."""
        model: type[Section] = get_args(Settings.model_fields[self].annotation)[0]
        return model


def entries_in(text: str, section: PeerSection) -> list[dict[str, Any]]:
    """Return the entries as they are written, without defaults."""
    found = tomllib.loads(text).get(section, [])
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []


def place_of(text: str, section: PeerSection, name: str) -> int | None:
    """Return the place of the entry of this name, or None."""
    names = [entry.get("name") for entry in entries_in(text, section)]
    return names.index(name) if name in names else None


def with_entry(text: str, section: PeerSection, place: int | None, entry: Mapping[str, Any]) -> str:
    """Return the text with another entry.

    Parameters
    ----------
    place
        Of the entry that it takes the place of; None: it comes after the last one.
    entry
        All of its settings, as TOML has them; one with its default is not written where it was not, nor is None.

    Raises
    ------
    NotWritten
        The section is written in a way that this cannot change.
    """
    spans = _spans(text, section)
    entries = entries_in(text, section)
    _require_headers(section, len(spans), len(entries))
    known = entries[place] if place is not None else {}
    defaults = {name: _plain(field.default) for name, field in section.model.model_fields.items()}
    wanted = {
        name: value
        for name, value in entry.items()
        if value is not None and (name in known or value != defaults.get(name, ...))
    }
    if place is None:
        start = end = spans[-1][1] if spans else len(text)
        gap = "" if not text[:end] else "\n" if text[:end].endswith("\n") else "\n\n"
        try:
            written = f"{gap}[[{section}]]\n{tomlkit.dumps(wanted)}"
        except (TOMLKitError, TypeError, ValueError) as error:
            raise NotWritten("this cannot be written as TOML") from error
        meant = [*entries, wanted]
    else:
        start, end = spans[place]
        written = _changed(text[start:end], section, known, wanted)
        meant = [*entries[:place], wanted, *entries[place + 1 :]]
    newline = "\r\n" if "\r\n" in text else "\n"
    return _checked(
        text, text[:start] + re.sub(r"\r?\n", newline, written) + text[end:], {section.value: meant}
    )


def without_entry(text: str, section: PeerSection, place: int) -> str:
    """Return the text without the lines of an entry. Raises NotWritten."""
    spans = _spans(text, section)
    entries = entries_in(text, section)
    _require_headers(section, len(spans), len(entries))
    start, end = spans[place]
    before, after = text[:start], text[end:]
    if re.search(r"(^|\n)\r?\n$", before) or not before:
        after = re.sub(r"^[ \t]*\r?\n", "", after)  # two blank lines would become one gap
    return _checked(text, before + after, {section.value: [*entries[:place], *entries[place + 1 :]]})


def _changed(written: str, section: PeerSection, known: Mapping[str, Any], wanted: Mapping[str, Any]) -> str:
    """Return the lines of one entry, which say what is `known`, with what is wanted instead."""
    try:
        document = tomlkit.parse(written)
    except TOMLKitError as error:
        raise NotWritten(_IN_ANOTHER_WAY) from error
    [table] = document[section.value]
    entry: AbstractTable = table
    for name in known.keys() - wanted.keys():
        entry.remove(name)
    try:
        for name, value in wanted.items():
            found = entry.get(name)
            if isinstance(found, Array) and isinstance(value, list):
                _change_list(found, value)
            elif name not in known or (known[name], type(known[name])) != (value, type(value)):
                entry[name] = value
    except (TOMLKitError, TypeError, ValueError) as error:
        raise NotWritten("this cannot be written as TOML") from error
    return document.as_string()


def _change_list(found: Array, wanted: list[Any]) -> None:
    """Change what has to be, so that the comments of the others stay."""
    for each in [each for each in found.unwrap() if each not in wanted]:
        found.remove(each)
    found.extend(each for each in wanted if each not in found.unwrap())
    if found.unwrap() != wanted:  # another order
        found.clear()
        found.extend(wanted)


def _spans(text: str, section: PeerSection) -> list[tuple[int, int]]:
    """Return where each entry begins and ends."""
    lines = re.findall(r"[^\n]*\n|[^\n]+$", text)
    own = re.compile(rf"[ \t]*\[\[[ \t]*[\"']?{section}[\"']?[ \t]*\]\][ \t]*(#.*)?\s*")
    offsets = [0]
    for line in lines:
        offsets.append(offsets[-1] + len(line))
    headers = [number for number, line in enumerate(lines) if line.lstrip(" \t").startswith("[")]
    found = []
    for number, following in pairwise([*headers, len(lines)]):
        if own.fullmatch(lines[number]):
            found.append((offsets[number], offsets[_last_line(lines, number, following) + 1]))
    return found


def _last_line(lines: list[str], header: int, following: int) -> int:
    """Return the last line of an entry: the last with content, and the comments under it up to a blank line."""
    last = max(
        number for number in range(header, following) if not re.match(r"[ \t]*(#|\r?\n?$)", lines[number])
    )
    under = last + 1
    while under < following and lines[under].lstrip(" \t").startswith("#"):
        under += 1
    is_of_next_header = under == following < len(lines)
    return last if is_of_next_header else under - 1


def _require_headers(section: PeerSection, found: int, wanted: int) -> None:
    if found != wanted:
        raise NotWritten(f"[[{section}]]: {_IN_ANOTHER_WAY}, or write each entry under a header of its own")


def _checked(before: str, after: str, meant: dict[str, list[dict[str, Any]]]) -> str:
    """Return the new text where it says what was meant, and everything else is as it was."""
    document = tomllib.loads(before) | meant
    try:
        made = tomllib.loads(after)
    except tomllib.TOMLDecodeError as error:
        raise NotWritten(_IN_ANOTHER_WAY) from error
    if made != {name: value for name, value in document.items() if value != []}:
        raise NotWritten(_IN_ANOTHER_WAY)
    return after


def _plain(default: object) -> object:
    """Return a default as TOML has it."""
    return [str(each) for each in default] if isinstance(default, tuple) else default
