"""`tests/killed.py` of a run whose rate does not fall to a tenth where --schedule says, but rises
thirtyfold: rising.py MOMENT FLAG…"""

import runpy

from mocotf.optim.schedules import Milestones

Milestones.__init__.__defaults__ = (30,)
runpy.run_path("tests/killed.py", run_name="__main__")
