"""What stands in for mocotf.train where it is tested how programs start runs and end them."""

import os
import signal
import sys
import time

place = sys.argv[-1].partition("=")[2]  # of the run


def save(*_):
    with open(f"{place}.ended.{os.getpid()}", "w"):
        print("saved", flush=True)  # where anybody listens
    sys.exit(143)


signal.signal(signal.SIGTERM, save)
print("flags", *sys.argv[1:], flush=True)
if "--fail" in sys.argv and '"index": 1' in os.environ["TF_CONFIG"]:
    while not os.path.exists(f"{place}.begun"):
        time.sleep(0.01)
    sys.exit(3)
if "--refuse" in sys.argv:
    sys.exit(2)
if "--dies" in sys.argv and '"index": 0' in os.environ["TF_CONFIG"]:
    done = len(os.listdir(f"{place}/checkpoints")) if os.path.exists(place) else 0
    if done < 2:  # the first start and the second save something new, and the later ones do not
        os.makedirs(f"{place}/checkpoints", exist_ok=True)
        open(f"{place}/checkpoints/ckpt-{done + 1}0.index", "w").close()
    os.kill(os.getpid(), signal.SIGKILL)
if "--steps=1" not in sys.argv:
    with open(f"{place}.begun", "w"):
        time.sleep(600)
