"""The command line: ``rocksalt init | check | run | submit | status | results | query | report | ...``."""

from __future__ import annotations

import errno
import os
import signal
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any, NoReturn

import typer

from rocksalt.screening.errors import RocksaltError
from rocksalt.stores.addresses import hide_password
from rocksalt.workflows import (
    analyze_command,
    check_command,
    hull_command,
    init_command,
    query_command,
    report_command,
    results_command,
    run_command,
    status_command,
    submit_command,
    transfer_commands,
)
from rocksalt.workflows.command_parts import close_stores, interrupt, was_interrupted
from rocksalt.workflows.threads import limit_threads
from rocksalt.workflows.usage import is_usage_error, usage_line

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Find dopants that stay in the rock-salt surface of Li-rich cathodes.\n\n"
    "Example: rocksalt init my.yaml; rocksalt check my.yaml; rocksalt run my.yaml",
)

app.command()(init_command.init)
app.command()(check_command.check)
app.command()(run_command.run)
app.command()(status_command.status)
app.command()(results_command.results)
app.command()(query_command.query)
app.command()(report_command.report)
app.command()(hull_command.hull)
app.command()(analyze_command.analyze)
app.command("export")(transfer_commands.export_command)
app.command("import")(transfer_commands.import_command)
app.command()(submit_command.submit)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(f"rocksalt {version('rocksalt')}")
        raise typer.Exit


@app.callback()
def _common(
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version.", is_eager=True, callback=_print_version
        ),
    ] = False,
) -> None:
    pass  # `main` has taken --debug out, wherever it stood


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; errors are one line and exit code 2 unless ``--debug``."""
    arguments = sys.argv[1:] if arguments is None else arguments
    debug = "--debug" in arguments
    arguments = [a for a in arguments if a != "--debug"]  # it may stand anywhere
    _prepare_streams()
    limit_threads()  # before numpy is imported: relaxations run one per core
    try:
        with _noted_interrupts():
            code = app(arguments, prog_name="rocksalt", standalone_mode=False)
        if code and was_interrupted():  # typer makes a code of a Ctrl-C
            _stopped()
        raise SystemExit(code or 0)
    except Exception as error:  # noqa: BLE001  # a user gets one line, not a traceback
        if was_interrupted() and not debug:
            _stopped()
        if is_usage_error(error):
            line = usage_line(error, arguments)
            if line:
                print(f"rocksalt: {line}", file=sys.stderr)
            raise SystemExit(2) from None
        _hide_passwords(error)
        foreign = getattr(error, "title", None) == "JobflowSettings"  # quotes the configuration
        if debug:
            shown = _about_jobflow(error) if foreign else error
            traceback.print_exception(shown)
            raise SystemExit(2) from None
        line = _one_line(_about_jobflow(error) if foreign else error)
        print(f"rocksalt: {line}", file=sys.stderr)
        raise SystemExit(2) from None
    except KeyboardInterrupt:
        _stopped()
    finally:
        close_stores()


def _prepare_streams() -> None:
    """Let output go nowhere where it is closed, and lose a letter where it cannot be written."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115  # for as long as the process lives
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")


def _stopped() -> NoReturn:
    print("rocksalt: stopped; what was finished is in the store", file=sys.stderr)
    raise SystemExit(130) from None


@contextmanager
def _noted_interrupts() -> Iterator[None]:
    """Note a Ctrl-C that comes from now on, unless the caller has a handler of its own."""
    was_interrupted()  # by an earlier command of this process
    before = signal.getsignal(signal.SIGINT)
    if before is not signal.default_int_handler:
        yield
        return
    signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _hide_passwords(error: BaseException | None) -> None:
    """Change the messages of an error and of those that led to it."""
    while error is not None:
        error.args = tuple(hide_password(a) if isinstance(a, str) else a for a in error.args)
        if isinstance(error, OSError) and error.filename is not None:
            error.filename = hide_password(str(error.filename))
        error = error.__cause__ or error.__context__


def _about_jobflow(error: Any) -> RocksaltError:
    first = error.errors(include_input=False, include_url=False)[0]
    key = ".".join(map(str, first["loc"]))
    return RocksaltError(f"jobflow's configuration: {key}: {first['msg']}: correct it")


def _one_line(error: Exception) -> str:
    if isinstance(error, RocksaltError):
        return str(error)
    if type(error).__module__.startswith("pymongo"):  # the server went away in the middle
        from rocksalt.stores.mongo import explained_server_error

        return str(explained_server_error(error))
    if isinstance(error, OSError) and error.errno in {errno.EBADF, errno.ENOSPC, errno.EPIPE}:
        return f"the output cannot be written: {error.strerror}"
    reason = " ".join(f"{type(error).__name__}: {error}".split())
    return f"unexpected {reason}; --debug shows where"


if __name__ == "__main__":
    main()
