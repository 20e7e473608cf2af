"""The program `rdmf`: global options, the list of commands, and from an error to one line and an exit code."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable
from typing import Annotated, cast

import typer

from rdmf_cli import __version__, interrupts
from rdmf_cli.commands import (
    affect,
    classify,
    demo,
    doctor,
    evaluate,
    export,
    extract,
    highlights,
    index,
    library,
    models,
    search,
    shell,
    stability,
    train,
)
from rdmf_cli.errors import BUG, INTERRUPTED, RdmfError, UsageError
from rdmf_cli.settings import share_cores

# What a wrong command line raises. Older typers take it from click, newer ones carry their own copy without a public
# name; the base class of typer.BadParameter is right for both.
_Misuse = cast(type[Exception], typer.BadParameter.__mro__[2])
_debug = False  # set by --debug, read when something has failed and no context exists any more

app = typer.Typer(
    name="rdmf",
    help="Type a sentence, get the moment in the video. Works offline.",
    epilog="First time here? Try: rdmf demo",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",  # not "rich", which would take [env: X] for a colour
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("search", cls=search.SearchCommand, no_args_is_help=True)(search.search)
app.command("index", no_args_is_help=True)(index.index)
app.add_typer(library.app, name="library")
app.command("highlights", no_args_is_help=True)(highlights.highlights)
app.command("export", no_args_is_help=True)(export.export)
app.command("shell")(shell.shell)
app.command("demo")(demo.demo)
app.add_typer(models.app, name="models")
app.command("evaluate", no_args_is_help=True)(evaluate.evaluate)
app.command("classify", no_args_is_help=True)(classify.classify)
app.command("affect", no_args_is_help=True)(affect.affect)
app.command("extract", no_args_is_help=True)(extract.extract)
app.command("train", no_args_is_help=True)(train.train)
app.command("stability")(stability.stability)
app.command("doctor")(doctor.doctor)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"rdmf {__version__}")
        raise typer.Exit


@app.callback()
def _global_options(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_print_version, help="Print the version and leave.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Print the traceback if something fails.")] = False,
) -> None:
    global _debug
    _debug = debug


def run() -> None:
    """What the console script calls: the whole program. Never returns."""
    # Names of files and queries may hold what the terminal's encoding can't show; that must not end the program.
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    share_cores()
    try:
        code = exit_code_of(_program)
        interrupts.give_back()
    except KeyboardInterrupt:  # one more, while an error was being explained
        code = interrupts.exit_code() or INTERRUPTED
    sys.exit(code)


def _program() -> object:
    interrupts.listen()
    return app(prog_name="rdmf", standalone_mode=False)


def exit_code_of(work: Callable[[], object]) -> int:
    """Do `work`; explain on stderr whatever it raises, and return the exit code (errors.py, as grep does it)."""
    try:
        result = work()
        code = result if isinstance(result, int) else 0  # typer returns the code of a typer.Exit
    except (Exception, KeyboardInterrupt) as error:
        if _debug:
            traceback.print_exc()
        code = interrupts.exit_code() or _explain(error)
    if code == INTERRUPTED or code == interrupts.exit_code():
        from rdmf_cli.commands import console

        # Whoever presses Ctrl-C again, while threads are being waited for, leaves at once and without a traceback.
        code = interrupts.exit_code() or code  # typer makes 130 of all of them
        interrupts.give_back()
        console.note("interrupted" if code == INTERRUPTED else f"stopped by signal {code - 128}")
    return code


def _explain(error: BaseException) -> int:
    """Say on stderr what went wrong and what to do; the exit code."""
    from rdmf_cli.commands import console

    if isinstance(error, KeyboardInterrupt | typer.Abort):  # Abort: Ctrl-C or the end of input at a question
        return INTERRUPTED
    if isinstance(error, RdmfError):
        console.problem(str(error), error.hint)
        return error.exit_code
    if isinstance(error, _Misuse):
        return _explain_misuse(error)
    if isinstance(error, MemoryError):
        console.problem("not enough memory", "close other programs, or search fewer or shorter videos at once")
        return BUG
    report = "report the traceback above, with what 'rdmf doctor' prints"
    again = "run it again as 'rdmf --debug …' and report what that prints, with what 'rdmf doctor' prints"
    text = " ".join(f"{type(error).__name__}: {error}".split())
    console.problem(f"this is a bug in rdmf: {text}", report if _debug else again)
    return BUG


def _explain_misuse(error: Exception) -> int:
    """A command line that typer refused. Without any arguments it has shown the help already and says nothing more."""
    from rdmf_cli.commands import console

    message = error.format_message() if hasattr(error, "format_message") else str(error)
    if type(error).__name__ == "NoArgsIsHelpError":
        if message.strip():
            console.line(message)  # typers without Rich hand the help over instead of printing it
        return UsageError.exit_code
    context = getattr(error, "ctx", None)
    command = context.command_path if context is not None else "rdmf"
    console.problem(" ".join(message.rstrip(".").split()), f"see: {command} --help")
    return UsageError.exit_code
