"""The conformance statement says what the node negotiates, no more and no less."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from pydicom.uid import AllTransferSyntaxes, ComputedRadiographyImageStorage
from pynetdicom import (
    AE,
    ALL_TRANSFER_SYNTAXES,
    AllStoragePresentationContexts,
    build_context,
    build_role,
    evt,
)
from pynetdicom import sop_class as sop_classes
from pynetdicom.presentation import PresentationContext

from config.load import PACKAGED_SETTINGS, load_settings
from config.peers import Destination, ResultKind, Source
from config.sections import PriorsSettings
from config.settings import Settings
from dicom_node.channels.storage import StorageChannel
from dicom_node.cli import main
from dicom_node.commitment import STORAGE_COMMITMENT, Committer
from dicom_node.conformance import statement
from dicom_node.errors import DeliveryFault
from dicom_node.fetcher import Fetcher
from dicom_node.holdings import holdings_of
from dicom_node.receiver import Receiver
from storage.folder import DataFolder
from tests.instances import OWNER
from tests.ports import free_port

DOCUMENT = Path("docs/conformance.md")
CELL = re.compile(r"`([0-9.]+)`")


def test_the_statement_in_the_documentation_is_that_of_the_packaged_settings(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["conformance", "--config", str(PACKAGED_SETTINGS)]) == 0
    assert capsys.readouterr().out == DOCUMENT.read_text(encoding="utf-8"), "run: make docs"


def accepted_by_the_statement() -> dict[str, tuple[set[str], str]]:
    """For each SOP class of its tables the transfer syntaxes and the node's role."""
    text = DOCUMENT.read_text(encoding="utf-8")
    groups = text.split("### Presentation contexts accepted")[1].split("###")[0].split("**Group ")[1:]
    found = {}
    for group in groups:
        role = "SCU" if "role SCU" in group else "SCP"
        syntaxes, classes = group.split("| SOP class | UID |")
        for uid in CELL.findall(classes):
            found[uid] = (set(CELL.findall(syntaxes)), role)
    return found


@contextmanager
def receiver(folder: DataFolder) -> Iterator[tuple[str, int]]:
    source = Source(name="pacs", ae_title="PACS", hosts=("127.0.0.1",))  # type: ignore[arg-type]
    made = Receiver(Settings(sources=(source,), receiver={"port": 0}), folder, lambda: None)  # type: ignore[arg-type]
    yield made.start()
    made.stop()


def negotiated(
    address: tuple[str, int], contexts: list[PresentationContext], role: bool = False
) -> list[PresentationContext]:
    entity = AE("PACS")
    roles = [build_role(STORAGE_COMMITMENT, scp_role=True)] if role else []
    association = entity.associate(*address, contexts, ae_title="CXR_NODE", ext_neg=roles)
    if not association.is_established:
        return []
    association.release()
    return list(association.accepted_contexts)


def test_every_sop_class_of_the_statement_is_accepted_and_no_other(folder: DataFolder) -> None:
    stated = accepted_by_the_statement()
    known = {
        str(uid)
        for name, uid in vars(sop_classes).items()
        if isinstance(uid, sop_classes.SOPClass) and not name.startswith("_")
    }
    assert len(known - set(stated)) > 50
    proposed = [build_context(uid, ALL_TRANSFER_SYNTAXES) for uid in sorted(known | set(stated))]
    accepted = {}
    with receiver(folder) as address:
        for start in range(0, len(proposed), 100):
            for context in negotiated(address, proposed[start : start + 100], role=True):
                accepted[str(context.abstract_syntax)] = "SCU" if context.as_scp else "SCP"
    assert accepted == {uid: role for uid, (_, role) in stated.items()}


@pytest.mark.parametrize("uid", ["1.2.840.10008.1.1", str(ComputedRadiographyImageStorage)])
def test_every_transfer_syntax_of_the_statement_is_accepted_and_no_other(
    folder: DataFolder, uid: str
) -> None:
    with receiver(folder) as address:
        contexts = [build_context(uid, str(syntax)) for syntax in AllTransferSyntaxes]
        accepted = {str(context.transfer_syntax[0]) for context in negotiated(address, contexts)}
    assert accepted == accepted_by_the_statement()[uid][0]


def test_all_storage_classes_have_the_same_transfer_syntaxes() -> None:
    stated = accepted_by_the_statement()
    classes = {str(context.abstract_syntax) for context in AllStoragePresentationContexts}
    assert len({frozenset(stated[uid][0]) for uid in classes}) == 1


@pytest.mark.parametrize("method", ["get", "move"])
def test_what_is_proposed_to_a_destination_is_what_the_statement_says(
    folder: DataFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str], method: str
) -> None:
    """Every way out is used once, against a peer that writes down what was proposed."""
    to = Destination(
        name="pacs",
        ae_title="PACS",
        host="127.0.0.1",
        port=free_port(),
        objects=tuple(kind for kind in ResultKind if kind is not ResultKind.HL7_MESSAGE),
        storage_commitment=True,
    )
    source = Source(name="pacs", ae_title="PACS", hosts=("127.0.0.1",))  # type: ignore[arg-type]
    priors = PriorsSettings(archive="pacs", method=method)  # type: ignore[arg-type]
    settings = Settings(destinations=(to,), sources=(source,), priors=priors)
    [table] = re.findall(r"### To pacs.*?\n\n(.*?)\n\n", statement(settings), re.DOTALL)
    stated = {(CELL.findall(line)[0]) for line in table.splitlines()[2:]}
    seen: dict[str, set[str]] = {}

    def asked(event: evt.Event) -> None:
        for context in event.assoc.requestor.requested_contexts:
            seen.setdefault(str(context.abstract_syntax), set()).update(map(str, context.transfer_syntax))

    entity = AE("PACS")
    for uid in stated:
        entity.add_supported_context(uid)
    server = entity.start_server(
        ("127.0.0.1", to.port), block=False, evt_handlers=[(evt.EVT_REQUESTED, asked)]
    )
    config = tmp_path / "node.toml"
    config.write_text(
        f'[[destinations]]\nname = "pacs"\nae_title = "PACS"\nhost = "127.0.0.1"\nport = {to.port}\n', "utf-8"
    )
    main(["echo", "pacs", "--config", str(config)])
    channel = StorageChannel("CXR_NODE", to)
    channel._association.opened()
    channel.close()
    with pytest.raises(DeliveryFault):
        Committer(settings, to, folder)._ask("1.2.3", [])
    with pytest.raises(DeliveryFault), holdings_of(settings, to) as holdings:
        holdings.instances("1.2", ["1.3"])
    with Fetcher(settings, folder, OWNER, lambda: None)._association_within_limits():
        pass
    server.shutdown()
    capsys.readouterr()
    assert set(seen) == stated
    lines = {CELL.findall(line)[0]: line.count("<br>") + 1 for line in table.splitlines()[2:]}
    assert {uid: len(syntaxes) for uid, syntaxes in seen.items()} == lines


def test_the_packaged_settings_are_a_statement_of_their_own() -> None:
    text = statement(load_settings(PACKAGED_SETTINGS))
    assert "Comprehensive 3D SR" in text
    assert "no, as it is set" in text
