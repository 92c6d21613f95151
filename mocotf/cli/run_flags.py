"""The flag that says where a run is, of the commands that write one and of those that read one."""

from mocotf.cli import settings_flags
from mocotf.training.settings import RunDirSettings

settings_flags.define(RunDirSettings)
