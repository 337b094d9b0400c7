"""The files of a workdir and their places. No other module spells these names."""

import dataclasses
import pathlib


@dataclasses.dataclass(frozen=True)
class Layout:
    """The paths of one workdir; none of them has to exist.

    Attributes:
      root: the workdir itself.
    """

    root: pathlib.Path

    @property
    def config(self) -> pathlib.Path:
        """The config of the run and the version that wrote it (workdir/config.py)."""
        return self.root / "config.json"

    @property
    def packed(self) -> pathlib.Path:
        """The network of a packed counter, which has no checkpoints (workdir/packed.py)."""
        return self.root / "counter.safetensors"

    @property
    def results(self) -> pathlib.Path:
        """The rows of the results table. A run writes it last: where it exists, the run is finished."""
        return self.root / "results.json"

    @property
    def log(self) -> pathlib.Path:
        """One row for each logged step."""
        return self.root / "log.jsonl"

    def predictions(self, dataset: str = "") -> pathlib.Path:
        """The counts of every image of the evaluated set; `dataset` names a set other than the config's target."""
        return self.root / (f"predictions_{dataset}.csv" if dataset else "predictions.csv")

    @property
    def uncertainty(self) -> pathlib.Path:
        """How well the uncertainty predicts the errors."""
        return self.root / "uncertainty.json"

    @property
    def errors_with_counts(self) -> pathlib.Path:
        """The error at the level that so many counted images set."""
        return self.root / "errors_with_counts.json"

    @property
    def calibration(self) -> pathlib.Path:
        """The images that the intervals are calibrated on."""
        return self.root / "calibration.npz"

    @property
    def domains(self) -> pathlib.Path:
        """The counter's errors on kinds of images that it was not trained on."""
        return self.root / "domains.npz"

    @property
    def not_here(self) -> pathlib.Path:
        """What tells the images that the counter is not meant for."""
        return self.root / "not_here.npz"

    @property
    def report(self) -> pathlib.Path:
        """The HTML report."""
        return self.root / "report.html"

    @property
    def panels(self) -> pathlib.Path:
        """The folder of the images that the report shows."""
        return self.root / "panels"

    @property
    def stages(self) -> pathlib.Path:
        """The folder of what each stage leaves."""
        return self.root / "stages"

    def pseudo_labels(self, stage: str) -> pathlib.Path:
        """The pseudo labels that `stage` trains on."""
        return self.stages / f"{stage}.npz"

    def stage_results(self, stage: str) -> pathlib.Path:
        """The rows of the results table for the counter at the end of `stage`."""
        return self.stages / f"{stage}.json"

    def rewritten(self, name: str) -> pathlib.Path:
        """The folder of a rewritten (for example translated) set of images."""
        return self.stages / name

    @property
    def checkpoints(self) -> pathlib.Path:
        """The folder of orbax's checkpoints, one folder for each step."""
        return self.root / "checkpoints"

    @property
    def manifests(self) -> pathlib.Path:
        """The folder of the checkpoints' manifests."""
        return self.root / "manifests"

    def manifest(self, step: int) -> pathlib.Path:
        """The manifest that makes the checkpoint of `step` valid."""
        return self.manifests / f"{step}.json"

    @property
    def set_aside(self) -> pathlib.Path:
        """The folder of checkpoints that gave way to newer ones of the same step."""
        return self.root / "checkpoints-set-aside"

    @property
    def evaluations(self) -> pathlib.Path:
        """The folder of evaluations on other sets, one folder each."""
        return self.root / "evaluations"

    @property
    def profile(self) -> pathlib.Path:
        """The folder of a profile of some steps."""
        return self.root / "profile"
