"""The command `coilflow`: builds and runs, and turns every error into one sentence with a remedy."""

import os
import signal
import sys
from collections.abc import Sequence
from importlib import import_module

import typer
from rich.console import Console
from rich.text import Text

from console.options import EMBEDDED
from schemas.errors import CoilflowError
from store.connection import parameters_of

# Where each command stands: only what is called is imported, so that none waits for the libraries of the others.
_COMMANDS: dict[str, str] = {
    "demo": "console.commands.demo:demo",
    "simulate": "console.commands.simulate:simulate",
    "normalize": "console.commands.normalize:normalize",
    "assess": "console.commands.assess:assess",
    "evaluate": "console.commands.evaluate:evaluate",
    "explain": "console.commands.explain:explain",
    "train": "console.commands.train:train",
    "experiment": "console.commands.experiment:experiment",
    "models list": "console.commands.registry:list_",
    "models show": "console.commands.registry:show",
    "models scores": "console.commands.scores:scores",
    "models drift": "console.commands.scores:drift",
    "models register": "console.commands.registry:register",
    "models shadow": "console.commands.registry:shadow",
    "models promote": "console.commands.registry:promote",
    "models reject": "console.commands.registry:reject",
    "models rollback": "console.commands.registry:rollback",
    "models verify": "console.commands.registry:verify",
    "models freeze": "console.commands.registry:freeze",
    "models unfreeze": "console.commands.registry:unfreeze",
    "models int8": "console.commands.models:int8",
    "feedback": "console.commands.feedback:feedback",
    "labels list": "console.commands.labels:list_",
    "labels disputed": "console.commands.labels:disputed",
    "labels agreement": "console.commands.labels:agreement",
    "labels twins": "console.commands.labels:twins",
    "labels queue": "console.commands.labels:queue",
    "audit coil": "console.commands.audit:coil",
    "audit model": "console.commands.audit:model",
    "worker assess": "console.commands.worker:assess",
    "worker feedback": "console.commands.worker:feedback",
    "bridge mqtt": "console.commands.bridge_mqtt:mqtt",
    "bridge outbox": "console.commands.bridge_outbox:outbox",
    "scheduler run": "console.commands.scheduler:run",
    "scheduler list": "console.commands.scheduler:list_",
    "scheduler why": "console.commands.scheduler:why",
    "scheduler once": "console.commands.scheduler:once",
    "scheduler pause": "console.commands.scheduler:pause",
    "scheduler resume": "console.commands.scheduler:resume",
    "scheduler set": "console.commands.scheduler:set_",
    "console": "console.commands.serve:serve",
    "keys create": "console.commands.keys:create",
    "keys list": "console.commands.keys:list_",
    "keys revoke": "console.commands.keys:revoke",
    "users add": "console.commands.users:add",
    "users list": "console.commands.users:list_",
    "users set-role": "console.commands.users:set_role_",
    "users set-password": "console.commands.users:set_password_",
    "users disable": "console.commands.users:disable",
    "users enable": "console.commands.users:enable",
    "nifi install": "console.commands.nifi:install_",
    "nifi deploy": "console.commands.nifi_deploy:deploy_",
    "nifi diff": "console.commands.nifi_deploy:diff",
    "nifi status": "console.commands.nifi_deploy:status",
    "nifi start": "console.commands.nifi_deploy:start_",
    "nifi stop": "console.commands.nifi_deploy:stop_",
    "nifi remove": "console.commands.nifi_deploy:remove_",
    "deadletters list": "console.commands.deadletters:list_",
    "deadletters show": "console.commands.deadletters:show",
    "deadletters replay": "console.commands.deadletters:replay",
    "deadletters discard": "console.commands.deadletters:discard_",
    "doctor": "console.commands.doctor:doctor",
}
_GROUPS = {
    "models": "What serves, and what could.",
    "labels": "What people said of coils, where they differ, and what they are asked to look at.",
    "audit": "What an auditor files of a coil or a model.",
    "worker": "Kafka consumers, as many as the topic has partitions.",
    "bridge": "What joins coilflow to the plant's brokers.",
    "scheduler": "When jobs run, and what became of them.",
    "deadletters": "What got no verdict, with its original bytes.",
    "nifi": "NiFi: our processors and flows in it.",
    "keys": "Keys by which machines speak to the console.",
    "users": "People who sign in to the console.",
}


def build_app(arguments: Sequence[str]) -> typer.Typer:
    """The command line with the command that the arguments begin with; with all of them where they name none."""
    app = typer.Typer(
        name="coilflow",
        help="One verdict for every galvanized coil: OK, NOK or UNDECIDED.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        add_completion=False,
    )
    app.callback()(lambda: None)  # without it, an app of one command has no command names
    called = {name for name in _COMMANDS if name.split()[0] in arguments[:1]}
    groups: dict[str, typer.Typer] = {}
    for name, place in _COMMANDS.items():
        if called and name not in called:
            continue
        module, function = place.split(":")
        *group, command = name.split()
        home = app
        for title in group:
            if title not in groups:
                groups[title] = typer.Typer(
                    name=title, help=_GROUPS[title], no_args_is_help=True, rich_markup_mode=None
                )
                groups[title].callback()(lambda: None)
                app.add_typer(groups[title])
            home = groups[title]
        home.command(command)(getattr(import_module(module), function))
    return app


_INTERRUPTED = 130  # as a shell counts SIGINT


def main() -> None:
    """Run `coilflow`; exit 0 where any verdict came, 1 where none, 2 for wrong use.

    SIGTERM unwinds what is open, so that the embedded database is stopped.
    """
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code; prints no stack trace unless COILFLOW_DEBUG is set."""
    try:
        code = build_app(arguments)(args=_with_store_value(arguments), prog_name="coilflow", standalone_mode=False)
        sys.stdout.flush()
    except CoilflowError as error:
        return _complain(str(error), error.remedy, error.exit_code)
    except (BrokenPipeError, SystemExit) as error:
        if isinstance(error, SystemExit) and not isinstance(error.__context__, BrokenPipeError):  # as typer leaves then
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the reader has gone, as `| head` does
        return 0
    except Exception as error:  # the last line of defence: a user never sees a stack trace
        if os.environ.get("COILFLOW_DEBUG") and not hasattr(error, "format_message"):
            raise
        return _unexpected(error)
    if code == _INTERRUPTED:
        return _complain("stopped", "run it again: what is stored already is not stored twice", _INTERRUPTED)
    return int(code or 0)


def _unexpected(error: Exception) -> int:
    usage = getattr(error, "format_message", None)
    if usage is not None:
        return _complain(usage(), "see `coilflow --help`", 2)
    if isinstance(error, OSError):
        what = f"{error.filename}: {error.strerror}" if error.filename and error.strerror else str(error)
        return _complain(what, "check that it is there, that you may use it and that the disk has room", 1)
    remedy = "set COILFLOW_DEBUG=1, run it again and report what it shows"
    return _complain(f"unexpected {type(error).__name__}: {error}", remedy, 1)


def _complain(sentence: str, remedy: str, code: int) -> int:
    console = Console(stderr=True, highlight=False, emoji=False, soft_wrap=True)
    console.print(Text.assemble(("error:", "bold red"), f" {_plain(sentence)}; {_plain(remedy)}"))
    return code


def _plain(text: str) -> str:
    return " ".join(text.split()).rstrip(".")


def _with_store_value(arguments: Sequence[str]) -> list[str]:
    """Give `--store` without a DSN its default, which the option parser cannot express."""
    result = []
    for i, argument in enumerate(arguments):
        following = arguments[i + 1] if i + 1 < len(arguments) else ""
        is_dsn = following.startswith(("postgresql://", "postgres://")) or _is_key_value_dsn(following)
        result.append(f"--store={EMBEDDED}" if argument == "--store" and not is_dsn else argument)
    return result


def _is_key_value_dsn(text: str) -> bool:
    """Whether it is `host=... dbname=...`, and not a path like plant=linz."""
    if "=" not in text:
        return False
    try:
        parameters_of(text)
    except CoilflowError:
        return False
    return True
