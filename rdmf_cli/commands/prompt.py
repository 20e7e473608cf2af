"""The loop of `rdmf shell`: read a line, answer it, whatever happens go on."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import typer

from rdmf_cli.commands import asking, inputs
from rdmf_cli.commands.asking import Filters
from rdmf_cli.commands.library_search import library_options, new_report, open_library, opened_store
from rdmf_cli.commands.report import Report, View
from rdmf_cli.errors import NOTHING_MATCHED, RdmfError, UsageError
from rdmf_cli.settings import Settings, settings_file

_PROMPT = "rdmf> "
_HISTORY_LINES = 1000
_BATCH_SIZE = 32
HELP = """\
Type what you look for, and Enter. Ctrl-C cancels, Ctrl-D leaves.
  :top N             moments that are shown, now {top}
  :per-video N       moments of one video at most, 0 for any number, now {per_video}
  :all on|off        also what is not a confident match, now {show_all}
  :not TEXT          what should not be there; :not alone forgets it. Now: {negatives}
  :image FILE        look for what a picture shows; then an empty text asks for it alone; :image alone forgets it
  :at VIDEO@TIME     the same with a frame of a video
  :glob GLOB         only videos whose path is like this; :glob alone forgets it. Now: {globs}
  :help              this text
  :quit              leave"""


@dataclass
class Shell:
    """A prompt with its settings, which commands change."""

    settings: Settings
    view: View
    filters: Filters
    places: tuple[str, ...] = ()
    extras: asking.Extras = field(default_factory=asking.Extras)

    def run(self) -> None:
        """Load everything once, then answer lines until there are no more. Raises RdmfError if loading fails."""
        from rdmf_cli.commands import console, session

        session.use_ffmpeg(self.settings)
        videos = inputs.find(self.places) if self.places else []
        with console.rich_progress() as progress, self._store(progress, needed=not videos) as store:
            encoder = session.encoder(self.settings, _BATCH_SIZE, progress)
            mode = session.mode(self.settings, encoder)
            if videos:
                ask = self._of_videos(videos, store, encoder, mode, progress)
            else:
                library = open_library(store, encoder, mode, progress)
                ask = self._of_library(library, encoder, progress)
                if is_interactive():
                    console.note(f"{library.num_videos} videos, {library.num_snippets} snippets; :help for help")
            self._loop(ask, lambda text: session.warn_of_long_queries((text,), encoder, progress))

    def _store(self, progress: Any, *, needed: bool) -> Any:
        from rdmf_cli.commands import session

        return opened_store(self.settings, progress) if needed else session.store(self.settings, progress)

    def _loop(self, ask: Callable[[str], None], look_at: Callable[[str], None]) -> None:
        """Answer each line; what goes wrong with one is said and forgotten."""
        from rdmf_cli.commands import console

        for line in lines():
            try:
                if line.startswith(":"):
                    if self._obey(line):
                        return
                elif line or self.extras.has_picture:
                    look_at(line)
                    ask(line)
            except typer.Exit as leave:
                if leave.exit_code not in (0, NOTHING_MATCHED):
                    raise  # the reader of stdout has gone
            except KeyboardInterrupt:
                console.note("cancelled")
            except RdmfError as error:
                console.problem(str(error), error.hint)

    def _of_library(self, library: Any, encoder: Any, progress: Any) -> Callable[[str], None]:
        def ask(text: str) -> None:
            library.catch_up()
            report = new_report(library, self.view, encoder, progress)
            encoded = library.encode(asking.compose([text], self.extras))
            report.add(library.search(encoded, 0, library_options(self.view, self.filters)))

        return ask

    def _of_videos(
        self, videos: list[Path], store: Any, encoder: Any, mode: Any, progress: Any
    ) -> Callable[[str], None]:
        from rdmf_cli.commands import results
        from rdmf_cli.pipeline.answer import SearchOptions
        from rdmf_cli.pipeline.search import search_videos

        def ask(text: str) -> None:
            report = Report(self.view, encoder, progress, model=results.model_of(mode), facts=results.facts_of(mode))
            outcome = search_videos(
                videos,
                asking.compose([text], self.extras),
                encoder=encoder,
                store=store,
                options=SearchOptions(batch_size=_BATCH_SIZE),
                mode=mode,
                progress=progress,
                on_answer=report.add,
            )
            report.finish(outcome)

        return ask

    def _obey(self, line: str) -> bool:
        """Do what a line that begins with a colon says; True if that is to leave. Raises UsageError."""
        from rdmf_cli.commands import console

        name, _, rest = line[1:].partition(" ")
        rest = rest.strip()
        match name.lower():
            case "quit" | "q" | "exit":
                return True
            case "help" | "h" | "?":
                console.line(self._help())
            case "top":
                self.view = replace(self.view, top=number(name, rest, least=1))
            case "per-video":
                self.filters = replace(self.filters, per_video=number(name, rest, least=0))
            case "all":
                self.view = replace(self.view, show_all=switch(name, rest))
            case "not":
                self.extras = replace(self.extras, negatives=(*self.extras.negatives, rest) if rest else ())
            case "image":
                self.extras = replace(self.extras, image=Path(_unquoted(rest)) if rest else None, at=None)
            case "at":
                asking.place_and_time(_unquoted(rest)) if rest else None
                self.extras = replace(self.extras, at=_unquoted(rest) if rest else None, image=None)
            case "glob":
                self.filters = replace(self.filters, path_glob=(rest,) if rest else ())
            case _:
                raise UsageError(f":{name} is not a command", hint=":help lists them")
        return False

    def _help(self) -> str:
        return HELP.format(
            top=self.view.top,
            per_video=self.filters.per_video,
            show_all="on" if self.view.show_all else "off",
            negatives=", ".join(self.extras.negatives) or "nothing",
            globs=", ".join(self.filters.path_glob) or "all",
        )


def is_interactive() -> bool:
    """True if a person types."""
    return bool(sys.stdin is not None and sys.stdin.isatty())


def lines() -> Iterator[str]:
    """What is typed or piped in, line by line, without spaces around; ends at the end of input."""
    if not is_interactive():
        for raw in getattr(sys.stdin, "buffer", None) or []:
            yield raw.decode("utf-8", "replace").strip("\ufeff \t\r\n")
        return
    save = _history()
    try:
        while True:
            try:
                line = input(_PROMPT).strip()
            except KeyboardInterrupt:
                sys.stdout.write("\n")
                continue
            except EOFError:
                sys.stdout.write("\n")
                return
            yield line
    finally:
        save()


def _history() -> Callable[[], None]:
    """Line editing and the queries of earlier times, where the platform has readline; what saves them again."""
    try:
        import readline
    except ImportError:
        return lambda: None
    file = settings_file().parent / "history"
    with suppress(OSError):
        readline.read_history_file(file)
    readline.set_history_length(_HISTORY_LINES)

    def save() -> None:
        with suppress(OSError):
            file.parent.mkdir(parents=True, exist_ok=True)
            readline.write_history_file(file)

    return save


def number(name: str, text: str, *, least: int) -> int:
    """A whole number of at least `least`. Raises UsageError."""
    if not text.isdecimal() or int(text) < least:
        raise UsageError(f":{name} takes a number from {least} on, not {text!r}")
    return int(text)


def switch(name: str, text: str) -> bool:
    """on or off. Raises UsageError."""
    if text.lower() not in ("on", "off"):
        raise UsageError(f":{name} takes on or off, not {text!r}")
    return text.lower() == "on"


def _unquoted(text: str) -> str:
    """A path as people paste it, with or without quotes."""
    try:
        words = shlex.split(text)
    except ValueError:
        return text
    return words[0] if len(words) == 1 else text
