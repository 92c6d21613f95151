"""What encoders, and what is trained on them, are measured by on held-out images."""

from mocotf.metrics import Metric

_VOTE = "weighted vote of the nearest training images"
_DETECTIONS = "of detections, mean over IoU .5 to .95 and classes"
_COPY = "other pictures that an augmented copy ranks below its own; chance is 50"
_PIXELS = "raw pixels"
MEASURES = (
    Metric("knn_top1", "evaluation/knn_top1", "kNN top-1, %", _VOTE, "knn_top1_pixels", _PIXELS, "kNN"),
    Metric(
        "retrieval_auc",
        "evaluation/retrieval_auc",
        "Retrieval AUC, %",
        _COPY,
        "retrieval_auc_pixels",
        _PIXELS,
        "retrieval",
    ),
    Metric("top1", "evaluation/top1", "Top-1, %", "of the classifier that is trained", short="top-1"),
    Metric("ap", "evaluation/AP", "AP, %", _DETECTIONS, short="AP"),
    Metric("ap50", "evaluation/AP50"),
    Metric("ap75", "evaluation/AP75"),
    Metric(
        "miou", "evaluation/mIoU", "mIoU, %", "of the segmentation, mean over classes", short="mIoU"
    ),
    Metric("pixel_accuracy", "evaluation/pixel_accuracy"),
)
