"""The report's texts that do not depend on its runs. They address readers from outside the field."""

METRICS = (
    ("MAE", "Mean absolute error: by how many people the count of an image is off on average. Lower is better."),
    ("RMSE", "Root mean squared error: like the MAE, but large errors weigh more."),
    ("bias", "Mean of estimate minus truth. Above 0, the counter finds too many people; below 0, too few."),
    ("Pearson", "Correlation of estimated and true counts. At 1, they rise and fall together; at 0, they are unrelated."),
    ("scaled MAE", "MAE after all estimates are multiplied by the best common factor: what remains when the overall level "
     "is right."),
    ("constant MAE", "MAE of giving every image the same count, the median of the true counts. A useful counter stays "
     "below it."),
    ("with 10 counts", "MAE that remains if ten images of the training split are counted by hand and set the level of all "
     "estimates; the mean over many draws of ten."),
    ("in interval", "Share of the images whose true count lies within the interval."),
)  # fmt: skip

DENSITY_MAP = (
    "A network reads an image and predicts a <b>density map</b>: the number of people in each cell of 8 "
    "by 8 pixels. The sum over the map is the count. The network learns this from images with labelled "
    "heads, the source{source}. Then it counts in images of another kind, the target{target}. The two "
    "kinds look different, so it counts less accurately there. Adaptation wins some of the accuracy back "
    "without labels for the target images."
)
UNCERTAINTY = (
    "The network gives several estimates for each image. Where they disagree, it is unsure. This "
    "disagreement is the <b>uncertainty</b>, and the intervals are computed from it."
)
SCATTER = (
    "Each dot is a test image. On the dashed line, the estimate is right; above it, too many people were "
    "counted, and below it too few. The bar through a dot is its interval."
)
RELIABILITY = (
    "Left: the error of the images (or blocks of 64 pixels) that remain when the most uncertain ones are "
    "removed, relative to the error of all. If the network knows where it is wrong, the solid curve falls "
    "below the dashed line at 1. The dotted curve is the best possible one. Right: the share of the "
    "intervals that contain the true count. Of intervals at a level of 90 %, 90 % should. Below the "
    "dashed line, the intervals are too narrow."
)
WITH_COUNTS = (
    "What counting a few images by hand is worth. They set the level of all other estimates: the dots are "
    "the error of the test images, averaged over many choices of the counted ones from the training split, "
    "and the bars hold eight in ten of the choices."
)
TRANSLATED = (
    "The counter is trained on the lower images, with the labels of the upper ones. They should look like "
    "the target, with every person in the same place."
)
SIDE_BY_SIDE = (
    "Three test images, chosen by their number of people: a sparse, a typical and a dense one. All maps "
    "of an image share one color scale."
)
PANELS_BY_ERROR = (
    "The test images with the smallest, the median and the largest error. True and estimated density "
    "share one color scale."
)
MAPS = (
    "Bright cells of a density map are crowded. Bright cells of an uncertainty map are those where the "
    "network's estimates disagree."
)
TRAINING = "Losses and accuracies during training. The shaded bands are the stages."
PROVENANCE = (
    "The unrounded numbers are in each workdir's <code>results.json</code> and <code>predictions.csv</code>."
)

# How the report calls the roles of workdir/panels.py.
ROLES = {
    "best": "Smallest error",
    "middle": "Median error",
    "worst": "Largest error",
    "sparse": "Sparse",
    "typical": "Typical",
    "dense": "Dense",
}
