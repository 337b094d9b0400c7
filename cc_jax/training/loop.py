"""The one loop: runs a method's stages, saves, resumes, evaluates."""

import contextlib
import dataclasses
import functools
import itertools
import json
import math
import pathlib
import signal
import sys
from collections.abc import Callable, Generator, Iterator
from concurrent import futures

import jax

from cc_jax import build
from cc_jax.data import density, examples, mixture, pipeline, sources, transforms
from cc_jax.data.files import write_atomic
from cc_jax.data.progress import progress_bar
from cc_jax.data.resizing import ResizeRule
from cc_jax.data.wrapped import Wrapped
from cc_jax.distributed import mesh, processes
from cc_jax.errors import ConfigError, Preempted
from cc_jax.evaluation.evaluate import (
    batching_of,
    counter_variables,
    finished_rows,
    stage_rows,
    write_results,
)
from cc_jax.inference.predict import Prediction, make_sampler, predict_examples
from cc_jax.methods import base
from cc_jax.optimization import gradient_accumulation, rngs
from cc_jax.training import profiling, pseudo_labels, translated_dataset
from cc_jax.training.step import Means
from cc_jax.workdir import lock
from cc_jax.workdir.checkpoints import Checkpoints

# Fields that a run may be resumed with changed: no parameter depends on them.
FREE = {
    "data_dir",
    "threads",
    "workers",
    "cache_gib",
    "cache_dir",
    "log_every",
    "profile_steps",
    "checkpoint.every",
    "checkpoint.keep",
    "checkpoint.any_data",
    "evaluation.memory_gib",
}
_DIVERGED = 1000.0  # times the first loss: finite as it may be, nothing comes back from there


def train_and_adapt(config, workdir: str | pathlib.Path) -> list[dict]:
    """Trains by all stages of the config's method, evaluates, and returns the rows of results.json.

    Resumes from the newest whole checkpoint of `workdir`: the end is bit-identical to an uninterrupted run.
    A finished run is not touched. Raises Preempted after a SIGTERM, the state being saved, and Busy where another
    process is training in `workdir`.
    """
    workdir = pathlib.Path(workdir).absolute()
    build.check_fields(config)
    if config.profile_steps:
        profiling.span_of(config.profile_steps)
    build.counting_network(config), build.method(config)  # a wrong field is said before a folder is made
    with lock.hold(workdir):
        return _train(config, workdir)


def _train(config, workdir: pathlib.Path) -> list[dict]:
    network, method = build.counting_network(config), build.method(config)
    _check_config(workdir, config)
    finished = finished_rows(workdir)
    if finished:
        print(f"{workdir} is finished: nothing to train", flush=True)
        return finished

    device_mesh = mesh.make_mesh()
    opened = Opened.of(config)
    keep = functools.partial(
        examples.Examples,
        resize_rule=ResizeRule(**config.resize),
        limit=int(config.cache_gib * 2**30 / max(1, config.workers)),
        folder=pathlib.Path(config.cache_dir).expanduser() if config.cache_dir else None,
    )
    source = opened.mixed("source", keep)
    target = opened.mixed(
        "target", lambda records: keep(records if method.uses_target_labels else Unlabelled(records))
    )
    sets = {
        "source": base.TrainSet(source),
        "target": base.TrainSet(target),
    }
    batching = batching_of(config)
    tests = [examples.Examples(records, ResizeRule(**config.resize)) for records in opened.test]
    sampler = make_sampler(network, config.evaluation.memory_gib)

    def predict(state, images) -> Iterator[Prediction]:
        bar = functools.partial(progress_bar, description="labelling")
        return predict_examples(sampler, counter_variables(state), images, batching, bar)

    def rewrite(name: str, function, params, images):
        bar = functools.partial(progress_bar, description="translating")
        return translated_dataset.rewrite(
            function, params, images, workdir / "stages" / name, batching, keep, bar
        )

    def show(name: str, function, params, images) -> None:
        translated_dataset.show(function, params, images, workdir / "stages" / name, batching)

    work = base.StageTools(predict, rewrite, show)

    def results_of(stage, state, step: int, counted: int) -> list[dict]:
        return stage_rows(
            config, workdir, stage.name, step, counted, state, sampler, tests, batching, progress_bar
        )

    checkpoints = Checkpoints(workdir, keep=config.checkpoint.keep, datasets=opened.fingerprints())
    abstract, done = build.abstract_state(config, network, device_mesh, method), checkpoints.latest() or 0
    if not done:  # said before a compile begins, whose end the process would wait for
        build.check_encoder(config, network, abstract)
    step_of = _steps_ahead(config, network, device_mesh, abstract)
    stages = method.stages()
    ends = itertools.accumulate(stage.steps for stage in stages)
    for stage in [stage for stage, end in zip(stages, ends, strict=True) if end > done][:1]:
        step_of(stage)  # compiled while the state is made or restored
    state = _start(config, network, method, device_mesh, checkpoints, abstract)
    # Only now: what could not begin (a set that is not prepared, no encoder weights) holds no workdir.
    _write_config(workdir, config)
    log = Log(workdir / "log.jsonl", done)
    rows: list[dict] = []
    stop = _until_sigterm()
    peak = profiling.matrix_rate(config.model.dtype) * device_mesh.size
    trace = profiling.tracer(config.profile_steps, workdir / "profile")
    end = counted = 0
    for stage in stages:
        begin, end = end, end + stage.steps
        if done < end:
            step_of(stage)  # compiled while images are labelled or translated
        entered = pseudo_labels.load_or_make_pseudo_labels(
            stage, state, sets, work, workdir / "stages", resumed=done > begin
        )
        if entered is None:
            break
        sets = entered
        if done < end:
            first = max(begin, done)
            print(f"{method_name(config)}: {stage.name}, steps {first} to {end}", flush=True)
            with contextlib.closing(
                _batches(
                    config, stage, sets, (first, end), begin - counted, device_mesh, network.uncertainty.shard
                )
            ) as batches:
                save = functools.partial(_save, checkpoints, stage, begin, counted)
                state = _run_stage(
                    config, stage, state, batches, (first, end), step_of(stage), save, log, stop, peak, trace
                )
            done = end
        counted += stage.steps * stage.counter
        last = stage
        if config.evaluation.every_stage and stage.counter:
            rows += results_of(stage, state, end, counted)
    trace(None, state)
    method.finish(state, sets, work)
    if not config.evaluation.every_stage:
        rows = results_of(last, state, done, counted)
    write_results(workdir, rows)
    checkpoints.close()
    return rows


def method_name(config) -> str:
    """The method, its variant and its seed, for a person."""
    return " ".join(filter(None, (config.method.name, config.variant, f"seed {config.seed}")))


@dataclasses.dataclass(frozen=True)
class Opened:
    """The sets that a config names: records to train on with their weights, and to evaluate on, the target's first."""

    source: list[tuple[sources.Source, float]]
    target: list[tuple[sources.Source, float]]
    test: list[sources.Source]

    @classmethod
    def of(cls, config) -> "Opened":
        """Opens all of them. Raises ConfigError where one is not prepared."""
        source, target = config.source, config.target
        first = sources.open_source(source.dataset, source.split, config.data_dir, source.scenes)
        more = [
            (sources.open_source(name, split, config.data_dir), w) for name, split, w in source.extra_datasets
        ]
        targets = [(target.dataset, target.split, target.test_split, 1.0), *target.extra_datasets]
        return cls(
            source=[(first, 1.0), *more],
            target=[(sources.open_source(name, split, config.data_dir), w) for name, split, _, w in targets],
            test=[
                sources.open_source(name, split, config.data_dir)
                for name, split in [
                    *((name, split) for name, _, split, _ in targets),
                    *config.evaluation.extra_datasets,
                ]
            ],
        )

    def mixed(self, which: str, wrap: Callable):
        """The records to train on of `source` or `target`, each set within `wrap`."""
        parts = [wrap(records) for records, _ in getattr(self, which)]
        return parts[0] if len(parts) == 1 else mixture.Mixture(parts, [w for _, w in getattr(self, which)])

    def fingerprints(self) -> dict[str, str]:
        """{"dataset split": fingerprint} of all of them."""
        every = [records for records, _ in (*self.source, *self.target)] + self.test
        return {f"{one.name} {one.split}": one.fingerprint for one in every}


class Unlabelled(Wrapped):
    """Records without their head points: what a method that must not see the target's labels gets."""

    def __getitem__(self, i: int) -> dict:
        record = self.inner[i]
        return {**record, "points": record["points"][:0], "labelled": False}


class Log:
    """log.jsonl: one row a logged step. Rows after the step that is resumed from are dropped, to be written again."""

    def __init__(self, path: pathlib.Path, done: int):
        self.path = path
        kept = []
        if path.exists():
            lines = [
                line for line in path.read_text().splitlines() if line.endswith("}")
            ]  # a kill can cut the last
            kept = [line for line in lines if json.loads(line)["step"] <= done]
        write_atomic(path, "".join(line + "\n" for line in kept))

    def write(self, row: dict) -> None:
        """Appends a row, on the first process alone."""
        if jax.process_index() == 0:
            with open(self.path, "a") as file:
                file.write(json.dumps(row) + "\n")


def _check_config(workdir: pathlib.Path, config) -> None:
    """Raises ConfigError where the workdir holds a run whose config gives other parameters."""
    if not (workdir / "config.json").exists():
        return
    fields = build.flat(json.loads(json.dumps(config.to_dict())))
    old = build.flat(build.read_config(workdir).to_dict())
    differ = [
        f"{name} is {old.get(name)!r}, now {fields.get(name)!r}"
        for name in sorted({*old, *fields} - FREE)
        if str(old.get(name)) != str(fields.get(name))
    ]
    if differ:
        raise ConfigError(
            f"{workdir} holds a run with another config ({'; '.join(differ[:3])}): name a new --workdir"
        )


def _write_config(workdir: pathlib.Path, config) -> None:
    """Makes the workdir that of this config."""
    path = workdir / "config.json"
    if jax.process_index() == 0 and not path.exists():
        write_atomic(path, json.dumps(config.to_dict(), indent=2))


def _start(config, network, method, device_mesh, checkpoints: Checkpoints, abstract):
    """The state: restored where there is a checkpoint, fresh otherwise."""
    step = checkpoints.latest()
    if step is None:
        fresh = build.fresh_state(config, network, device_mesh, method)
        return fresh.replace(txs=abstract.txs)  # equal, but the compiled steps know these
    items = checkpoints.restore(step, build.checkpoint_items(abstract))
    if not config.checkpoint.any_data:
        checkpoints.check_datasets(step)
    print(f"resuming from step {step}", flush=True)
    return build.state_of(items, abstract)


@dataclasses.dataclass(frozen=True)
class Step:
    """A compiled step `run(state, batch) -> (state, Means)` and how many operations it takes."""

    run: Callable
    operations: int


def _steps_ahead(config, network, device_mesh, abstract) -> Callable[[base.Stage], futures.Future]:
    """A function that begins to compile the step of a stage, on a thread, and gives the `Step` to come.

    Compiled for the shapes that its state and batches will have, before there are any; once for all stages of the same
    `program`. A step's randomness is a function of (seed, state.step).
    """
    thread, begun, root = futures.ThreadPoolExecutor(1), {}, rngs.root(config.seed)

    def compiled(stage: base.Stage) -> Step:
        update = gradient_accumulation.in_parts(stage.update, config.accumulate)

        def train_step(state, batch):
            rng = rngs.stream(root, "update", state.step)
            state, values = update(state, batch, rng, network.draw)
            return state.replace(step=state.step + 1), Means.of(values)

        places = jax.tree.map(lambda x: x.sharding, abstract)  # what goes in must fit what came out
        step = jax.jit(train_step, donate_argnums=0, out_shardings=(places, None))
        traced = step.trace(abstract, _abstract_batch(config, stage, device_mesh, network.uncertainty.shard))
        return Step(traced.lower().compile(), profiling.operations(traced.jaxpr))

    def step_of(stage: base.Stage) -> futures.Future:
        if stage.program not in begun:
            begun[stage.program] = thread.submit(compiled, stage)
        return begun[stage.program]

    return step_of


def _crops_of(config, stage: base.Stage) -> dict[str, tuple[int, transforms.Augment]]:
    """{set: (crops in a global batch, how they are cut)} of the stage."""
    alone = len(stage.draws) == 1
    found = {}
    for name in stage.draws:
        own = {
            field: config[name][field]
            for field in ("scale_min", "scale_max", "unscaled_share", "photometric", "grey")
        }
        augment = transforms.Augment(**config.augment, **own, clean=name in stage.clean)
        found[name] = stage.batch_size or config["source" if alone else name].batch_size, augment
    return found


def _abstract_batch(config, stage: base.Stage, device_mesh, whole: bool) -> base.Batch:
    """Shapes and places of what `_batches` yields."""
    sharding = mesh.replicated(device_mesh) if whole else mesh.split(device_mesh)
    return {
        name: {
            field: jax.ShapeDtypeStruct((size, *shape), dtype, sharding=sharding)
            for field, (shape, dtype) in augment.shapes().items()
        }
        for name, (size, augment) in _crops_of(config, stage).items()
    }


def _batches(
    config,
    stage: base.Stage,
    sets: base.Sets,
    span: tuple[int, int],
    before: int,
    device_mesh,
    whole: bool = False,
) -> Generator[base.Batch, None, None]:
    """The global batches of a span of the stage, each a function of (seed, i), prepared ahead on threads.

    Split over the devices, or `whole` on each of them. `before`: steps of earlier stages that did not train the counter.
    """
    spec, datasets, crops = density.Density(**config.density), {}, _crops_of(config, stage)
    for name, (size, augment) in crops.items():
        if not whole:
            mesh.check_batch_size(
                f"the batch of {name} crops in {stage.name}", size, device_mesh, config.accumulate
            )
        make_dataset = functools.partial(
            pipeline.train_dataset,
            sets[name].examples,
            density=spec,
            seed=config.seed * 2 + (name == "target"),
            pseudo=sets[name].pseudo,
        )
        datasets[name] = make_dataset(augment=augment), make_dataset(augment=augment.plain())
    plain_from = {
        name: 0 if stage.plain else before + config.steps * (1 - config[name].plain_share) for name in crops
    }
    # Asked here: worker processes would not know.
    share = {} if whole else {"process_index": jax.process_index(), "process_count": jax.process_count()}
    put = mesh.put_replicated if whole else mesh.put_batch

    def make(i: int) -> dict:
        return {
            name: pipeline.batch_at(datasets[name][i >= plain_from[name]], i, batch_size=size, **share)
            for name, (size, _) in crops.items()
        }

    host = pipeline.batches(make, *span, threads=config.threads, workers=config.workers)
    return pipeline.ahead((put(device_mesh, batch) for batch in host), 1)


def _save(checkpoints: Checkpoints, stage: base.Stage, begin: int, counted: int, step: int, state) -> None:
    """Saves step `step` of a stage that began at `begin`, when the counter had been trained `counted` steps."""
    counted += (step - begin) * stage.counter
    checkpoints.save(step, build.checkpoint_items(state), stage=stage.name, counted=counted)


def _run_stage(config, stage, state, batches, span, step, save, log, stop, peak, trace):
    """Runs the steps of one stage and returns the state at its end, saved.

    Args:
      step: the `Step` to come.
      peak: operations a second that all devices could do.
      trace: called with each step that is about to run, and with what to wait for before a trace may end.
    """
    first, end = span
    means, start = None, 0.0
    meter = profiling.Meter(peak)
    bar = progress_bar(meter.waiting(batches), f"{stage.name}", end - first)
    for i, batch in enumerate(bar, start=first + 1):
        trace(i, state)
        state, values = step.result().run(state, batch)
        means = values if means is None else means.merge(values)
        meter.add(sum(crops["image"].shape[0] for crops in batch.values()), step.result().operations)
        logged = i % config.log_every == 0 or i == end
        if logged:
            row = {"step": i, "stage": stage.name, **means.compute(), **meter.read()}
            log.write(row)
            start = start or row["loss"]
            check_loss(row, start)
            if not sys.stderr.isatty():
                print(
                    "  ".join(f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in row.items()),
                    flush=True,
                )
            means = None
        # One of several processes may have been told alone: they agree where they wait for the device anyway.
        stopping = (logged or jax.process_count() == 1) and processes.any_of(stop())
        if i % config.checkpoint.every == 0 or i == end or stopping:
            save(i, state)
        if stopping and i < end:
            raise Preempted(f"stopped by SIGTERM at step {i} and saved; the same command goes on")
    return state


def check_loss(row: dict, start: float) -> None:
    """Raises ConfigError when a logged row's loss is not finite or has left all bounds, before it is saved.

    Args:
      row: of log.jsonl.
      start: the loss of the first row that was logged since the stage was entered or resumed.
    """
    if math.isfinite(row["loss"]) and row["loss"] <= _DIVERGED * abs(start):
        return
    raise ConfigError(
        f"the loss is {row['loss']:.3g} at step {row['step']} of {row['stage']}, it began at {start:.3g}: lower "
        "config.optimizer.learning_rate; the last checkpoint is as it was"
    )


def _until_sigterm() -> Callable[[], bool]:
    """A function that says whether SIGTERM has come since."""
    came: list[int] = []
    try:
        signal.signal(signal.SIGTERM, lambda number, frame: came.append(number))
    except ValueError:  # not the main thread (a test, a notebook): nobody to signal
        return lambda: False
    return lambda: bool(came)
