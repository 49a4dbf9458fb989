"""Links to systems of the hospital, made of a study by a template."""

import re
from string import Formatter
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator

_IN_LINKS = frozenset({"study_instance_uid", "accession_number"})
_SCHEMES = frozenset({"http", "https", "weasis"})


def _viewer_link(written: str) -> str:
    """Check the template of a link by which a study opens in the hospital's viewer; empty: there is none."""
    link = written.strip()
    if not link:
        return ""
    try:
        parts = [(name, spec, conversion) for _, name, spec, conversion in Formatter().parse(link)]
    except ValueError:
        raise ValueError("has a brace that is not closed, or not opened") from None
    named = {name for name, _, _ in parts if name is not None}
    if not named or not named <= _IN_LINKS or any(spec or conversion for _, spec, conversion in parts):
        raise ValueError("must hold {study_instance_uid} or {accession_number}, and nothing else in braces")
    if urlsplit(link).scheme not in _SCHEMES or not re.fullmatch(r"[A-Za-z]+://[!-~]+", link):
        raise ValueError(
            "must be a URL that starts with https://, http:// or weasis://; spaces and quotation marks in it are "
            "written as %20 and %22"
        )
    if re.search("[\"'<>`]", link):
        raise ValueError("must not hold quotation marks or angle brackets: write %22, %27, %3C and %3E")
    return link


ViewerLink = Annotated[str, AfterValidator(_viewer_link)]
