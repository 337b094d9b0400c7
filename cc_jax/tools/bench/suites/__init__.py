"""One file a suite, each with `run(options: Options) -> list[Row]`; the name of the file is the suite's."""
