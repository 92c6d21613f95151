"""Pictures as the contents of files."""

import io

from PIL import Image


def png(image):
    """Returns a Pillow image as the content of a PNG file."""
    return _saved(image, format="PNG")


def jpeg(image):
    """Returns a Pillow image as the content of a JPEG file of high quality."""
    return _saved(image, format="JPEG", quality=92)


def on_white(image):
    """Returns a Pillow image of any mode as RGB; where it is transparent, white shows."""
    image = image.convert("RGBA")
    white = Image.new("RGBA", image.size, "white")
    white.alpha_composite(image)
    return white.convert("RGB")


def _saved(image, **options):
    file = io.BytesIO()
    image.save(file, **options)
    return file.getvalue()
