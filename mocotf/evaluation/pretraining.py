"""What is left to say at the end of a pre-training run."""

import json
import statistics

from mocotf.training.run_dir import write_whole

LAST = ("loss", "chance", "acc1", "acc5")  # of the last record, where it has them
TABLE = {
    "knn_top1_pixels": "raw pixels",
    "knn_top1_untrained": "encoder at the start",
    "knn_top1": "encoder at the end",
}


def finish(run_dir, bad_images):
    """Writes results.json and prints the final table; returns the results.

    Args:
        run_dir: the `RunDir` of a run that has reached its end.
        bad_images: its `BadImages`.
    """
    metrics = run_dir.metrics()
    first, last = metrics[0], metrics[-1]
    speeds = [record["images_per_second"] for record in metrics if "images_per_second" in record]
    results = {"steps": last["step"], **{name: last[name] for name in LAST if name in last}}
    results |= {"images_per_second": statistics.median(speeds), "bad_images": len(bad_images.names)}
    if "knn_top1" in last and "knn_top1_pixels" in first:
        results |= {
            "knn_top1": last["knn_top1"],
            "knn_top1_untrained": first["knn_top1"],
            "knn_top1_pixels": first["knn_top1_pixels"],
        }
        print(f"\n{'kNN top-1, %':<24}")
        for name, title in TABLE.items():
            print(f"{f'  {title}':<24}{results[name]:6.1f}")
    if bad_images.names:
        print(f"{len(bad_images.names)} images did not decode; see {run_dir.file('bad_images.txt')}")
    write_whole(run_dir.file("results.json"), json.dumps(results, indent=2) + "\n")
    return results
