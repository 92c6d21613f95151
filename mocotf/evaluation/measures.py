"""What encoders, and what is trained on them, are measured by on held-out images."""

from mocotf.training.metrics import Metric

MEASURES = (
    Metric(
        "knn_top1",
        "evaluation/knn_top1",
        "kNN top-1, %",
        "weighted vote of the nearest training images",
        "knn_top1_pixels",
        "raw pixels",
        percent=True,
        short="kNN",
        measured=True,
    ),
    Metric(
        "top1",
        "evaluation/top1",
        "Top-1, %",
        "of the classifier that is trained",
        percent=True,
        short="top-1",
        measured=True,
    ),
    Metric(
        "ap",
        "evaluation/AP",
        "AP, %",
        "of detections, mean over IoU .5 to .95 and classes",
        percent=True,
        short="AP",
        measured=True,
    ),
    Metric("ap50", "evaluation/AP50"),
    Metric("ap75", "evaluation/AP75"),
    Metric(
        "miou",
        "evaluation/mIoU",
        "mIoU, %",
        "of the segmentation, mean over classes",
        percent=True,
        short="mIoU",
        measured=True,
    ),
    Metric("pixel_accuracy", "evaluation/pixel_accuracy"),
)
