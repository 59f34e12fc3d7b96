"""`edge-asc demo`: the whole chain on the recordings that come with the package, in minutes, ending with a report page.

Each step is what the verb of that name does, so the page can tell its reader what to type for the same on other data.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import edge_asc
from edge_asc.audit import Audit, audit_bundle
from edge_asc.bundle import Bundle
from edge_asc.data.dataset import TauDataset
from edge_asc.data.import_plan import ImportSettings
from edge_asc.data.import_recordings import import_recordings
from edge_asc.listen.events import SceneEvent
from edge_asc.listen.pipeline import listen
from edge_asc.listen.sources import file_source
from edge_asc.report import Picture, Section, Table, write_page
from edge_asc.runtime import load_ensemble
from edge_asc.train import plots
from edge_asc.train.convert import convert_run
from edge_asc.train.fit import train_ensemble
from edge_asc.train.history import read_csv
from edge_asc.train.metrics import Scores, score
from edge_asc.train.progress import Reporter
from edge_asc.train.recipes import Recipe, load_recipe, override
from edge_asc.train.run import Run

CLIPS_DIR = Path(edge_asc.__file__).parent / "assets" / "clips"
HELD_OUT = "transportation-boat.ogg"
"""What is listened to at the end: a recording that no member was trained on."""
HOP_S = 2.5
"""Clips overlap, because there are only minutes of sound."""
WHAT_IT_IS = ("This is a demonstration of the whole chain on eleven short recordings, not the accuracy of the paper: "
              "with one or two recordings of a label to learn from, and one or two to be judged on, "
              "the figures below say that the program works, and next to nothing about acoustic scenes.")


@dataclass(frozen=True, kw_only=True)
class Demo:
    """What the demonstration made and saw."""

    dataset: Path
    run: Run
    bundle: Bundle
    audit: Audit
    scores: dict[str, Scores]
    """Keras and each variant of the bundle -> figures on the held-out recordings."""
    events: list[SceneEvent]
    report: Path


def run_demo(out: Path, *, progress: Reporter, say: Callable[[str], None], settings: tuple[str, ...] = ()) -> Demo:
    """Import, train, convert, audit and listen below the folder `out`; finished steps are not done again.

    Args:
        out: Made if it is not there.
        progress: Told how training goes.
        say: Told what each step does.
        settings: Changes to the recipe `demo`, as for `edge-asc train --set`.
    """
    recipe = override(load_recipe("demo"), settings)
    dataset = out / "dataset"
    say("1/5  import: eleven shipped recordings -> 10 s clips, split by recording")
    import_recordings(CLIPS_DIR / "recordings.csv", dataset, settings=ImportSettings(hop_s=HOP_S), progress=False)
    say(f"2/5  train: {len(recipe.members)} members, pruned to {recipe.pruning.final_sparsity:.0%} zeros")
    run = train_ensemble(recipe, dataset, out / "run", progress=progress)
    say("3/5  convert: sparse TFLite, checked against Keras on real windows")
    bundle = convert_run(run.path, out / "bundle", dataset_dir=dataset, golden_clip=CLIPS_DIR / HELD_OUT, notify=say)
    say("4/5  audit: every weight and byte")
    audit = audit_bundle(bundle)
    say(f"5/5  listen: {HELD_OUT}, which no member has heard")
    ensemble = load_ensemble(bundle)
    source = file_source(CLIPS_DIR / HELD_OUT, sample_rate_hz=bundle.features.sample_rate_hz)
    events = list(listen(source, ensemble, hop_s=5.0))
    made = Demo(dataset=dataset, run=run, bundle=bundle, audit=audit, scores=_scores(bundle, dataset, recipe),
                events=events, report=out / "report.html")
    write_page(made.report, title="edge-asc demo", lead=WHAT_IT_IS, sections=_sections(made))
    return made


def next_commands(demo: Demo) -> list[str]:
    """What a newcomer would type now: listen, train on more, take it to a microcontroller."""
    return [f"edge-asc listen --mic --bundle {demo.bundle.path}",
            f"edge-asc dataset import my-recordings.csv -o {demo.dataset.parent / 'my-dataset'}",
            f"edge-asc audit {demo.bundle.path}"]


def _scores(bundle: Bundle, dataset: Path, recipe: Recipe) -> dict[str, Scores]:
    """The default variant on the held-out clips, as the device would hear them."""
    from edge_asc.classify import classify_file

    clips = TauDataset.load(dataset).validation
    ensemble = load_ensemble(bundle)
    answers = [classify_file(clip.path, ensemble).probabilities for clip in clips]
    probabilities = [[answer[label] for label in bundle.labels] for answer in answers]
    truth = [bundle.labels.index(clip.label or "") for clip in clips]
    return {bundle.default_variant: score(probabilities, truth, labels=bundle.labels,
                                          scenes=[clip.scene for clip in clips])}


def _sections(demo: Demo) -> list[Section]:
    return [_accuracy(demo), _training(demo), _sizes(demo), _listening(demo),
            Section(heading="Next", text="The same with a microphone, with your own recordings, and the sizes again:",
                    commands=next_commands(demo))]


def _accuracy(demo: Demo) -> Section:
    variant, scores = next(iter(demo.scores.items()))
    rows = [[f"{each.label}: {each.scene}", str(each.n), f"{each.accuracy:.0%}", f"{each.log_loss:.2f}"]
            for each in scores.scenes]
    rows.append(["all (macro accuracy)", str(scores.n), f"{scores.macro_accuracy:.0%}", f"{scores.log_loss:.2f}"])
    return Section(
        heading="Held-out recordings",
        text=f"The bundle ({variant}) on clips of recordings that were not trained on. "
             "Guessing gives 33 %, log-loss 1.10.",
        table=Table(columns=["recording", "clips", "right", "log-loss"], rows=rows),
        pictures=[Picture(png=plots.confusion(scores), caption="Confusion matrix: rows are true, columns are answers")])


def _training(demo: Demo) -> Section:
    names = demo.run.finished
    histories = {name: read_csv(demo.run.folder(name) / "history.csv") for name in names}
    states = {name: demo.run.state(name) or {} for name in names}
    rows = [[name, str(states[name]["architecture"]), str(states[name]["n_parameters"]), str(states[name]["n_nonzero"]),
             f"{states[name]['kernel_sparsity']:.1%}"] for name in names]
    return Section(
        heading="Training and pruning",
        text="Zeros were counted in the saved networks. The paper counts 17115 non-zero parameters for a V member and "
             "34183 for an I member.",
        table=Table(columns=["member", "architecture", "parameters", "non-zero", "zeros in kernels"], rows=rows),
        pictures=[Picture(png=plots.curves(histories), caption="Loss, accuracy and sparsity over the epochs")])


def _sizes(demo: Demo) -> Section:
    rows = []
    for variant, members in demo.audit.variants.items():
        total = members[-1]
        figures = (total.n_nonzero * total.precision_bytes, total.n_nonzero_without_batchnorm * total.precision_bytes,
                   total.file_bytes, total.compressed_bytes, total.weights_bytes)
        rows.append([variant, *(f"{figure / 1024:.1f}" for figure in figures)])
    verdicts = "\n".join(f"{'fits' if check.ok else 'OVER'}: {check}" for check in demo.audit.checks)
    return Section(
        heading="Sizes in KB of 1024 bytes",
        text=f"{verdicts}\nThe challenge counts non-zero weights; a device stores files. Both are here.",
        table=Table(columns=["variant", "challenge rule", "rule without BatchNorm", "files", "compressed", "weights"],
                    rows=rows))


def _listening(demo: Demo) -> Section:
    rows = [[f"{event.time_s:.1f}", event.label, f"{event.confidence:.2f}",
             *(f"{event.probabilities[label]:.2f}" for label in demo.bundle.labels)] for event in demo.events]
    return Section(heading=f"Listening to {HELD_OUT}", text="One answer every 5 s over the last 10 s of sound.",
                   table=Table(columns=["time, s", "answer", "confidence", *demo.bundle.labels], rows=rows))
