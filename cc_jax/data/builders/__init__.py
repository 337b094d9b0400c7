"""Dataset builders, one file each: raw files (or a seed) to TFDS records of images and head points."""
