"""The version of this package, as `--version` and every object that is sent tell it."""

from functools import cache
from importlib.metadata import PackageNotFoundError, version


@cache
def package_version() -> str:
    """Return the installed version; "unknown" where the package is run from a source tree that was not installed."""
    try:
        return version("dicom-node")
    except PackageNotFoundError:
        return "unknown"
