"""Every field of a run, with its default and where that comes from. Experiments change what they need.

Not run by itself; `configs/demo.py` is the smallest experiment.
"""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    """The fields shared by all experiments, for the embedded synthetic pair."""
    config = ConfigDict()
    config.seed = 0
    config.variant = ""  # what a table calls this run beside its method
    # Counter steps, over all stages: the same for every method, or their table compares nothing (methods.md).
    config.steps = 400
    config.accumulate = 1  # parts that a batch is trained on in, one after the other
    config.label_scale = 100.0  # density x100, as GCC-SFCN and NLT; a loss weight has a meaning only with it
    config.data_dir = ""  # where prepared datasets lie; "" is $TFDS_DATA_DIR or ~/tensorflow_datasets
    config.threads = 2  # host threads that prepare batches
    config.workers = (
        0  # processes that prepare them instead, if not 0; best together with cache_dir, which they share
    )
    config.cache_gib = 1.0  # GiB of decoded images kept in memory, of the source and of the target each
    config.cache_dir = (
        ""  # keep all decoded images here instead (3 bytes a pixel of the frame), for sets beyond memory
    )
    config.log_every = 20  # steps a row of log.jsonl
    config.profile_steps = ""  # "FIRST:LAST": their profile is written to the workdir's `profile`

    # Run several: every variant of the config with every method, seed and fold, one workdir each below --workdir. () runs
    # the config itself. Several processes given the same command share the runs out.
    config.sweep = ConfigDict()
    config.sweep.methods = ()
    config.sweep.variants = ()  # (name, {"field.below.config": value, ...}) each
    config.sweep.seeds = ()
    # Splits that take turns: each is tested on once, by a run whose target is the others. Tables give their mean.
    config.sweep.folds = ()

    config.source = ConfigDict()
    config.source.dataset = "synthetic/source"  # labelled
    config.source.split = "train"
    config.source.scenes = (
        ""  # only scenes of this target's kind ("shanghaitech/part_a", ...): GCC's regularisation
    )
    # Further labelled sets, (dataset, split, weight) each: how often a crop is drawn from it, the set above having 1.
    config.source.extra_datasets = ()
    config.source.batch_size = 8
    config.source.scale_min = 0.8  # bounds of the random scale of its crops
    config.source.scale_max = 1.25
    config.source.unscaled_share = (
        0.5  # share of its crops that keep the evaluation's scale, and with it the grain
    )
    # Share of all steps, the last ones, whose crops are as the evaluation sees the image (its scale, no photometric
    # changes). Not for the source: what varies it stands in for the target.
    config.source.plain_share = 0.0
    # Photometric changes, 0: none, 1: strong. The strengths are ours: augmenting the source alone took No Adapt from
    # MAE 169 to 121 on Unity to ShanghaiTech B in a first measurement.
    config.source.photometric = 0.5
    config.source.grey = 0.1  # share of crops turned grey

    config.target = ConfigDict()
    config.target.dataset = "synthetic/target"  # its labels are hidden from all methods but Supervised
    config.target.split = "train"
    config.target.test_split = "test"
    # Further targets, (dataset, split, test_split, weight) each: adapted to together, evaluated on apart.
    config.target.extra_datasets = ()
    config.target.batch_size = 8
    config.target.scale_min = 0.8
    config.target.scale_max = 1.25
    config.target.unscaled_share = 0.5
    # A network that sees changed crops to the end learns to make up for the heads that blur and noise take away, and
    # counts too many in unchanged images.
    config.target.plain_share = 0.25
    config.target.photometric = 0.5  # as the source's; pseudo labels are made on unchanged images
    config.target.grey = 0.0

    # Sides that images are brought to before anything else, in pixels, aspect kept; 0: no limit.
    config.resize = ConfigDict()
    config.resize.min_side = 0  # of the short side
    config.resize.max_short_side = 0
    config.resize.max_side = 1536  # of the long side
    config.resize.multiple = 1  # both sides are rounded to multiples of it

    config.density = ConfigDict()
    config.density.kernel = "fixed"  # "fixed" or "adaptive" (0.3 x mean distance to the three nearest heads)
    config.density.sigma = 4.0  # pixels; the GCC family's, with a 15x15 kernel
    config.density.size = 15

    # Training crops; how far they are changed is a field of each set.
    config.augment = ConfigDict()
    config.augment.crop = 192  # pixels, a multiple of 8
    config.augment.flip = True  # left-right; never up-down, which is the upside-down task's label

    config.model = ConfigDict()
    config.model.name = "tiny"  # a file of cc_jax/models
    config.model.dtype = "float32"  # "bfloat16" computes in it on accelerators; parameters stay float32
    # Upside-down head of the paper's "figure" or of its "code"; "quarters" tells quarter turns instead (ours, to compare).
    config.model.head = "figure"
    # Activations of the encoder are computed again for the gradient instead of kept: less memory, a third more work.
    config.model.remat = False
    config.model.pretrained = ""  # encoder weights of tools/convert_weights; "" starts from noise
    config.model.sfcn = ConfigDict({"width": 1.0})  # factor on all channels
    config.model.tiny = ConfigDict(
        {"spatial_kernel_size": 9}
    )  # kernel length of the spatial encoder; 0 leaves it out

    config.uncertainty = ConfigDict()
    config.uncertainty.name = "masksembles"  # a file of cc_jax/uncertainty
    config.uncertainty.masksembles = ConfigDict({"members": 3, "scale": 2.0})  # the paper's code
    # What Masksembles tends to with many members is a rate of 1 - 1/scale; a tenth of the channels costs less accuracy.
    config.uncertainty.mc_dropout = ConfigDict({"members": 8, "rate": 0.1})
    # Networks, each at the full cost; with "shard" the devices share them out instead of the batch.
    config.uncertainty.deep_ensemble = ConfigDict({"members": 3, "shard": False})

    config.method = ConfigDict()
    config.method.name = "ours"  # a file of cc_jax/methods
    config.method.ours = ConfigDict()
    # "rounds", the paper's, label whole images; "ema" labels crops at every step with the moving average of `optimizer.ema`.
    # Three seeds, labelled images kept aside (configs/ablation.py; README): from B to A MAE 150.2 with "ema" and 160.7 with
    # "rounds", 7 to 16 less for each seed; 27.6 and 27.3 on the synthetic pair. And no image is labelled twice.
    config.method.ours.teacher = "ema"
    config.method.ours.round_share = 0.5  # share of all steps in which pseudo labels are learnt too; ours
    config.method.ours.rounds = (
        2  # of the teacher "rounds"; not stated in the paper, a first measurement used two
    )
    config.method.ours.upside_down_weight = (
        0.1  # not stated; brings both losses to one size at label_scale 100
    )
    config.method.ours.pseudo_weight = 1.0  # not stated
    # "absolute" reads the paper by the letter; also "relative", "balanced", "stratified", "soft", "image" and "none": see
    # selection.py. On the synthetic pair "stratified", "soft", "image", "none" and fractions of a quarter to three
    # quarters are within chance (27.1 to 27.9); "relative" ends at 30.4, "absolute" and "balanced" at 34.5 and 34.8, 29
    # people too few.
    config.method.ours.rule = "stratified"
    config.method.ours.fraction = 0.5  # not stated
    config.method.ours.foreground = 0.01  # people per cell, for "balanced" and "stratified"
    config.method.ours.tolerance = 0.0  # relative change of the labels below which the rounds end; 0: never

    # The translator of the methods below; the paper of Cycle-GAN trains it for 200 epochs (methods.md).
    translator = {
        "translate_steps": 400,  # beside config.steps, which are the counter's
        "translate_batch": 1,
        "translate_crop": 256,
        "width": 64,  # of the generators; with 9 blocks the paper's
        "blocks": 9,
        "critic_width": 64,
        "cycle_weight": 10.0,
        "identity_weight": 0.5,
        "pool": 50,
        "translate_rate": 2e-4,
    }
    config.method.cycle_gan = ConfigDict(translator)
    config.method.se_cycle_gan = ConfigDict({**translator, "ssim_weight": 1.0})
    config.method.se_cycle_gan_jt = ConfigDict(
        {**translator, "ssim_weight": 1.0, "task_weight": 1.0}
    )  # task_weight: ours
    config.method.se_fd = ConfigDict()
    config.method.se_fd.mask_weight = 0.1  # these four: not known to us
    config.method.se_fd.mask_threshold = 0.01  # people in a cell
    config.method.se_fd.adversarial_weight = 0.01
    config.method.se_fd.critic_rate = 1e-4
    config.method.bla = ConfigDict()
    config.method.bla.crowd_threshold = 0.01  # people in a cell; these three are ours
    config.method.bla.adversarial_weight = 0.01
    config.method.bla.critic_rate = 1e-4
    config.method.mic = ConfigDict()
    config.method.mic.consistency_weight = 1.0  # patch and ratio: the paper's; these two: ours
    config.method.mic.ramp = 0.5
    config.method.mic.patch = 64
    config.method.mic.ratio = 0.7
    config.method.gp = ConfigDict()
    config.method.gp.unlabelled_weight = 0.01  # the paper's 0.6 is for a loss of another size
    config.method.gp.neighbours = 64
    config.method.gp.bank = 1024
    config.method.gp.grid = 3
    config.method.gp.length = 1.0
    config.method.gp.noise = 0.1

    config.optimizer = ConfigDict()
    config.optimizer.name = "adamw"  # or "muon", for networks trained from noise
    config.optimizer.learning_rate = 1e-3
    config.optimizer.warmup_steps = 20
    config.optimizer.schedule = "cosine"  # over all stages together; or "constant"
    config.optimizer.final_scale = 0.05
    config.optimizer.weight_decay = 1e-4  # GCC-SFCN
    config.optimizer.encoder_scale = 1.0  # factor on the encoder's learning rate
    config.optimizer.clip = 0.0  # clipping at 50 biased even Supervised by -33 people in a first measurement
    config.optimizer.ema = 0.98  # moving average of the parameters that is evaluated and labels

    config.evaluation = ConfigDict()
    config.evaluation.batch_size = 1
    config.evaluation.max_buckets = 6  # padded image shapes, each compiled once
    # GiB that the network may take on the way, beside the image; larger images are counted in tiles, to the same count.
    config.evaluation.memory_gib = 2.0
    config.evaluation.interval_level = 0.9
    # Further labelled sets that are counted too, (dataset, split) each: to choose by, which no test split is for.
    config.evaluation.extra_datasets = ()
    config.evaluation.every_stage = False  # a row of results.json after each stage, not only after the last

    config.checkpoint = ConfigDict()
    config.checkpoint.every = 200  # steps; the end of every stage is saved anyway
    config.checkpoint.keep = 2
    config.checkpoint.any_data = False  # go on although a dataset is another copy than the one trained on
    return config


def parse_arg(arg: str | None, known: tuple[str, ...]) -> str:
    """The config's argument (`configs/demo.py:ARG`), "" without one; a wrong one names the right ones."""
    arg = arg or ""
    if arg and arg not in known:
        raise ValueError(f"config argument {arg!r}: there are {', '.join(known)}")
    return arg
