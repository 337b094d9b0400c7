"""The one training loop: it runs a method's stages, saves, resumes and evaluates."""

import contextlib
import pathlib
from concurrent import futures

import jax
import ml_collections

from cc_jax import build
from cc_jax.data.progress import progress_bar
from cc_jax.errors import CheckpointError, Preempted
from cc_jax.evaluation.stages import StageEnd, evaluate_stage
from cc_jax.methods import base
from cc_jax.optimization.train_state import TrainState
from cc_jax.training import profiling, pseudo_labels
from cc_jax.training.monitor import Monitor, check_loss
from cc_jax.training.run import Run, check_config, name_of
from cc_jax.training.spans import Span, spans_of
from cc_jax.training.step import Step, StepCompiler
from cc_jax.workdir import config as config_file
from cc_jax.workdir import lock
from cc_jax.workdir.layout import Layout
from cc_jax.workdir.results import finished_rows, write_results


def train_and_adapt(config: ml_collections.ConfigDict, workdir: str | pathlib.Path) -> list[dict]:
    """Train through all stages of the config's method, evaluate, and return the rows of results.json.

    A run resumes from the newest valid checkpoint in `workdir`, and ends with the same bits as an uninterrupted run. A
    finished run is left alone.

    Args:
      config: see configs/default.py.
      workdir: the folder for everything that the run writes; made if it does not exist.

    Raises:
      ConfigError: a field is wrong, a dataset is not prepared, or `workdir` holds an unfinished run of another config.
      CheckpointError: the checkpoints in `workdir` cannot be used.
      Preempted: SIGTERM came, and the state is saved.
      Busy: another process trains in `workdir`.
    """
    layout = Layout(pathlib.Path(workdir).absolute())
    check_config(config)
    with lock.hold(layout.root):
        finished = finished_rows(layout.root)
        if finished:
            print(f"{layout.root} is finished: nothing to train{_other_config(layout, config)}", flush=True)
            return finished
        config_file.check_same_run(layout.root, config)
        run = Run.open(config, layout)
        with contextlib.closing(run.checkpoints):
            rows = _train(run)
        write_results(layout.root, rows)
        return rows


def _train(run: Run) -> list[dict]:
    """Train through the stages that are not done, evaluate, and return the rows of results.json."""
    done = run.checkpoints.latest() or 0
    spans = spans_of(run.method.stages())
    if not done:
        # Before compiling, because the process cannot exit while a compilation runs.
        build.check_encoder(run.config, run.network, run.abstract)
    compiler = StepCompiler(run.network, run.abstract, run.batches)
    upcoming = next((span for span in spans if span.end > done), None)
    if upcoming:
        # Compiled while the state is made or restored.
        compiler.begin(upcoming.stage)
    state = run.start()
    if jax.process_index() == 0:
        # Not earlier: a run that cannot begin, for want of a dataset or encoder weights, leaves the workdir free.
        config_file.write_config(run.layout.root, run.config)
    with contextlib.closing(Monitor(run, done)) as monitor:
        return _run_stages(run, spans, done, state, compiler, monitor)


def _run_stages(
    run: Run, spans: list[Span], done: int, state: TrainState, compiler: StepCompiler, monitor: Monitor
) -> list[dict]:
    """Enter every stage in turn, train those that are not done, and evaluate.

    Args:
      run: the run.
      spans: its stages.
      done: the steps that are done.
      state: the state after them.
      compiler: compiles the stages' steps.
      monitor: watches the run.
    """
    config, tools = run.config, run.stage_tools()
    sets = run.datasets.train_sets(config, run.method.uses_target_labels)
    rows: list[dict] = []
    for span in spans:
        if done < span.end:
            # Compiled while images are labelled or translated.
            compiler.begin(span.stage)
        entered = pseudo_labels.load_or_make_pseudo_labels(
            span.stage, state, sets, tools, run.layout, resumed=done > span.begin
        )
        if entered is None:
            break
        sets = entered
        if done < span.end:
            step, first = compiler.begin(span.stage), max(span.begin, done)
            state = _train_stage(run, span, sets, first, state, step, monitor)
        last = span
        if config.evaluation.every_stage and span.stage.counter:
            rows += _evaluate(run, span, state)
    monitor.trace(None, state)
    run.method.finish(state, sets, tools)
    return rows if config.evaluation.every_stage else _evaluate(run, last, state)


def _train_stage(
    run: Run,
    span: Span,
    sets: base.Sets,
    first: int,
    state: TrainState,
    step: "futures.Future[Step]",
    monitor: Monitor,
) -> TrainState:
    """Train to the end of a stage, and return the state there, saved.

    Args:
      run: the run.
      span: the stage and its place in the run.
      sets: the images to draw crops from.
      first: the steps of the run that are done.
      state: the state after them.
      step: the compiled step to come.
      monitor: watches the run.
    """
    config, name = run.config, span.stage.name
    print(f"{name_of(config)}: {name}, steps {first} to {span.end}", flush=True)
    means, first_loss = None, 0.0
    meter = profiling.Meter(monitor.peak)
    with contextlib.closing(run.batches.stream(span, sets, first)) as batches:
        bar = progress_bar(meter.waiting(batches), name, span.end - first)
        for i, batch in enumerate(bar, start=first + 1):
            monitor.trace(i, state)
            state, values = step.result().run(state, batch)
            means = values if means is None else means.merge(values)
            meter.add(sum(crops["image"].shape[0] for crops in batch.values()), step.result().operations)
            logged = monitor.is_logged(i, span.end)
            if logged:
                row = {"step": i, "stage": name, **means.compute(), **meter.read()}
                monitor.write(row)
                first_loss = first_loss or row["loss"]
                check_loss(row, first_loss)
                means = None
            stopping = monitor.is_stopping(logged)
            if i % config.checkpoint.every == 0 or i == span.end or stopping:
                run.checkpoints.save(i, state.checkpoint_items(), stage=name, counted=span.counted(i))
            if stopping and i < span.end:
                raise Preempted(f"stopped by SIGTERM at step {i}, and saved; the same command resumes")
    return state


def _evaluate(run: Run, span: Span, state: TrainState) -> list[dict]:
    """The rows of results.json for the counter at the end of a stage."""
    end = StageEnd(span.stage.name, span.end, span.counted(span.end))
    return evaluate_stage(run.config, run.layout.root, end, state, run.test_sets, run.sampler)


def _other_config(layout: Layout, config: ml_collections.ConfigDict) -> str:
    """What to add where a finished run is left alone, if its config is another one or cannot be read."""
    try:
        found = config_file.differences(config_file.read_config(layout.root), config)
    except CheckpointError as error:
        return f" (its config is not compared: {error})"
    return f" (with another config: {'; '.join(found[:3])}; name a new --workdir to train)" if found else ""
