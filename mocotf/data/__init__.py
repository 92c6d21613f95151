"""Images in: sources, two-crop pipeline, augmentation."""
