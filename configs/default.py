"""Every field of a run with its default. Experiments change what they need.

Not an experiment itself: `configs/demo.py` is the smallest one.

The fields of a method, a model and an uncertainty are described in its own file: `config.method.ours` holds those of
`cc_jax/methods/ours.py`.
"""

from ml_collections import ConfigDict

from cc_jax import registry


def get_config() -> ConfigDict:
    """Return the fields that all experiments share, set for the embedded synthetic pair."""
    config = ConfigDict()
    # Root of all randomness: equal configs with equal seeds give equal bits.
    config.seed = 0
    # What tables call this run beside its method.
    config.variant = ""
    # Training steps of the counter, over all stages. The same for every method, or their table compares nothing.
    config.steps = 400
    # Number of parts that a batch is trained on in turn, to save memory.
    config.accumulate = 1
    # Factor between the density and the network's output; 100 as in GCC-SFCN and NLT. Loss weights depend on it.
    config.label_scale = 100.0
    # Where prepared datasets lie; "" is $TFDS_DATA_DIR or ~/tensorflow_datasets.
    config.data_dir = ""
    # Host threads that prepare batches.
    config.threads = 2
    # Processes that prepare batches instead of threads; 0 uses threads. Works best with cache_dir, which they share.
    config.workers = 0
    # GiB of decoded images kept in memory, for the source and for the target each.
    config.cache_gib = 1.0
    # Folder that keeps all decoded images instead, 3 bytes a pixel, for datasets larger than memory.
    config.cache_dir = ""
    # Steps between two rows of log.jsonl.
    config.log_every = 20
    # "FIRST:LAST": steps whose profile is written to the workdir's folder `profile`.
    config.profile_steps = ""
    config.sweep = _sweep()
    config.source = _source()
    config.target = _target()
    config.resize = _resize()
    config.density = _density()
    config.augment = _augment()
    config.model = _model()
    config.uncertainty = _uncertainty()
    config.method = _method()
    config.optimizer = _optimizer()
    config.evaluation = _evaluation()
    config.checkpoint = _checkpoint()
    return config


def _sweep() -> ConfigDict:
    """Several runs: every variant with every method, seed and fold, each in a workdir of its own below --workdir.

    Empty fields run the config itself. Processes that are given the same command share the runs.
    """
    sweep = ConfigDict()
    # Names of methods.
    sweep.methods = ()
    # Pairs (name, {"field.below.config": value, ...}).
    sweep.variants = ()
    # Values of config.seed.
    sweep.seeds = ()
    # Splits of a cross-validation: each is tested on once, by a run whose target is the others. Tables give their mean.
    sweep.folds = ()
    return sweep


def _crops() -> ConfigDict:
    """How the training crops of a set are changed."""
    crops = ConfigDict()
    # Crops of the set in a global batch.
    crops.batch_size = 8
    # Lower bound of the random scale of a crop.
    crops.scale_min = 0.8
    # Upper bound of the random scale of a crop.
    crops.scale_max = 1.25
    # Share of the crops that keep the scale of the evaluation, and with it the grain of the image.
    crops.unscaled_share = 0.5
    crops.end = _end()
    # Strength of photometric changes, from 0 (none) to 1 (strong).
    crops.photometric = 0.5
    # Share of the crops turned grey.
    crops.grey = 0.0
    return crops


def _end() -> ConfigDict:
    """How the crops of the last steps are changed: by default not at all, so that they look as in the evaluation."""
    end = ConfigDict()
    # Share of the steps that are such, the last ones.
    end.share = 0.0
    # Share of their crops that keep the scale of the evaluation.
    end.unscaled_share = 1.0
    # Strength of their photometric changes, from 0 (none) to 1 (strong).
    end.photometric = 0.0
    # Strength of their changes of tone and color, where it is larger. These hide no head.
    end.tone = 0.0
    return end


def _source() -> ConfigDict:
    """The labelled set."""
    source = _crops()
    # Name of the dataset.
    source.dataset = "synthetic/source"
    # Split that is trained on, in TFDS's notation.
    source.split = "train"
    # Name of a target: keeps only GCC's scenes of this target's kind (GCC's scene regularization).
    source.scenes = ""
    # Further labelled sets, (dataset, split, weight) each: how often a crop comes from it, where the set above has 1.
    source.extra_datasets = ()
    # The variety of the source stands in for the target, to the end.
    source.end.share = 0.0
    source.grey = 0.1
    return source


def _target() -> ConfigDict:
    """The set to adapt to. Its labels are hidden from all methods but Supervised."""
    target = _crops()
    # Name of the dataset.
    target.dataset = "synthetic/target"
    # Split that is adapted to.
    target.split = "train"
    # Split that is evaluated on.
    target.test_split = "test"
    # Further targets, (dataset, split, test_split, weight) each: adapted to together, evaluated separately.
    target.extra_datasets = ()
    # A network that sees changed crops to the end learns to make up for the heads that blur and noise hide, and counts too
    # many in unchanged images.
    target.end.share = 0.25
    return target


def _resize() -> ConfigDict:
    """Bounds on the sides of images in pixels, applied before anything else. The aspect is kept; 0 is no bound."""
    resize = ConfigDict()
    # Least length of the short side.
    resize.min_side = 0
    # Greatest length of the short side.
    resize.max_short_side = 0
    # Greatest length of the long side.
    resize.max_side = 1536
    # Both sides are rounded to multiples of this.
    resize.multiple = 1
    return resize


def _density() -> ConfigDict:
    """Density maps, made from the head points."""
    density = ConfigDict()
    # "fixed", or "adaptive": 0.3 times the mean distance to the three nearest heads.
    density.kernel = "fixed"
    # Standard deviation of the fixed kernel in pixels; that of the GCC family.
    density.sigma = 4.0
    # Side of the fixed kernel in pixels.
    density.size = 15
    return density


def _augment() -> ConfigDict:
    """Training crops of both sets. How far they are changed is set in `source` and `target`."""
    augment = ConfigDict()
    # Side in pixels, a multiple of 8.
    augment.crop = 192
    # Mirror left-right at random. Never up-down, which is the label of the upside-down task.
    augment.flip = True
    return augment


def _model() -> ConfigDict:
    """The counting network. Each model with fields of its own has a section."""
    model = ConfigDict()
    # A file of cc_jax/models.
    model.name = "tiny"
    # What activations are computed in: "float32", or "bfloat16" on accelerators. Parameters are float32.
    model.dtype = "float32"
    # Upside-down classifier: that of the paper's "figure" or of its "code"; "quarters" tells quarter turns, for comparison.
    model.head = "figure"
    # Compute the encoder's activations again for the gradient instead of keeping them: less memory, a third more work.
    model.remat = False
    # File with encoder weights, made by `tools/convert_weights`; "" starts from noise.
    model.pretrained = ""
    return _with_plugins(model, "models")


def _uncertainty() -> ConfigDict:
    """How samples are drawn. Each uncertainty with fields of its own has a section."""
    uncertainty = ConfigDict()
    # A file of cc_jax/uncertainty.
    uncertainty.name = "masksembles"
    return _with_plugins(uncertainty, "uncertainty")


def _method() -> ConfigDict:
    """How the counter is adapted. Each method with fields of its own has a section."""
    method = ConfigDict()
    # A file of cc_jax/methods.
    method.name = "ours"
    return _with_plugins(method, "methods")


def _optimizer() -> ConfigDict:
    """The counter's optimizer."""
    optimizer = ConfigDict()
    # "adamw", or "muon" for networks trained from noise.
    optimizer.name = "adamw"
    # Learning rate after the warm-up.
    optimizer.learning_rate = 1e-3
    # Steps in which the learning rate rises linearly.
    optimizer.warmup_steps = 20
    # "cosine" decays over all stages together; "constant" does not decay.
    optimizer.schedule = "cosine"
    # Learning rate at the end of the cosine, relative to learning_rate.
    optimizer.final_scale = 0.05
    # Weight decay of the kernels; that of GCC-SFCN.
    optimizer.weight_decay = 1e-4
    # Factor on the learning rate of the encoder.
    optimizer.encoder_scale = 1.0
    # Global norm at which gradients are clipped; 0 never clips. Clipping can bias the counts.
    optimizer.clip = 0.0
    # Decay of the moving average of the parameters, which is evaluated and makes pseudo labels; 0 uses the parameters.
    optimizer.ema = 0.98
    return optimizer


def _evaluation() -> ConfigDict:
    """Evaluation and counting."""
    evaluation = ConfigDict()
    # Images in a batch.
    evaluation.batch_size = 1
    # Number of shapes that images are padded to; each is compiled once.
    evaluation.max_buckets = 6
    # GiB that the network's intermediate results may take. Larger images are counted in tiles, with the same result.
    evaluation.memory_gib = 2.0
    # Cells in which the estimate, the mean over the samples, is fewer people count as empty.
    evaluation.empty_below = 0.0
    # Level of the intervals.
    evaluation.interval_level = 0.9
    # Further labelled sets to count, (dataset, split) each: to select by, which a test split is not for.
    evaluation.extra_datasets = ()
    # Labelled training images of the tested set, from which results.json says how few of them, counted by hand, would help;
    # 0 does without.
    evaluation.counted_images = 40
    # Write a row of results.json after each stage and not only after the last one.
    evaluation.every_stage = False
    return evaluation


def _checkpoint() -> ConfigDict:
    """Checkpoints."""
    checkpoint = ConfigDict()
    # Steps between two checkpoints. The end of every stage is saved anyway.
    checkpoint.every = 200
    # Number of checkpoints that are kept.
    checkpoint.keep = 2
    # Resume even if a dataset differs from the one that was trained on.
    checkpoint.any_data = False
    return checkpoint


def _with_plugins(section: ConfigDict, kind: str) -> ConfigDict:
    """Add the section of each plug-in of `kind` that has fields."""
    for name, fields in registry.defaults(kind).items():
        section[name] = ConfigDict(fields)
    return section


def parse_arg(arg: str | None, known: tuple[str, ...]) -> str:
    """Return the argument of a config file (`configs/demo.py:ARG`), "" without one.

    Raises ValueError with the known arguments if it is not one of them.
    """
    arg = arg or ""
    if arg and arg not in known:
        raise ValueError(f"config argument {arg!r}: must be one of {', '.join(known)}")
    return arg
