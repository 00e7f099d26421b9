"""Run the suite once on every node of a Ray cluster, and go on elsewhere with what a lost node had begun."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from midas_bench.errors import UserError, printable
from midas_bench.fleet.node_run import Ended, describe_node, run_suite
from midas_bench.fleet.ray_extra import reason_of
from midas_bench.fleet.runs import ENDED, LEFT, LOST, RUNNING, WAITING, FleetFolder, FleetRun

RESUME = "--resume"
AUTOSAVE = "--benchmark-autosave"
OWN_FLAGS = ("--benchmark-storage", "--benchmark-json")
"""Flags that say where results go: each node saves its own, and they are brought here."""

FIND_TIMEOUT_S = 180.0
END_TIMEOUT_S = 20.0
"""For the processes of the nodes to end after Ctrl-C; Ray ends them anyway when the driver goes."""

Say = Callable[[str], object]


@dataclass(frozen=True)
class Node:
    """A machine of the cluster.

    Attributes:
        id: Ray's.
        host: its name, or its address where it has none.
        cpus: that Ray may give away.
        fingerprint: of the machine's kind.
        cpu: as its system names it.
    """

    id: str
    host: str
    cpus: float
    fingerprint: str
    cpu: str


def find_nodes(say: Say) -> list[Node]:
    """Ask every node of the connected cluster what it is; `say` hears of those that cannot tell.

    Raises:
        UserError: none has a CPU and can tell.
    """
    import ray

    alive = [node for node in ray.nodes() if node["Alive"] and node["Resources"].get("CPU", 0) >= 1]
    asked = {node["NodeID"]: _on(node["NodeID"], 0, describe_node).remote() for node in alive}
    nodes = []
    for node in alive:
        try:
            facts = ray.get(asked[node["NodeID"]], timeout=FIND_TIMEOUT_S)
        except ray.exceptions.RayError as error:
            host = node["NodeManagerHostname"] or node["NodeManagerAddress"]
            say(f"left out: {host}: cannot tell what it is ({reason_of(error)}); install midas-bench[fleet] there")
            continue
        nodes.append(Node(node["NodeID"], facts["host"], node["Resources"]["CPU"], facts["fingerprint"], facts["cpu"]))
    if not nodes:
        raise UserError("the Ray cluster", "has no machine to run on", "start Ray on one, with midas-bench[fleet]")
    return sorted(nodes, key=lambda node: (node.host, node.id))


def _on(node_id: str, cpus: float, task: Callable[..., Any]) -> Any:
    """Return a task that runs on that node, once, with so many of its CPUs to itself."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    place = NodeAffinitySchedulingStrategy(node_id, soft=False)
    return ray.remote(task).options(num_cpus=cpus, max_retries=0, scheduling_strategy=place)


def chosen(nodes: Sequence[Node], per: str) -> list[Node]:
    """Return every node, or with `per="kind"` the first of each kind of machine."""
    if per == "node":
        return list(nodes)
    first: dict[str, Node] = {}
    for node in nodes:
        first.setdefault(node.fingerprint, node)
    return list(first.values())


def new_runs(nodes: Sequence[Node]) -> list[FleetRun]:
    """Return a run for each of these nodes."""
    return [FleetRun(f"run-{number}", node.fingerprint, node.cpu) for number, node in enumerate(nodes, start=1)]


def is_resume(argument: str) -> bool:
    """Tell --resume, with or without a value."""
    return argument.split("=")[0] == RESUME


def check_arguments(arguments: Sequence[str]) -> None:
    """Refuse arguments that each node's run would take wrongly.

    Raises:
        UserError: there is one.
    """
    for argument in arguments:
        if argument.split("=")[0] in OWN_FLAGS:
            raise UserError(argument, "cannot be chosen: each machine saves its own", "leave it out, and use -o")


class Fleet:
    """The runs, and the nodes that are free or at work."""

    def __init__(self, runs: Sequence[FleetRun], nodes: Sequence[Node], folder: FleetFolder, say: Say) -> None:
        self.runs = {run.name: run for run in runs}
        self._free = list(nodes)
        self._folder = folder
        self._say = say
        self._at_work: dict[Any, tuple[str, Node]] = {}

    def measure(self, arguments: Sequence[str]) -> None:
        """Run all that waits, each run alone on its node; return when nothing more can be done.

        Raises:
            UserError: the folder cannot be written.
            KeyboardInterrupt: no process is left on any node.
        """
        import ray

        try:
            while self._start(arguments):
                [ready], _ = ray.wait(list(self._at_work), num_returns=1)
                self._take(ready)
        finally:
            self._stop()
        for run in [run for run in self.runs.values() if run.state in (WAITING, LOST)]:
            self._note(run, LEFT, run.why or "no machine of its kind was free")

    def _start(self, arguments: Sequence[str]) -> bool:
        """Give a node to each run that waits for one of its kind; tell whether any is at work."""
        for run in [run for run in self.runs.values() if run.state in (WAITING, LOST)]:
            node = next((node for node in self._free if node.fingerprint == run.fingerprint), None)
            if node is None:
                continue
            files = self._folder.to_go_on_with(run)
            asked = [argument for argument in arguments if is_resume(argument)] or [RESUME]
            more = [AUTOSAVE] * (AUTOSAVE not in arguments) + asked * bool(files)
            own = [argument for argument in arguments if not is_resume(argument)]
            task = _on(node.id, node.cpus, run_suite).remote([*own, *more], files)
            self._free.remove(node)
            self._at_work[task] = (run.name, node)
            self._note(replace(run, hosts=(*run.hosts, node.host)), RUNNING)
            self._say(f"{run.name}: {'goes on' if files else 'starts'} on {node.host} ({node.cpu}, {node.fingerprint})")
        return bool(self._at_work)

    def _take(self, task: Any) -> None:
        """Take the next thing that a node sent."""
        import ray

        name, node = self._at_work[task]
        run = self.runs[name]
        try:
            sent = ray.get(next(task))
        except (ray.exceptions.RayError, StopIteration) as error:
            # this node is not asked again: if it lives, something on it ends what it is given
            del self._at_work[task]
            reason = f"{node.host} was lost ({reason_of(error)})"
            self._note(run, LOST, reason)
            self._say(f"{name}: {printable(reason)}")
            return
        if isinstance(sent, Ended):
            del self._at_work[task]
            self._free.append(node)
            self._folder.keep_only(run, sent.names)
            last = self._folder.last_line(run)
            self._note(run, ENDED, f"exit code {sent.code}: {last}" if sent.code else "")
            self._say(f"{name}: {printable(last)}")
        else:
            self._folder.add(run, sent)

    def _note(self, run: FleetRun, state: str, why: str = "") -> None:
        self.runs[run.name] = replace(run, state=state, why=why)
        self._folder.save(list(self.runs.values()))

    def _stop(self) -> None:
        """End what is still at work, after Ctrl-C or an error."""
        import ray

        tasks = list(self._at_work)
        for task in tasks:
            ray.cancel(task)
        for name, _ in self._at_work.values():
            self._note(self.runs[name], LOST, "it was interrupted")
        self._at_work.clear()
        if tasks:
            ray.wait(tasks, num_returns=len(tasks), timeout=END_TIMEOUT_S)


def counted(nodes: Sequence[Node]) -> str:
    """Say how many machines of which kinds there are."""
    kinds = Counter((node.fingerprint, node.cpu) for node in nodes)
    listed = ", ".join(f"{count} of kind {kind} ({cpu})" for (kind, cpu), count in kinds.items())
    return f"{len(nodes)} machine{'s' * (len(nodes) != 1)}: {listed}"
