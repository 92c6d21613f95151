"""Detection and segmentation from a pre-trained backbone."""
