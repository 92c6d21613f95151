"""Files of COCO's format with values that are none end in one line for the user."""

import json

import pytest

from mocotf.errors import UserError
from mocotf.transfer import coco


@pytest.mark.parametrize("bbox", [[1, 2, 3], [1, 2, 3, 4, 5], None, "box", [1, 2, None, 4]])
def test_malformed_box(tmp_path, bbox):
    _refused(tmp_path, {"id": 1, "file_name": "a.jpg", "height": 8, "width": 8}, bbox)


def test_malformed_width(tmp_path):
    _refused(tmp_path, {"id": 1, "file_name": "a.jpg", "height": 8, "width": None}, [0, 0, 4, 4])


def _refused(tmp_path, image, bbox):
    (tmp_path / "a.jpg").touch()
    path = tmp_path / "boxes.json"
    annotations = [{"image_id": 1, "category_id": 1, "bbox": bbox}]
    categories = [{"id": 1, "name": "thing"}]
    content = {"images": [image], "annotations": annotations, "categories": categories}
    path.write_text(json.dumps(content))
    with pytest.raises(UserError, match="COCO's format"):
        coco.read(str(tmp_path), str(path), str(path))
