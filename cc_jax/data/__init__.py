"""Reading, resizing, cropping and batching of images and head points, in NumPy and OpenCV, without JAX."""
