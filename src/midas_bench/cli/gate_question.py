"""From the flags of `midas-bench gate` to the question that they ask."""

from __future__ import annotations

import argparse
import math
import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from midas_bench.depth.model_settings import FLAGS as MODEL_FLAG
from midas_bench.errors import UserError
from midas_bench.gate import gate_cells
from midas_bench.gate.arms import HEADS
from midas_bench.gate.environments import AS_INSTALLED
from midas_bench.gate.gate_cells import DEFAULT_BACKEND, GateCell
from midas_bench.gate.question import ArmRequest, Question, are_alternatives
from midas_bench.gate.saved_gate import SavedQuestion
from midas_bench.gate.thresholds import Thresholds
from midas_bench.options import seconds

LIMIT = "5%"
TIE = "2%"
"""Of backends: what is nearer than this makes no difference to whoever chooses one."""
STARTUP_LIMIT = "10%"
STARTUP_LIMIT_SAVED = "20%"
"""Saved results hold starts of other hours, which nothing set side by side."""


def question(arguments: argparse.Namespace) -> Question:
    """Return the question of a gate that measures, or of the gates of a self-test.

    Raises:
        UserError: a value cannot be read, or two flags contradict each other.
    """
    base, heads = arm_requests(arguments)
    return Question(
        base=base,
        heads=heads,
        cells=_cells(arguments),
        weights=arguments.weights,
        thresholds=thresholds(arguments, TIE if are_alternatives((base, *heads)) else LIMIT, STARTUP_LIMIT),
        alpha=parse_share("--alpha", arguments.alpha),
        budget_s=seconds("--budget", arguments.budget, bare="min"),
        seed=random.SystemRandom().randrange(2**32) if arguments.seed is None else arguments.seed,
        calls=arguments.calls,
        photos=arguments.photos,
        own_names=tuple(arguments.cell) if arguments.calls else (),
        fresh_env=arguments.fresh_env,
        resume=arguments.resume,
        lenient=arguments.inconclusive == "pass",
        output_may_change=arguments.allow_changed_output,
        merge_base=arguments.merge_base,
        control=not arguments.no_control,
        measure_same=arguments.measure,
        fail_fast=arguments.fail_fast,
        why=not arguments.no_why,
    )


def _cells(arguments: argparse.Namespace) -> tuple[GateCell, ...]:
    given = {
        "--calls": arguments.calls,
        "--base-backend": arguments.base_backend,
        "--head-backend": arguments.head_backend,
        "--cell": arguments.cell,
    }
    for flag, value in given.items():
        if arguments.full and value:
            raise UserError(
                "--full", f"takes all cells of this package, so {flag} has nothing to choose", "leave one out"
            )
    if arguments.calls:
        return ()
    return gate_cells.full_matrix() if arguments.full else gate_cells.cells_named(arguments.cell)


def arm_requests(arguments: argparse.Namespace) -> tuple[ArmRequest, tuple[ArmRequest, ...]]:
    """Return what the base and each head shall run: a flag that is given once counts for all heads.

    Raises:
        UserError: the flags do not say what is compared, or contradict each other.
    """
    lists = {
        "--head": arguments.head,
        "--head-env": arguments.head_env,
        "--head-model": arguments.head_model,
        "--head-backend": arguments.head_backend,
    }
    own = {name: f"--head-{flag.lstrip('-')}" for name, flag in MODEL_FLAG.items()}
    lists |= {flag: _value(arguments, flag) for flag in own.values()}
    count = max(1, *map(len, lists.values()))
    if count > len(HEADS):
        raise UserError(
            f"{count} heads", f"are more than the {len(HEADS)} that one gate takes", "compare fewer at a time"
        )
    for flag, values in lists.items():
        if len(values) not in (0, 1, count):
            reason = f"is given {len(values)} times, for {count} heads"
            raise UserError(flag, reason, "give it once for all heads, or once for each")

    def of_head(flag: str, number: int) -> Any:
        values = lists[flag]
        return values[number if len(values) > 1 else 0] if values else None

    of_base = {name: _value(arguments, flag.replace("--head-", "--base-")) for name, flag in own.items()}
    base = ArmRequest(
        arguments.base, arguments.base_env, arguments.base_model, arguments.base_backend, _settings(of_base)
    )
    heads = tuple(
        ArmRequest(
            ref=of_head("--head", number),
            env=of_head("--head-env", number),
            model=of_head("--head-model", number),
            backend=of_head("--head-backend", number),
            settings=_settings({name: of_head(flag, number) for name, flag in own.items()}),
        )
        for number in range(count)
    )
    _check_arms(arguments, base, heads)
    with_models = any((arguments.model, base.model, *(head.model for head in heads)))
    for_models = [name for name in _shared_settings(arguments) if name != "size"]
    if for_models and not with_models:
        advice = "name one by --model, --base-model or --head-model"
        raise UserError(MODEL_FLAG[for_models[0]], "is for a model of your own", advice)
    base, *others = (_with_model(arguments, request, with_models) for request in (base, *heads))
    heads = tuple(others)
    # what only one side names, the other has as it is here
    if any(request.env for request in (base, *heads)):
        base, heads = _all_with(base, heads, "env", AS_INSTALLED)
    if any(request.backend for request in (base, *heads)):
        base, heads = _all_with(base, heads, "backend", DEFAULT_BACKEND)
    return base, heads


def _value(arguments: argparse.Namespace, flag: str) -> Any:
    return getattr(arguments, flag.lstrip("-").replace("-", "_"))


def _settings(given: Mapping[str, str | None]) -> tuple[tuple[str, str], ...]:
    return tuple((name, value) for name, value in given.items() if value is not None)


def _with_model(arguments: argparse.Namespace, request: ArmRequest, with_models: bool) -> ArmRequest:
    """Return a side with the model of all sides unless it has its own, and with what is said of every side's model.

    Where no side has a model, that is the size of the built-in network.
    """
    model = request.model or arguments.model
    shared = _shared_settings(arguments) if model or not with_models else {}
    return replace(request, model=model, settings=tuple((shared | dict(request.settings)).items()))


def _shared_settings(arguments: argparse.Namespace) -> dict[str, str]:
    return dict(_settings({name: _value(arguments, flag) for name, flag in MODEL_FLAG.items()}))


def _all_with(
    base: ArmRequest, heads: Sequence[ArmRequest], field: str, usual: str
) -> tuple[ArmRequest, tuple[ArmRequest, ...]]:
    base, *rest = (
        ArmRequest(**{**vars(request), field: getattr(request, field) or usual}) for request in (base, *heads)
    )
    return base, tuple(rest)


def _check_arms(arguments: argparse.Namespace, base: ArmRequest, heads: Sequence[ArmRequest]) -> None:
    given = [value for request in (base, *heads) for value in vars(request).values() if value]
    if arguments.subcommand == "run" and base.ref is None and not given:
        what = "--base main, or --head-env, --head-model or --head-backend"
        raise UserError("gate run", "needs to know what to compare", f"give {what}")
    sides = (base, *heads)
    networks = [request.model or request.backend or request.settings for request in sides]
    if arguments.calls and any((arguments.model, _shared_settings(arguments), *networks)):
        raise UserError(
            "--calls", "are calls of your own, which know no model or backend of this package", "leave them out"
        )
    if arguments.calls and arguments.photos:
        raise UserError("--photos", "are not given to calls of your own", "leave it out, or leave out --calls")
    for request, side in ((base, "base"), *((head, "head") for head in heads)):
        for_models = [name for name, _ in request.settings if name != "size"]
        if for_models and not (request.model or arguments.model):
            flag = f"--{side}-{MODEL_FLAG[for_models[0]].lstrip('-')}"
            raise UserError(flag, "is for a model of your own", f"name it by --{side}-model or --model")
    for flag, value in (("--merge-base", arguments.merge_base), ("--fresh-env", arguments.fresh_env)):
        if value and base.ref is None:
            raise UserError(flag, "belongs to a --base that git names", "give --base, or leave it out")
    if arguments.fresh_env and any(request.env for request in (base, *heads)):
        raise UserError("--fresh-env", "and --base-env both choose the base's libraries", "leave one of them out")
    if arguments.merge_base and len(heads) > 1:
        raise UserError("--merge-base", "is another one for each head", "compare one head at a time")
    if arguments.fresh_env and arguments.calls:
        raise UserError("--fresh-env", "is for this package's own revisions", "give --base-env and --head-env")


def thresholds(arguments: argparse.Namespace, usual: str, startup: str) -> Thresholds:
    """Read `--threshold` and `--startup-threshold`, or take the usual ones: what is given later counts.

    Raises:
        UserError: one is no share.
    """
    limit, named = parse_share("--threshold", usual), {}
    for text in arguments.threshold:
        name, given, share = text.rpartition("=")
        if given:
            named[name.strip().removeprefix("test_")] = parse_share(f"--threshold {name}=", share)
        else:
            limit = parse_share("--threshold", text)
    startup_limit = parse_share("--startup-threshold", arguments.startup_threshold or startup)
    return Thresholds(limit, limit, startup_limit, named)


def saved_question(arguments: argparse.Namespace) -> SavedQuestion:
    """Return the question about saved results.

    Raises:
        UserError: a value cannot be read.
    """
    baseline, judged = ([path for group in side for path in group] for side in (arguments.baseline, arguments.run))
    return SavedQuestion(
        baseline,
        judged,
        thresholds(arguments, LIMIT, STARTUP_LIMIT_SAVED),
        parse_share("--alpha", arguments.alpha),
        arguments.force,
        arguments.inconclusive == "pass",
    )


def parse_share(flag: str, text: str) -> float:
    """Read `5%` or `5` as 0.05.

    Raises:
        UserError: it is no share, or an ambiguous one.
    """
    number = re.fullmatch(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*(%?)\s*", text)
    value = float(number[1]) / 100 if number else math.nan
    if not number or not 0 < value < 1:
        raise UserError(f"{flag} {text}", "is not a share between 0 and 100 %", "give one as 5%")
    if not number[2] and value < 0.005:
        raise UserError(f"{flag} {text}", f"could be {text} % or {100 * float(number[1]):g} %", "write it with a %")
    return value
