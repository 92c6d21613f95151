"""What is left to say at the end of a pre-training run."""

import statistics

from mocotf.evaluation.verdict import Accuracy
from mocotf.evaluation.verdict import judge
from mocotf.evaluation.verdict import last_with
from mocotf.json_files import write_json
from mocotf.tables import counted
from mocotf.training import goodput
from mocotf.training.flags_file import FLAGS_FILE
from mocotf.training.flags_file import read_flags

LAST = ("loss", "chance", "acc1", "acc5")  # of the last record of a step, where it has them
TABLE = {
    "_pixels": "raw pixels",
    "_untrained": "encoder at the start",
    "": "encoder at the end",
}


def finish(run_dir, bad_images):
    """Writes results.json and prints the final table and the verdict; returns the results.

    Args:
        run_dir: the `RunDir` of a run that has reached its end.
        bad_images: its `BadImages`.
    """
    metrics = run_dir.metrics()
    last = last_with("loss", metrics) or metrics[-1]
    speeds = [record["images_per_second"] for record in metrics if "images_per_second" in record]
    results = {"steps": last["step"], **{name: last[name] for name in LAST if name in last}}
    if speeds:
        results["images_per_second"] = statistics.median(speeds)
    if "spent" in last:
        results |= {name: last[name] for name in ("goodput", "spent")}
    results["bad_images"] = len(bad_images.names)
    if accuracy := Accuracy.of(metrics):
        name, title = accuracy.metric.name, accuracy.metric.title
        measured = accuracy.pixels, accuracy.untrained, accuracy.end
        results |= {name + suffix: one.value for suffix, one in zip(TABLE, measured, strict=True)}
        print(f"\n{title:<24}")
        for suffix, row in TABLE.items():
            print(f"{f'  {row}':<24}{results[name + suffix]:6.1f}")
    if "spent" in last:
        print(goodput.describe(last))
    if bad_images.names:
        bad = counted(len(bad_images.names), "image")
        print(f"{bad} did not decode; see {run_dir.file('bad_images.txt')}")
    if verdict := judge(run_dir.path, metrics, read_flags(run_dir.file(FLAGS_FILE))):
        results |= {"learned": verdict.learned, "verdict": verdict.text}
        print(f"\nVerdict: {verdict.text}.")
    write_json(run_dir.file("results.json"), results)
    return results
