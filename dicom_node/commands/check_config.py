"""Check a settings file, and that the files and folders that it names are there.

Every fault is named at once, by its path and what is allowed there; exit status 2 if there are any. Files are looked at
as the user who runs this. Whether a destination answers is for `dicom-node echo` to say.
"""

import argparse
import os
from collections.abc import Iterator
from pathlib import Path

from config.errors import Fault, SettingsFault
from config.load import find_settings, load_settings
from config.settings import Settings
from dicom_node.dicomweb import unreadable_files
from dicom_node.errors import CertificatesUnusable
from dicom_node.tls import Tls
from inference.card import load_card
from inference.errors import EngineUnusable, ModelDamaged
from inference.installed import installed_engines, require_installed
from storage import promises


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `check-config` takes."""
    parser.add_argument(
        "file",
        nargs="?",
        type=Path,
        metavar="FILE",
        help="settings file (default: node.toml here, else /etc/dicom-node/node.toml, else the packaged one)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Load the settings; faults leave as SettingsFault."""
    file = arguments.file or find_settings()
    settings = load_settings(file)
    faults = list(faults_on_disk(settings))
    if faults:
        raise SettingsFault(file, faults)
    print(f"settings: {file}")
    receiver = settings.receiver
    print(
        f"{settings.node.ae_title} receives on {receiver.host} port {receiver.port}; data in {settings.node.data_dir}"
    )
    print(f"engine: {settings.model.engine}; installed: {', '.join(installed_engines())}")
    for source in settings.sources:
        print(f"source {source.name}: {source.ae_title} from {', '.join(str(host) for host in source.hosts)}")
    for destination in settings.destinations:
        commitment = ", asked to promise to keep it" if destination.storage_commitment else ""
        print(
            f"destination {destination.name}: {destination.ae_title} at {destination.host} port "
            f"{destination.port} gets {', '.join(destination.objects)}{commitment}"
        )
    for web in settings.web_destinations:
        print(f"destination {web.name}: STOW-RS to {web.url} gets {', '.join(web.objects)}")
    if receiver.require_known_source and not settings.sources:
        print("note: there is no source, and unknown ones are refused, so nobody can send")
    for to in settings.hl7:
        print(f"destination {to.name}: HL7 messages to {to.host} port {to.port}")
    if not settings.all_destinations and not settings.hl7:
        print("note: there is no destination, so results stay here")
    if Tls(settings.tls).is_key_exposed:
        print("note: [tls] key_file can be read by others than the service's user: chmod 600")
    if settings.web.enabled and not (
        settings.web.tls or settings.web.host in ("127.0.0.1", "::1", "localhost")
    ):
        print(
            "note: [web] host is open to the network without tls: passwords and names go there for anybody to read"
        )
    for sentence in promises.not_kept(settings.node.data_dir, promises.Machine(), shares_database=False):
        print(f"note: {sentence}")
    print("no faults")
    return 0


def faults_on_disk(settings: Settings) -> Iterator[Fault]:
    """Find what the settings name and this machine does not have, or does not let this user use."""
    for name, bundle in (("bundle", settings.model.bundle), ("shadow", settings.model.shadow)):
        if bundle is not None:
            try:
                load_card(bundle)
            except ModelDamaged as error:
                yield Fault(f"model.{name}", f"must be the folder of a trained model: {error}")
    try:
        require_installed(settings.model.engine)
    except EngineUnusable as error:
        yield Fault("model.engine", str(error))
    for place, web in enumerate(settings.web_destinations):
        for setting, path in unreadable_files(web):
            yield Fault(f"web_destinations[{place}].{setting}", f"cannot be read: {path}")
    for setting in ("client_secret_file", "ca_file"):
        path = getattr(settings.web.oidc, setting)
        if path is not None and not os.access(path, os.R_OK):
            yield Fault(f"web.oidc.{setting}", f"cannot be read: {path}")
    try:
        Tls(settings.tls).check()
    except CertificatesUnusable as fault:
        yield Fault(f"tls.{fault.setting}", fault.sentence)
    folder = settings.node.data_dir
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        yield Fault("node.data_dir", f"cannot be written to by this user: {settings.node.data_dir}")
