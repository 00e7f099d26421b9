"""Records -> the sections of a report, in the order they are read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from midas_bench.render.document import Card, Document, Section, present
from midas_bench.report import photo_strip, tables
from midas_bench.report.charts import fidelity as charts_fidelity
from midas_bench.report.charts import forest, resources, throughput, timing
from midas_bench.report.charts.in_browser import in_browser as in_browser_chart
from midas_bench.report.charts.load import load
from midas_bench.report.charts.other_programs import other_programs
from midas_bench.report.charts.trend import trend
from midas_bench.report.comparison import comparison_section
from midas_bench.report.report_data import Progress, ReportData
from midas_bench.results import fidelity_results, recommendations, roofline
from midas_bench.results.in_browser import against_fp32, in_browser
from midas_bench.results.json_fields import clean
from midas_bench.results.load_records import Load
from midas_bench.results.other_programs import contests
from midas_bench.results.ranking import Recommendation
from midas_bench.results.runs import Run, of_type


def document(data: ReportData, progress: Progress = lambda _: None) -> Document:
    """Build every section, leave out those with nothing to show; `progress` is called with the name of each."""
    run = data.run
    answers = recommendations.answers(run.records)
    builders: list[tuple[str, Callable[[], Section]]] = [
        ("the answers", lambda: answer_section(data, answers)),
        ("the comparison", lambda: comparison_section(data)),
        ("the article", lambda: article_section(data, answers)),
        ("ratios", lambda: ratio_section(run)),
        ("timing charts", lambda: timing_section(run)),
        ("speed against fidelity", lambda: fidelity_section(run)),
        ("other programs", lambda: other_programs_section(run)),
        ("the browser", lambda: browser_section(run)),
        ("the roofline and peers", lambda: limits_section(run)),
        ("load", lambda: load_section(run)),
        ("memory and start-up charts", lambda: resources_section(data)),
        ("the trend", lambda: trend_section(data)),
        ("pictures", lambda: picture_section(data)),
        ("the cells", lambda: cell_section(data)),
        ("the machine", lambda: machine_section(data)),
    ]
    sections: list[Section] = []
    for name, build in builders:
        progress(name)
        sections.append(build())
    when = run.when[:16].replace("T", " ")
    commit = f"commit {run.commit[:10]}" if run.commit and run.commit != "unknown" else None
    subtitle = ", ".join(present(run.file, when or None, commit, run.machine.facts.get("CPU")))
    title = f"{_networks(run)} on CPU" if answers else "Benchmark report"
    return Document(title, subtitle, tuple(section for section in sections if not section.empty))


def _networks(run: Run) -> str:
    """Name what the run is about: MiDaS_small, or models of the user's own."""
    own = [record.info for record in run.records if record.info.weights.own]
    models = dict.fromkeys(clean(info.model or info.weights.file or "a model of your own") for info in own)
    return f"Depth estimation by {', '.join(models)}" if models else "MiDaS_small depth estimation"


def warnings(data: ReportData) -> Iterable[str]:
    """Yield the warnings that change how everything else is to be read."""
    run = data.run
    if run.status == "partial":
        todo = len(run.unmeasured) + len(run.failed)
        yield f"This run is partial: {len(run.records)} cells measured, {todo} missing. Add `--resume` to finish it."
    elif run.failed:
        yield f"{len(run.failed)} cells failed and are missing here; the last section names them."
    yield from filter(None, [recommendations.unresolved_text(run.records)])
    sources = {record.info.weights.source for record in run.records}
    if "seeded" in sources:
        yield "Seeded (random) weights: times are right, but the depth itself means nothing."


def answer_section(data: ReportData, answers: Sequence[Recommendation]) -> Section:
    """Put the answers first, with what they cost and whether they can be trusted."""
    run = data.run
    reduced, agreements = fidelity_results.reduced(run.records), fidelity_results.agreements(run.records)
    cards = tuple(
        Card(
            title=recommendations.TITLES[answer.question],
            winner=recommendations.setup_text(answer, answer.winner),
            figure=recommendations.figure_text(answer),
            basis=recommendations.basis_text(answer),
            runner_up=recommendations.runner_up_text(answer, reduced, agreements) or "",
            caution=recommendations.caution_text(answer, reduced, agreements),
            python=tuple(recommendations.python_lines(answer, run.records)),
        )
        for answer in answers
    )
    text = [*data.remarks, *filter(None, [data.notice, recommendations.unanswered_text(run.file, run.records)])]
    if answers:
        text.append(recommendations.noise_text(run.records, [cell for answer in answers for cell in answer.cells]))
        text += filter(None, [recommendations.impossible_text(run.records)])
    else:
        text.append("No cell here times the whole pipeline or a process's memory, so there is no set-up to recommend.")
    if run.lacking:
        text.append(f"Not in {run.file}: {'; '.join(run.lacking)}.")
    throughput_answer = next((answer for answer in answers if answer.question == "throughput"), None)
    all_tables = present(
        tables.alternatives(answers, agreements), tables.prices(throughput_answer, data.price_per_hour)
    )
    return Section("answer", "The answer", tuple(warnings(data)), tuple(text), cards, all_tables)


def article_section(data: ReportData, answers: Sequence[Recommendation]) -> Section:
    """Set the article's figures and claims beside this machine's."""
    # neither of them is about a comparison of other networks
    if all(record.kind == "plain" or record.info.model for record in data.run.records):
        return Section("article", "The article and this machine")
    best = next((answer for answer in answers if answer.question == "latency"), None)
    all_tables = present(tables.article_table(data.cells, best), tables.claims(data.findings))
    return Section("article", "The article and this machine", tables=all_tables)


def ratio_section(run: Run) -> Section:
    """Show the ratios of workers that took turns, which are the most reliable figures of a run."""
    charts = present(throughput.speedup(run.records), forest.scenes(run.records))
    all_tables = present(tables.ratios(run.records))
    text = "Workers took turns in blocks, so drift of the machine affects all. These are the most reliable figures."
    return Section("ratios", "Ratios", text=(text,) if all_tables else (), tables=all_tables, charts=charts)


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
    return Section("timing", "Time", tables=present(tables.streams(records)), charts=charts)


def fidelity_section(run: Run) -> Section:
    """Show how close each backend is to the reference, beside its time, and what that is worth."""
    points = fidelity_results.points(run.records)
    if not points:
        return Section("fidelity", "Fidelity")
    sources = {cell.info.weights.source for point in points for cell in point.cells}
    warning = (
        "Seeded (random) weights: these errors and correlations say nothing about real photos. Only official weights "
        "show what reduced precision costs."
    )
    text = (
        "The reference is eager on the same weights and photos, or ONNX Runtime for a model of your own. A float32 "
        "backend fails its cell if it is more than 0.001 of the depth range off. With official weights, one of reduced "
        "precision fails with a rank correlation below 0.99."
    )
    teacher = next((clean(point.agreement.teacher) for point in points if point.agreement), None)
    if teacher:
        text += (
            f" Here each model is its own reference. {teacher}, which was named first, is what the depth of the others "
            "is compared with: another network has other depth, however exact a backend is."
        )
    return Section(
        "fidelity", "Fidelity", (warning,) if "seeded" in sources else (), (text,),
        tables=present(tables.fidelity(points)),
        charts=present(charts_fidelity.agreement(points), charts_fidelity.fidelity(points)),
    )  # fmt: skip


def other_programs_section(run: Run) -> Section:
    """Show other programs from photo to heat map beside ours, and say whether ours is ahead of all of them."""
    measured = contests(run.records)
    text = tuple(contest.text for contest in measured)
    all_tables = present(tables.other_programs(measured))
    charts = present(other_programs(measured))
    return Section("other-programs", "Other programs, photo to heat map", text=text, tables=all_tables, charts=charts)


def browser_section(run: Run) -> Section:
    """Show the same graph in a browser and natively: how much slower, and what a page's start-up costs."""
    measured = in_browser(run.records)
    text = (*filter(None, [one.text for one in measured]), *against_fp32(measured))
    all_tables = present(tables.in_browser(measured), tables.browser_stages(measured), tables.browser_startup(measured))
    charts = present(in_browser_chart(measured))
    return Section("in-browser", "In the browser", text=text, tables=all_tables, charts=charts)


def limits_section(run: Run) -> Section:
    """Show what the machine would allow, and what others reach on it."""
    roofs = roofline.roofs(run.records)
    all_tables = present(
        tables.roofline(roofs), tables.peers(roofline.beside_peers(run.records)), *tables.floors(run.records)
    )
    return Section("limits", "The network alone, and what this machine allows", tables=all_tables)


def load_section(run: Run) -> Section:
    """Show what many photos or users at once do to latency, and whether LoadGen's rules were kept."""
    loads = [r.info for r in of_type(run.records, Load)]
    short = any(result.rules == "short" for result in loads)
    warning = "Short runs of LoadGen show that everything works. Their figures are rough, and none is a valid result."
    all_tables = present(tables.loads(run.records), tables.load_points(run.records), tables.soaks(run.records))
    return Section("load", "Load", (warning,) if short else (), tables=all_tables, charts=present(load(run.records)))


def resources_section(data: ReportData) -> Section:
    """Draw memory and start-up."""
    records = data.run.records
    charts = present(resources.memory(records), resources.memory_over_time(records), resources.startup(records))
    all_tables = present(tables.memory(data.cells), tables.startup(records))
    return Section("resources", "Memory and start-up", tables=all_tables, charts=charts)


def trend_section(data: ReportData) -> Section:
    """Draw the saved runs of this machine kind over time."""
    chart = trend(data.history)
    if chart is None:
        return Section("trend", "Trend")
    text = f"{len(data.history)} saved runs of this kind of machine ({data.run.machine.kind})."
    return Section("trend", "Trend", text=(text,), charts=(chart,))


def picture_section(data: ReportData) -> Section:
    """Show photos beside heat maps, with the warning that seeded weights need above them."""
    shown = photo_strip.galleries(data.run, data.album)
    if not shown:
        return Section("pictures", "Pictures")
    warning = photo_strip.weights_warning(data.run.records)
    text = ["Bright is near, dark is far; each map is stretched to its own range."]
    if data.album.problem:
        text.append(f"Without the photos: {data.album.problem}.")
    return Section("pictures", "Pictures", present(warning), tuple(text), galleries=tuple(shown))


def cell_section(data: ReportData) -> Section:
    """List every cell with its figures."""
    return Section("cells", "All cells", tables=present(tables.cells_table(data.cells)))


def machine_section(data: ReportData) -> Section:
    """Say where and with what this was measured, what was noisy, and what is missing."""
    run = data.run
    weights = dict.fromkeys(r.info.weights for r in run.records if r.info.weights.source)
    named = "; ".join(clean(each.text) for each in weights)
    text = [f"Weights: {named or 'unknown'}. Status of the run: {run.status}."]
    if run.conditions:
        text.append("At the time of the run: " + ", ".join(f"{k} {v}" for k, v in run.conditions.items()) + ".")
    all_tables = present(
        tables.facts(run.machine), tables.versions(run.machine), tables.noisy(run.records), tables.unmeasured(run)
    )
    if not any(table.id == "unmeasured" for table in all_tables) and run.planned:
        text.append("Everything that was planned was measured.")
    return Section("machine", "Machine, versions, and what is missing", text=tuple(text), tables=all_tables)
