"""Benchmark suites, one file each, named after the suite. A suite defines `run(options: Options) -> list[Row]`."""
