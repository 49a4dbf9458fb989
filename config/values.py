"""The kinds of values that settings have, each checked where it is written down.

Every check raises ValueError with a whole sentence for the administrator who made the mistake.
"""

import re
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo

Network = IPv4Network | IPv6Network
EngineName = Literal["auto", "onnxruntime", "openvino", "torch"]

_HOST_LABEL = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")
_HOST_NAME_LIMIT = 253
_AE_TITLE_LIMIT = 16


def _ae_title(written: str) -> str:
    """Check an AE title by PS3.5 section 6.2 (VR AE) and strip the spaces that are not significant."""
    title = written.strip(" ")
    if not title or len(title) > _AE_TITLE_LIMIT:
        raise ValueError("must be an AE title of 1 to 16 characters, not counting spaces around it")
    if not title.isascii() or not title.isprintable() or "\\" in title:
        raise ValueError(
            "must be an AE title of ASCII letters, digits, spaces and signs, without a backslash"
        )
    return title


def _network(written: object) -> Network:
    """Read an address or a network; an address is a network with one member."""
    if isinstance(written, IPv4Network | IPv6Network):
        return written
    allowed = 'must be an address such as "10.1.2.3" or a network such as "10.1.0.0/16"'
    if not isinstance(written, str):
        raise ValueError(f"{allowed}, in quotation marks")  # noqa: TRY004 - pydantic collects ValueError alone
    try:
        network = ip_network(written.strip())
    except ValueError:
        pass
    else:
        return _unmapped_network(network)
    try:
        around = ip_network(written.strip(), strict=False)
    except ValueError:
        raise ValueError(
            f"{allowed}; a host name is not allowed, since who may send must not depend on a name service"
        ) from None
    raise ValueError(f'{allowed}; this is an address inside a network: the network is "{around}"')


def _unmapped_network(network: Network) -> Network:
    """Read ``::ffff:10.1.2.3`` as the IPv4 address that it stands for."""
    if isinstance(network, IPv6Network) and network.network_address.ipv4_mapped and network.prefixlen >= 96:
        return ip_network((network.network_address.ipv4_mapped, network.prefixlen - 96))
    return network


def _host(written: str) -> str:
    """Check that a host name or an address has the form of one; whether it answers is for C-ECHO to say."""
    host = written.strip()
    try:
        ip_address(host)
    except ValueError:
        labels = host.split(".")
        last_is_number = labels[-1].isdigit()
        if len(host) > _HOST_NAME_LIMIT or last_is_number or not all(map(_HOST_LABEL.fullmatch, labels)):
            raise ValueError(
                'must be an address such as "10.1.2.3" or a host name such as "pacs.example.org", '
                "without port, path or spaces"
            ) from None
    return host


def _web_address(written: str) -> str:
    """Check the URL of a web service, and leave out the slash at its end: paths are added to it."""
    allowed = 'must be a URL such as "https://pacs.example.org/dicom-web"'
    url = written.strip().rstrip("/")
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
        _host(host)
    except ValueError:
        raise ValueError(f"{allowed}; the host or the port in it is none") from None
    if parts.scheme not in {"http", "https"}:
        raise ValueError(f"{allowed}, and start with https:// or http://")
    if parts.username is not None:
        raise ValueError(f"{allowed}, without a user: that has a setting of its own, and the password a file")
    if (
        not re.fullmatch(r"(/[A-Za-z0-9._~%-]*)*", parts.path)
        or url != f"{parts.scheme}://{parts.netloc}{parts.path}"
    ):
        raise ValueError(f"{allowed}, without spaces, query or fragment")
    return url


def header_name(written: str) -> str:
    """Check the name of an HTTP header (RFC 9110 section 5.1) where the empty text means that there is none."""
    if not re.fullmatch(r"[A-Za-z0-9-]{0,64}", written):
        raise ValueError("must be the name of an HTTP header, of letters, digits and hyphens")
    return written


def _name(written: str) -> str:
    """Check a name that commands and logs use for a source or a destination."""
    if not re.fullmatch(r"[a-z0-9_-]{1,64}", written):
        raise ValueError("must be a name of 1 to 64 lower-case letters, digits, hyphens and underscores")
    return written


def _optional_name(written: str) -> str:
    """Check a name where the empty text means that there is none."""
    return _name(written) if written else ""


def _path(written: object, info: ValidationInfo) -> Path:
    """Let a relative path start at the folder that the reader of the file names in the context."""
    if not isinstance(written, str | Path):
        raise ValueError("must be a path in quotation marks")  # noqa: TRY004 - pydantic collects ValueError alone
    if not str(written) or "\0" in str(written):
        raise ValueError("must be a path, and not empty")
    folder: Path | None = (info.context or {}).get("folder")
    return folder / written if folder else Path(written)


def _optional_path(written: object, info: ValidationInfo) -> Path | None:
    """Read a path where the empty text means that there is none."""
    return None if written is None or written == "" else _path(written, info)


def _band(written: object) -> tuple[float, float] | None:
    """Read the two ends of a band of scores; TOML has neither pairs nor a word for none."""
    if written is None:
        return None
    allowed = "must be two numbers from 0 to 1 in square brackets, the smaller one first, such as [0.4, 0.6]"
    ends = written if isinstance(written, list | tuple) else ()
    if [type(end) in {int, float} for end in ends] != [True, True] or not 0 <= ends[0] <= ends[1] <= 1:
        raise ValueError(allowed)
    return float(ends[0]), float(ends[1])


# A description says what is allowed: it ends a sentence that starts with "must be".
AeTitle = Annotated[str, AfterValidator(_ae_title), Field(description="an AE title in quotation marks")]
Host = Annotated[
    str, AfterValidator(_host), Field(description="an address or a host name in quotation marks")
]
OptionalHost = Annotated[
    str,
    AfterValidator(lambda written: _host(written) if written else ""),
    Field(description="an address or a host name in quotation marks"),
]
WebAddress = Annotated[
    str, AfterValidator(_web_address), Field(description="the URL of a web service in quotation marks")
]
OptionalWebAddress = Annotated[
    str,
    AfterValidator(lambda written: _web_address(written) if written else ""),
    Field(description="the URL of a web service in quotation marks"),
]
Name = Annotated[str, AfterValidator(_name), Field(description="a name in quotation marks")]
OptionalName = Annotated[str, AfterValidator(_optional_name), Field(description="a name in quotation marks")]
Address = Annotated[Network, BeforeValidator(_network)]
SettingsPath = Annotated[Path, BeforeValidator(_path)]
OptionalSettingsPath = Annotated[Path | None, BeforeValidator(_optional_path)]
ScoreBand = Annotated[tuple[float, float] | None, BeforeValidator(_band)]
