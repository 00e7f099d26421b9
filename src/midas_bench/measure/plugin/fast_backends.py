"""`--backend fast`: a first look at all backends before the cells are collected, which finds those to measure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import pytest

from midas_bench import scene_photos
from midas_bench.errors import UserError
from midas_bench.measure.first_look import BUDGET_S, able_backends, first_look
from midas_bench.measure.plugin.option_checks import journal_folder
from midas_bench.measure.plugin.run_journal import newest_identity
from midas_bench.measure.plugin.settings import RUN, SETTINGS, RunContext, Settings, write_line


# what is collected depends on it
@pytest.hookimpl(tryfirst=True)
def pytest_collection(session: pytest.Session) -> None:
    """Put the fastest backends in the place of `fast`."""
    config = session.config
    settings = config.stash[SETTINGS]
    if not settings.looks_for_fast:
        return
    try:
        kept, left_out = _of_interrupted_run(config, settings) or _fastest(config, settings)
    except UserError as error:
        raise pytest.UsageError(str(error)) from None
    backends = tuple(dict.fromkeys((*settings.backends, *kept)))
    settings = replace(settings, backends=backends, left_out=(*settings.left_out, *left_out))
    config.stash[SETTINGS], config.stash[RUN] = settings, RunContext(settings)


def _of_interrupted_run(config: pytest.Config, settings: Settings) -> tuple[Sequence[str], Sequence[str]] | None:
    """Return the backends of the run that `--resume` goes on with, where there is one."""
    identity = newest_identity(journal_folder(config)) if settings.resume else {}
    backends = identity.get("options", {}).get("backends")
    return (backends, ()) if backends else None


def _fastest(config: pytest.Config, settings: Settings) -> tuple[Sequence[str], Sequence[str]]:
    able = able_backends(bool(settings.models))
    run = RunContext(replace(settings, backends=able))
    write_line(config, f"fast: a first look at {len(able)} backends, for {BUDGET_S:.0f} s at most")
    reporter = config.pluginmanager.get_plugin("terminalreporter")

    def progress(text: str, left_s: float) -> None:
        if reporter is not None and reporter.isatty:
            reporter.rewrite(f"{text} ({left_s:.0f} s left)", erase=True)

    photo = scene_photos.first_per_scene(run.scenes)[0]
    looked = first_look(run.config, able, str(photo.path), progress, partial(write_line, config))
    progress("", 0.0)
    write_line(config, f"fast: {', '.join(looked.kept)}")
    return looked.kept, looked.left_out
