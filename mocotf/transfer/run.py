"""A transfer run, and several of them side by side: detection or segmentation from some start."""

import dataclasses
import os
import re

import keras

from mocotf import terminal
from mocotf.data.sources.base import Order
from mocotf.evaluation.evaluation_json import add_to_evaluation
from mocotf.evaluation.measures import MEASURES
from mocotf.files import atomic_write
from mocotf.json_files import read_json
from mocotf.json_files import write_json
from mocotf.settings import texts_of
from mocotf.settings import with_values
from mocotf.training.checkpoints import Checkpoints
from mocotf.training.checkpoints import digest
from mocotf.training.fit import compile_trainer
from mocotf.training.pictures import keep_picture
from mocotf.training.progress import Course
from mocotf.training.run import Run
from mocotf.training.run_dir import RunDir
from mocotf.training.settings import TrainingSettings
from mocotf.training.tracker import connect
from mocotf.transfer.compare import table
from mocotf.transfer.job import Job


@dataclasses.dataclass(frozen=True)
class Transfer:
    """What a run has, whatever it starts from.

    Attributes:
        job: a `Job`.
        course: a `Course`.
        settings: `TrainingSettings`.
        lr_scales: see `SGD`.
        strategy: a `tf.distribute` strategy.
        saved: all `Settings` of a run.
    """

    job: Job
    course: Course
    settings: TrainingSettings
    lr_scales: dict[str, float]
    strategy: object
    saved: tuple

    def train(self, start, model_dir, seed, *, compared=False):
        """Trains one model, resuming what was stopped; returns its results.

        Args:
            start: a `Start`.
            model_dir: of the run.
            seed: of the run's random draws.
            compared: it is one of several: a complete one stays, and no accuracy is entered into the
                evaluation.json of the run that it starts from.
        """
        with connect(self.settings.run.tracker) as tracker:
            results = self._train(start, model_dir, seed, compared, tracker)
            tracker.summarise(results)
        return results

    def _train(self, start, model_dir, seed, compared, tracker):
        job, course = self.job, self.course
        first = next(iter(job.accuracies))
        own = {"seed": seed, "untrained": not start.trained}
        own["pretrained"] = start.name if start.trained else start.run.path
        saved = with_values(self.saved, own)
        decisive = job.facts() | {
            "start": digest(start.checkpoint),
            "replicas": self.strategy.num_replicas_in_sync,
        }
        run_dir = RunDir(model_dir, saved, decisive)
        if compared and os.path.exists(run_dir.file("results.json")):
            print("is complete")
            needed = {f"{job.name}_{name}": int | float for name in job.accuracies}
            return read_json(run_dir.file("results.json"), needed)
        keras.utils.clear_session()
        keras.utils.set_random_seed(seed)
        keras.config.set_dtype_policy(job.precision)
        with terminal.phase("building the model"), self.strategy.scope():
            model = job.build(start, seed)
            compile_trainer(model, self.settings, course.schedule, self.lr_scales)

        def measure(step):
            with terminal.phase("measuring", job.images.test_size):
                measured = job.measure(model, start.view)
                if (picture := job.picture(model, start.view)) is not None:
                    keep_picture(run_dir, job.name, step, picture)
            return measured

        order = Order(seed, course.batch_size, course.steps_per_epoch)
        Run(
            model,
            course,
            lambda step: job.batches(start.view, order, step),
            job.bad_images,
            Checkpoints(run_dir.file("checkpoints"), model, course.keep),
            run_dir,
            measure=measure,
            measures=MEASURES,
            accuracy=first,
            settings=texts_of(saved),
            about=f"{job.name}, from {start.name}",
            tracker=tracker,
        ).train()

        last = [record for record in run_dir.metrics() if first in record][-1]
        results = {f"{job.name}_{name}": last[name] for name in job.accuracies}
        results |= {"images": job.images.size, "steps": model.step, "start": start.name}
        results |= {"bad_images": len(job.bad_images.names)}
        write_json(run_dir.file("results.json"), results)
        if made := job.finish(model, start):
            results |= made
            write_json(run_dir.file("results.json"), results)
        shown = ", ".join(f"{heading} {last[name]:.2f}" for name, heading in job.accuracies.items())
        print(f"{job.name}: {shown}, from {start.name}; {run_dir.path}")
        if not compared and not start.run.base:
            add_to_evaluation(start.run, {f"{job.name}_{first}": last[first]}, trained=start.trained)
        return results

    def compare(self, starts, model_dir, seeds):
        """Trains from every start with every seed, prints the table, and writes it to a folder.

        Args:
            starts: `Start`s; gains are over the first.
            model_dir: the folder, in which each run has one of its own; what is complete stays.
            seeds: ints.

        Returns:
            What the table was made of: `seeds`, `images`, and `starts`, name → accuracies by seed.
        """
        job, rows = self.job, {start.name: [] for start in starts}
        for seed in seeds:
            for start in starts:
                name = re.sub(r"[^\w.-]+", "_", start.name)
                folder = os.path.join(model_dir, f"{name}-seed{seed}")
                print(f"\n{start.name}, seed {seed}: {folder}", flush=True)
                found = self.train(start, folder, seed, compared=True)
                rows[start.name].append({name: found[f"{job.name}_{name}"] for name in job.accuracies})
        text = table(job.accuracies, rows)
        results = {"seeds": seeds, "images": job.images.size, "starts": rows}
        atomic_write(os.path.join(model_dir, "comparison.md"), text)
        write_json(os.path.join(model_dir, "comparison.json"), results)
        print(
            f"\n{text}\nmean ± standard deviation over seeds {', '.join(map(str, seeds))}; also in "
            f"{model_dir}/comparison.md"
        )
        return results
