"""The command line: `dicom-node COMMAND`. Exit status 0 done, 1 failed, 2 usage or settings.

Only the module of the command that was asked for is imported, so that `--help` and `status` never wait for torch.
"""

import argparse
import gc
import importlib
import sys
from collections.abc import Sequence
from types import ModuleType

from config.errors import ConfigError
from dicom_node.discretion import be_discreet
from dicom_node.errors import NodeError
from inference.errors import InferenceError
from storage.errors import StorageError

DONE, FAILED, USAGE = 0, 1, 2

# name: (module, one line of help); a module has add_arguments(parser), run(arguments) and a docstring to show
COMMANDS = {
    "run": ("dicom_node.commands.run", "run the node: receive, analyse and deliver"),
    "demo": ("dicom_node.demo.command", "the whole way of real radiographs, to a PACS stand-in and back"),
    "check-config": ("dicom_node.commands.check_config", "check a settings file and name every fault in it"),
    "echo": ("dicom_node.commands.echo", "test whether a destination answers"),
    "status": ("dicom_node.commands.status", "the queue in numbers"),
    "jobs": ("dicom_node.commands.jobs", "list jobs and deliveries, newest first"),
    "show": ("dicom_node.commands.show", "everything that happened to one study"),
    "invite": ("dicom_node.commands.invite", "make the link by which somebody comes in to the pages"),
    "worklist": ("dicom_node.commands.worklist", "the studies in the order in which to read them"),
    "reconcile": ("dicom_node.commands.reconcile", "ask every archive whether it has what it was sent"),
    "conformance": ("dicom_node.commands.conformance", "write the DICOM conformance statement of this node"),
    "shadow": ("dicom_node.commands.shadow", "how a candidate compares with the model in service"),
    "verify": ("dicom_node.commands.verify", "check that database and objects are as they were written"),
    "backup": ("dicom_node.commands.backup", "copy database and objects while the node runs"),
    "restore": ("dicom_node.commands.restore", "put a backup into an empty data folder"),
    "retry": ("dicom_node.commands.retry", "queue failed or refused jobs and deliveries again"),
    "dismiss": ("dicom_node.commands.dismiss", "give up what failed or was refused, once seen"),
    "report": ("dicom_node.commands.report", "report a study again, with the settings of today"),
    "pause": ("dicom_node.commands.pause", "stop all work, the analysis or a destination for a while"),
    "resume": ("dicom_node.commands.resume", "let what is paused go on"),
    "audit": ("dicom_node.commands.audit", "read the audit trail, or verify that nobody has changed it"),
    "feedback": ("dicom_node.commands.feedback", "export the films that people have judged, to train on"),
    "process": ("dicom_node.commands.process", "analyse files without network or database"),
    "train": ("inference.training.train", "train a classifier"),
    "evaluate": ("inference.evaluation.evaluate", "measure a classifier"),
}
OPEN = (["train"], ["evaluate"])
"""Commands that know no patient: the service's user shall read the model, and who trains it why it failed."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status; argparse itself exits with 2 on wrong usage."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if arguments is None and words[:1] not in OPEN:  # else the process is somebody else's
        be_discreet()
    parser = argparse.ArgumentParser(
        prog="dicom-node",
        description="An AI node beside the PACS: chest radiographs in, a structured report and a heatmap back.",
        epilog="It assists, it does not diagnose. 'dicom-node COMMAND --help' explains a command.",
    )
    parser.add_argument("--version", action="store_true", help="show the version and exit")
    choices = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    chosen = words[0] if words and words[0] in COMMANDS else None
    for name, (module_name, line) in COMMANDS.items():
        if name != chosen:
            choices.add_parser(name, help=line)
            continue
        module = _imported(module_name)
        command = choices.add_parser(
            name,
            help=line,
            description=module.__doc__,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.add_arguments(command)
        command.set_defaults(run=module.run)
    if words == ["--version"]:
        from dicom_node.version import package_version  # noqa: PLC0415 - takes as long as all the rest of `--help`

        print(package_version())
        return DONE
    parsed = parser.parse_args(words)
    try:
        return int(parsed.run(parsed))
    except ConfigError as error:
        print(error, file=sys.stderr)
        return USAGE
    except (StorageError, InferenceError, NodeError) as error:
        print(f"dicom-node: {error}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        return FAILED
    except BrokenPipeError:  # what read our output has seen enough
        sys.stdout = None
        return DONE


def _imported(name: str) -> ModuleType:
    """Import a module. All of it stays: to look through it for garbage meanwhile takes a seventh of the time."""
    gc.disable()
    try:
        return importlib.import_module(name)
    finally:
        gc.freeze()
        gc.enable()


if __name__ == "__main__":
    sys.exit(main())
