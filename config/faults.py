"""Turns what pydantic found into sentences for the administrator who wrote the file."""

import json
import re
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from types import UnionType
from typing import Any, Literal, TypeVar, Union, cast, get_args, get_origin

from annotated_types import Ge, Le
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from config.audit import AuditSettings
from config.clashes import ClashError, clashes
from config.errors import Fault
from config.hl7 import Hl7Destination
from config.hl7_reports import Hl7ReportSettings
from config.peers import Destination, Source, WebDestination
from config.sections import (
    PriorsSettings,
    ReceiverSettings,
    RetentionSettings,
    RetrySettings,
    StorageSettings,
)
from config.settings import Settings
from config.tls import TlsSettings
from config.web import WebSettings

_SHOWN_CHARACTERS = 60
_REPLACED = {("model", "threshold"): "what threshold = t was, uncertain = [t, t] is now"}
"""Settings of earlier versions, and what is written now."""

Place = tuple[int | str, ...]
Part = TypeVar("Part", bound=BaseModel)


def faults_in(document: Mapping[str, Any], error: ValidationError) -> tuple[Fault, ...]:
    """Name everything that is wrong with a document.

    Parameters
    ----------
    document
        The file as it was read.
    error
        What `Settings.model_validate` raised for it.

    Returns
    -------
    tuple of Fault
        In the order of the sections, one for each place.
    """
    found: dict[str, Fault] = {}
    errors = error.errors(include_url=False)
    for details in errors:
        if isinstance(details.get("ctx", {}).get("error"), ClashError):
            continue  # found again below, where the faults of single settings hide none of them
        place = details["loc"]
        if any(len(other["loc"]) > len(place) and other["loc"][: len(place)] == place for other in errors):
            continue  # said more exactly by the other
        fault = Fault(written_place(details["loc"]), _sentence(details))
        found.setdefault(fault.setting, fault)
    for fault in _clashes_between_valid_parts(document):
        found.setdefault(fault.setting, fault)
    return tuple(found.values())


def written_place(place: Place) -> str:
    """Write a place as an administrator reads it: ``destinations[1].port``."""
    text = ""
    for step in place:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            name = step if re.fullmatch("[A-Za-z0-9_-]+", step) else _quoted(step)
            text += f".{name}" if text else name
    return text


def _sentence(details: ErrorDetails) -> str:
    place = details["loc"]
    if details["type"] == "extra_forbidden":
        return _unknown_name(place)
    cause = details.get("ctx", {}).get("error")
    allowed = str(cause) if isinstance(cause, ValueError) else f"must be {_allowed(place)}"
    return (
        f"is missing; it {allowed}"
        if details["type"] == "missing"
        else f"{allowed}; found {_shown(details['input'])}"
    )


def _unknown_name(place: Place) -> str:
    """Suggest what was meant. The value stays unsaid: it may be a secret in the wrong file."""
    if place in _REPLACED:
        return f"is not a setting; {_REPLACED[place]}"
    written = str(place[-1])
    siblings = _model_at(place[:-1]).model_fields
    close = get_close_matches(written.lower(), siblings, n=1, cutoff=0.65)  # with less, "port" is "priors"
    if close:
        return f'is not a setting; did you mean "{close[0]}"?'
    elsewhere = [
        f'"{name}" in {_header(section, field)}'
        for section, field in Settings.model_fields.items()
        for name in get_close_matches(written.lower(), _model_of(field).model_fields, n=1, cutoff=0.9)
    ]
    if elsewhere:
        return f"is not a setting; did you mean {' or '.join(elsewhere)}?"
    return f"is not a setting; here are allowed: {', '.join(siblings)}"


def _allowed(place: Place) -> str:
    """Say what a place may hold, from the type and the limits of its field."""
    *parents, name = place
    if isinstance(name, int):  # an entry of a list of sections is as its list says
        *parents, name = parents
    field = _model_at(tuple(parents)).model_fields[str(name)]
    if field.description:
        return field.description
    if not parents:
        kind = "a section for each" if _is_list(field) else "one section"
        return f"{kind}, {_header(str(name), field)}"
    value = _without_none(field.annotation)
    if get_origin(value) is Literal:
        return " or ".join(f'"{choice}"' for choice in get_args(value))
    if value is bool:
        return "true or false, without quotation marks"
    low = next(limit.ge for limit in field.metadata if isinstance(limit, Ge))
    high = next(limit.le for limit in field.metadata if isinstance(limit, Le))
    return f"a {'whole ' if value is int else ''}number from {low} to {high}, without quotation marks"


def _model_at(place: Place) -> type[BaseModel]:
    """Find the section that a place names."""
    model: type[BaseModel] = Settings
    for step in place:
        if isinstance(step, str):
            model = _model_of(model.model_fields[step])
    return model


def _model_of(field: FieldInfo) -> type[BaseModel]:
    kind = get_args(field.annotation)[0] if _is_list(field) else field.annotation
    return cast(type[BaseModel], kind)


def _is_list(field: FieldInfo) -> bool:
    return get_origin(field.annotation) is tuple


def _header(section: str, field: FieldInfo) -> str:
    return f"[[{section}]]" if _is_list(field) else f"[{section}]"


def _without_none(annotation: object) -> object:
    if get_origin(annotation) in {Union, UnionType}:
        return next(kind for kind in get_args(annotation) if kind is not type(None))
    return annotation


def _shown(found: object) -> str:
    """Write a value as the file has it, shortened."""
    if isinstance(found, bool):
        return str(found).lower()
    if isinstance(found, Mapping):
        return "a section"
    if isinstance(found, list):
        if found and all(type(entry) in {int, float} for entry in found):
            return _shortened(str(found))
        return "a list" if found else "an empty list"
    return _quoted(found) if isinstance(found, str) else str(found)


def _quoted(text: str) -> str:
    """Write a text as TOML does, on one line."""
    shortened = _shortened(text)
    return json.dumps(shortened, ensure_ascii=not shortened.isprintable())


def _shortened(text: str) -> str:
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}..."


def _clashes_between_valid_parts(document: Mapping[str, Any]) -> Iterator[Fault]:
    sources = _valid_entries(Source, document.get("sources"))
    destinations = _valid_entries(Destination, document.get("destinations"))
    return clashes(
        has_every_entry=(len(sources), len(destinations))
        == (_number(document.get("sources")), _number(document.get("destinations"))),
        receiver=_valid(ReceiverSettings, document.get("receiver", {})),
        retry=_valid(RetrySettings, document.get("retry", {})),
        priors=_valid(PriorsSettings, document.get("priors", {})),
        storage=_valid(StorageSettings, document.get("storage", {})),
        retention=_valid(RetentionSettings, document.get("retention", {})),
        sources=sources,
        destinations=destinations,
        web_destinations=_valid_entries(WebDestination, document.get("web_destinations")),
        hl7=_valid_entries(Hl7Destination, document.get("hl7")),
        hl7_reports=_valid(Hl7ReportSettings, document.get("hl7_reports", {})),
        tls=_valid(TlsSettings, document.get("tls", {})),
        web=_valid(WebSettings, document.get("web", {})),
        audit=_valid(AuditSettings, document.get("audit", {})),
    )


def _number(entries: object) -> int:
    return len(entries) if isinstance(entries, list) else 0


def _valid_entries(kind: type[Part], entries: object) -> dict[int, Part]:
    if not isinstance(entries, list):
        return {}
    checked = {place: _valid(kind, entry) for place, entry in enumerate(entries)}
    return {place: entry for place, entry in checked.items() if entry is not None}


def _valid(kind: type[Part], part: object) -> Part | None:
    try:
        return kind.model_validate(part)
    except ValidationError:
        return None
