"""Records -> the sections of a report, in the order they are read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from midas_bench.report import claims, pictures, tables
from midas_bench.report.charts import forest, resources, throughput, timing
from midas_bench.report.charts.trend import trend
from midas_bench.report.model import Card, Document, Section
from midas_bench.results import answers as words
from midas_bench.results.compare import Comparison, Side, compare
from midas_bench.results.frame import frame
from midas_bench.results.ranking import Answer
from midas_bench.results.runs import Run

Step = Callable[[str], None]
T = TypeVar("T")


@dataclass(frozen=True)
class Material:
    """All that a report is made from.

    Attributes:
        run: what the report is about.
        label: what to call it.
        history: saved runs of the same machine kind, oldest first, the run itself included.
        sides: two or more to compare, the baseline first; empty where there is nothing to compare.
        album: photos and true depth.
        remarks: what happened on the way here, such as files that could not be read.
    """

    run: Run
    label: str
    history: tuple[Run, ...]
    sides: tuple[Side, ...]
    album: pictures.Album
    remarks: tuple[str, ...] = ()


def present(*things: T | None) -> tuple[T, ...]:
    """Leave out what there is not."""
    return tuple(thing for thing in things if thing is not None)


def document(material: Material, step: Step = lambda _: None) -> Document:
    """Build every section, leave out those with nothing to show; `step` hears what is being worked on."""
    run = material.run
    answers = words.answers(run.records)
    builders: list[tuple[str, Callable[[], Section]]] = [
        ("the answers", lambda: answer_section(material, answers)),
        ("the comparison", lambda: comparison_section(material)),
        ("the article", lambda: article_section(run, answers)),
        ("ratios", lambda: ratio_section(run)),
        ("timing charts", lambda: timing_section(run)),
        ("memory and start-up charts", lambda: resources_section(run)),
        ("the trend", lambda: trend_section(material)),
        ("pictures", lambda: picture_section(material)),
        ("the cells", lambda: cell_section(run)),
        ("the machine", lambda: machine_section(material)),
    ]
    made: list[Section] = []
    for name, build in builders:
        step(name)
        made.append(build())
    when = run.when[:16].replace("T", " ")
    commit = f"commit {run.commit[:10]}" if run.commit and run.commit != "unknown" else None
    subtitle = ", ".join(present(run.path.name, when or None, commit, run.machine.facts.get("CPU")))
    title = "MiDaS_small depth estimation on CPU" if answers else "Benchmark report"
    return Document(title, subtitle, tuple(section for section in made if not section.empty))


def warnings(material: Material) -> Iterable[str]:
    """Say first what changes how everything else is to be read."""
    run = material.run
    if run.status == "partial":
        todo = len(run.unmeasured) + len(run.failed)
        yield f"This run is partial: {len(run.records)} cells measured, {todo} missing. `--resume` would finish it."
    elif run.failed:
        yield f"{len(run.failed)} cells failed and are missing here; the last section names them."
    sources = {record.weights_source for record in run.records}
    if "seeded" in sources:
        yield "Seeded (random) weights: good for timing, which they do not change; the depth itself means nothing."


def answer_section(material: Material, answers: Sequence[Answer]) -> Section:
    """Put the answers first, with what they cost and whether they can be trusted."""
    run = material.run
    cards = tuple(
        Card(
            title=words.TITLES[answer.question],
            winner=words.setup(answer, answer.winner),
            figure=words.figure(answer),
            basis=words.basis(answer),
            runner_up=words.price(answer, answer.alternatives[0]) if answer.alternatives else "",
            caution=words.caution(answer) or "",
        )
        for answer in answers
    )
    text = [*material.remarks]
    if answers:
        text.append(words.quiet(run.records, [cell for answer in answers for cell in answer.cells]))
    else:
        text.append("No cell here times the whole pipeline or a process's memory, so there is no set-up to recommend.")
    if run.lacking:
        text.append(f"Not in {run.path.name}: {'; '.join(run.lacking)}.")
    found = (tables.alternatives(answers),) if answers else ()
    return Section("answer", "The answer", tuple(warnings(material)), tuple(text), cards, found)


def article_section(run: Run, answers: Sequence[Answer]) -> Section:
    """Set the article's figures and claims beside this machine's."""
    if all(record.kind == "plain" for record in run.records):
        return Section("article", "The article and this machine")
    cells = frame([run])
    best = next((answer for answer in answers if answer.question == "latency"), None)
    found = present(
        tables.article_table(cells, best),
        tables.claims(claims.findings(run.records)),
    )
    return Section("article", "The article and this machine", tables=found)


def ratio_section(run: Run) -> Section:
    """Show what took turns: the soundest figures of a run."""
    charts = present(throughput.speedup(run.records), forest.scenes(run.records))
    found = present(tables.ratios(run.records))
    text = (
        "Workers took turns in blocks, so that drift of the machine meets all of them: the soundest figures of a run."
    )
    return Section("ratios", "Ratios", text=(text,) if found else (), tables=found, charts=charts)


def timing_section(run: Run) -> Section:
    """Draw the times."""
    records = run.records
    charts = present(
        timing.latency(records),
        throughput.throughput(records),
        throughput.stages(records),
        timing.threads(records),
        timing.rounds(records),
        forest.plain(records),
    )
    return Section("timing", "Time", charts=charts)


def resources_section(run: Run) -> Section:
    """Draw memory and start-up."""
    records = run.records
    charts = present(resources.memory(records), resources.memory_over_time(records), resources.startup(records))
    found = present(tables.memory(frame([run])), tables.startup(records))
    return Section("resources", "Memory and start-up", tables=found, charts=charts)


def trend_section(material: Material) -> Section:
    """Draw the saved runs of this machine kind over time."""
    chart = trend(material.history)
    if chart is None:
        return Section("trend", "Trend")
    text = f"{len(material.history)} saved runs of this kind of machine ({material.run.machine.kind})."
    return Section("trend", "Trend", text=(text,), charts=(chart,))


def picture_section(material: Material) -> Section:
    """Show photos beside heat maps, with the warning that seeded weights need above them."""
    shown = pictures.galleries(material.run, material.album)
    if not shown:
        return Section("pictures", "Pictures")
    warning = pictures.weights_warning(material.run.records)
    text = ["Bright is near, dark is far; each map is stretched to its own range."]
    if material.album.problem:
        text.append(f"Without the photos: {material.album.problem}.")
    return Section("pictures", "Pictures", present(warning), tuple(text), galleries=tuple(shown))


def cell_section(run: Run) -> Section:
    """List every cell with its figures."""
    return Section("cells", "All cells", tables=present(tables.cells_table(frame([run]))))


def machine_section(material: Material) -> Section:
    """Say where and with what this was measured, what was noisy, and what is missing."""
    run = material.run
    weights = {f"{r.weights_source} ({(r.weights_sha256 or '?')[:8]})": None for r in run.records if r.weights_source}
    text = [f"Weights: {', '.join(weights) or 'not said'}. Status of the run: {run.status}."]
    if run.conditions:
        text.append("At the time of the run: " + ", ".join(f"{k} {v}" for k, v in run.conditions.items()) + ".")
    found = present(
        tables.facts(run.machine), tables.versions(run.machine), tables.noisy(run.records), tables.unmeasured(run)
    )
    if not any(table.id == "unmeasured" for table in found) and run.planned:
        text.append("Everything that was planned was measured.")
    return Section("machine", "Machine, versions, and what is missing", text=tuple(text), tables=found)


def comparison_section(material: Material) -> Section:
    """Compare every other side with the first."""
    baseline, *others = material.sides or (None,)
    if baseline is None or not others:
        return Section("comparison", "Comparison")
    compared = [compare(baseline, other) for other in others]
    found = [
        built
        for number, one in enumerate(compared, start=1)
        for built in (
            tables.machines_differ(one, number), tables.comparison(one, number), tables.one_sided(one, number),
        )
        if built is not None
    ]  # fmt: skip
    charts = present(*(forest.comparison(one, number) for number, one in enumerate(compared, start=1)))
    loud = [_loud(one) for one in compared if one.machine_differences]
    text = [said for one in compared for said in _how(one)]
    return Section("comparison", "Comparison", tuple(loud), tuple(text), tables=tuple(found), charts=charts)


def _loud(compared: Comparison) -> str:
    return (
        f"DIFFERENT MACHINES: {compared.before.label} and {compared.after.label} were not measured on the same kind of "
        "machine, so a difference says nothing about the code."
    )


def _how(compared: Comparison) -> Iterable[str]:
    before, after = compared.before, compared.after
    yield f"{after.label} ({_files(after)}) beside {before.label} ({_files(before)}), cell by cell."
    if compared.by_file:
        judged = [change for change in compared.changes if change.verdict]
        words_of = ("slower", "faster", "more", "less")
        counts = ", ".join(f"{sum(c.verdict == word for c in judged)} {word}" for word in words_of)
        yield (
            f"The file is the unit of the intervals. Of {len(judged)} figures: {counts}. Verdicts allow one false "
            "alarm in twenty comparisons, however many cells there are. Runs taken at different times also differ by "
            "drift of the machine."
        )
    else:
        yield (
            "With a single file on a side, intervals hold within these runs only and no verdict is given: two runs of "
            "the same code can differ by more. Name several files a side to get one."
        )
    if not compared.changes:
        yield "The two sides have no cell in common."


def _files(side: Side) -> str:
    return f"{len(side.runs)} file{'' if len(side.runs) == 1 else 's'}"
