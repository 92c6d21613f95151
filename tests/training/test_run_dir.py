"""The run directory refuses what is not its own run."""

import dataclasses
import json
import re

import pytest

from mocotf.errors import UserError
from mocotf.json_files import read_json
from mocotf.settings import Settings
from mocotf.settings import setting
from mocotf.training import run_dir as run_dir_module
from mocotf.training.flags_file import accept_flags
from mocotf.training.flags_file import read_flags
from mocotf.training.history import read_history
from mocotf.training.run_dir import RunDir


@dataclasses.dataclass(frozen=True)
class Example(Settings):
    """Settings of a run."""

    GROUP = "Example"

    arch: str = setting("resnet18", "A text.", formerly={"old": "resnet18"})
    schedule: tuple[float, ...] = setting((120.0, 160.0), "Numbers.")
    mlp: bool = setting(True, "A switch.")
    ops: str = setting("new", "What came later.", before="plain")
    log_every: int = setting(10, "What may change.", neutral=True)
    place: str = setting("here", "Where it is.", place=True)


RUN = [Example()]
TEXTS = {"arch": "resnet18", "schedule": "120,160", "mlp": "true", "ops": "new", "log_every": "10"}


def test_writes_the_settings_and_recognises_them(tmp_path):
    path = str(tmp_path / "runs" / "a")
    assert not RunDir(path, RUN).resuming
    assert read_flags(f"{path}/flags.cfg") == TEXTS
    assert RunDir(path, [Example(log_every=50, place="there")]).resuming


def test_refuses_another_run_and_names_the_difference(tmp_path):
    RunDir(str(tmp_path), RUN)
    with pytest.raises(UserError, match=r"another run \(--arch=resnet18 there, resnet50 here\)"):
        RunDir(str(tmp_path), [Example(arch="resnet50")])
    (tmp_path / "flags.cfg").write_text("--momentun=1\n")
    with pytest.raises(UserError, match=r"--momentun=1 there, \(unset\) here"):
        RunDir(str(tmp_path), [Example(ops="plain")])


def test_a_run_of_an_earlier_release_is_what_it_was(tmp_path):
    (tmp_path / "flags.cfg").write_text("--arch=old\n--schedule=120.0,160\n")
    assert RunDir(str(tmp_path), [Example(ops="plain")]).resuming
    with pytest.raises(UserError, match=r"--ops=plain there, new here"):
        RunDir(str(tmp_path / "."), RUN)


def test_a_file_that_an_editor_of_windows_saved_is_the_same_run(tmp_path):
    RunDir(str(tmp_path), RUN)
    text = (tmp_path / "flags.cfg").read_text()
    (tmp_path / "flags.cfg").write_bytes(f"\ufeff# comment\n{text}".replace("\n", "\r\n").encode())
    assert read_flags(tmp_path / "flags.cfg") == TEXTS and RunDir(str(tmp_path), RUN).resuming


def test_a_value_that_is_none_is_told_with_its_file(tmp_path):
    (tmp_path / "flags.cfg").write_text("--mlp=maybe\n")
    with pytest.raises(UserError, match=r"flags.cfg: --mlp=maybe: expected true or false"):
        RunDir(str(tmp_path), RUN)


def test_refuses_a_folder_of_something_else(tmp_path):
    (tmp_path / "thesis.tex").write_text("")
    with pytest.raises(UserError, match=r"no flags.cfg.*expected a new or empty folder"):
        RunDir(str(tmp_path), RUN)
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.tex"]


def test_replicas_and_images_may_not_change(tmp_path):
    facts = {"replicas": 2, "images": 100}
    RunDir(str(tmp_path), RUN, facts)
    with pytest.raises(UserError, match=r"replicas=2 there, 4 here"):
        RunDir(str(tmp_path), RUN, facts | {"replicas": 4})


def test_a_second_process_on_the_folder_is_refused(tmp_path):
    first = RunDir(str(tmp_path), RUN)
    with pytest.raises(UserError, match="another process is running it"):
        RunDir(first.path, RUN)


def test_a_refused_start_does_not_keep_the_folder_from_a_better_one(tmp_path):
    RunDir(str(tmp_path), RUN, {"replicas": 1}).close()
    with pytest.raises(UserError, match="replicas") as kept:  # as a notebook keeps what was raised
        RunDir(str(tmp_path), RUN, {"replicas": 2})
    RunDir(str(tmp_path), RUN, {"replicas": 1}).close()
    assert kept.traceback


def test_what_a_run_was_chosen_by_is_there_before_it_is_a_run(tmp_path, monkeypatch):
    def full(*_):
        raise UserError("no space")

    monkeypatch.setattr(run_dir_module, "write_flags", full)
    with pytest.raises(UserError, match="no space"):
        RunDir(str(tmp_path), RUN, recipe={"minutes": 10})
    monkeypatch.undo()
    again = RunDir(str(tmp_path), RUN, recipe={"minutes": 10})
    assert not again.resuming and read_json(again.file("recipe.json")) == {"minutes": 10}


def test_a_process_killed_while_creating_the_run_does_not_block_it(tmp_path):
    for name in ("flags.cfg.partial", "facts.json", "lock"):
        (tmp_path / name).write_text("--ar")
    assert not RunDir(str(tmp_path), RUN).resuming


def test_a_path_that_cannot_be_a_folder_is_refused_in_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(UserError, match="expected a folder that can be written"):
            RunDir(str(path), RUN)


def test_forgets_metrics_after_a_step_and_a_line_cut_short(tmp_path):
    run_dir = RunDir(str(tmp_path), RUN)
    lines = [json.dumps({"step": step, "time": 1.5}) for step in (0, 10, 20)]
    (tmp_path / "metrics.jsonl").write_text("\n".join(lines) + '\n\n\0\0\n{"a": 1}\n{"step": 3')
    assert [r["step"] for r in run_dir.metrics()] == [0, 10, 20]
    run_dir.forget_after(10)
    assert run_dir.metrics(whole=True) == [{"step": step, "time": 1.5} for step in (0, 10)]
    with open(tmp_path / "metrics.jsonl", "a") as file:
        file.write('{"step": 1')  # a process killed as it wrote
    assert len(run_dir.metrics(whole=True)) == 2
    run_dir.forget_after(0, {"step": 0, "retry": 1})
    assert [(r["step"], r.get("retry")) for r in run_dir.metrics()] == [(0, None), (0, 1)]


def test_an_edited_flags_cfg_is_told_and_used_once_accepted(tmp_path):
    RunDir(str(tmp_path), RUN)
    path = tmp_path / "flags.cfg"
    path.write_text("# mine\n" + path.read_text().replace("log_every=10", "log_every=20"))
    with pytest.raises(UserError, match=r"was changed since .* give --accept_changed_flags to the"):
        read_flags(path)
    accept_flags(str(path))
    assert read_flags(path) == TEXTS | {"log_every": "20"} and "# mine\n" in path.read_text()
    path.write_text(re.sub("# digest.*\n", "", path.read_text()))  # the other way
    assert read_flags(path) == TEXTS | {"log_every": "20"} and RunDir(str(tmp_path), RUN).resuming


def test_a_folder_that_is_a_link_is_not_written_to(tmp_path):
    RunDir(str(tmp_path / "run"), RUN)
    (tmp_path / "other").mkdir()
    (tmp_path / "run" / "checkpoints").mkdir()
    for name in ("pictures", "checkpoints/best"):
        link = tmp_path / "run" / name
        link.symlink_to(tmp_path / "other")
        with pytest.raises(UserError, match=f"{name}: is a link; expected a folder of this run"):
            RunDir(str(tmp_path / "run"), RUN)
        link.unlink()
    (tmp_path / "linked").symlink_to(tmp_path / "run")  # all of it may be
    assert RunDir(str(tmp_path / "linked"), RUN).resuming


@pytest.mark.parametrize("text", ["photos ", "two\nlines", "two\x85lines"])
def test_settings_that_a_line_does_not_give_back_are_refused(tmp_path, text):
    with pytest.raises(UserError, match=r"--arch='.*a line each; expected none that ends in a blank"):
        RunDir(str(tmp_path / "a"), [Example(arch=text)])
    resume(tmp_path / "c", RUN)
    with pytest.raises(UserError, match="a line each"):
        resume(tmp_path / "c", [Example(arch=text)], changes=True)
    assert RunDir(str(tmp_path / "b"), [Example(arch=" photos of two ; #1")]).resuming is False
    assert RunDir(str(tmp_path / "b"), [Example(arch=" photos of two ; #1")]).resuming


FACTS = {"replicas": 2, "images": 100}
OTHER = [Example(arch="resnet50", schedule=(60.0,))]


def resume(path, settings, facts=FACTS, **options):
    """Returns the run directory of a process that goes on with it."""
    run_dir = RunDir(str(path), settings, facts, **options)
    run_dir._lock.close()  # as its end would
    return run_dir


def test_changes_are_kept_beside_the_settings_that_hold_now(tmp_path, capsys):
    resume(tmp_path, RUN)
    with pytest.raises(UserError, match=r"to resume it, --resume_with_changes to go on with these, or"):
        resume(tmp_path, OTHER, changes=False)
    with pytest.raises(UserError, match=r"to resume it, or another folder"):
        resume(tmp_path, OTHER)  # who trains so does not offer it
    before = (tmp_path / "flags.cfg").read_text()
    run_dir = resume(tmp_path, OTHER, FACTS | {"replicas": 4}, changes=True)
    assert run_dir.altered and (tmp_path / "flags.cfg").read_text() == before  # until a checkpoint fits
    run_dir.keep_changes(40)
    words = "--arch=resnet18 to resnet50, --schedule=120,160 to 60, replicas=2 to 4"
    assert capsys.readouterr().out == f"changed from step 40 on: {words}\n"
    (change,) = read_history(tmp_path / "flags.cfg")
    assert (change["step"], change["changes"]["replicas"]) == (40, [2, 4])
    assert read_flags(tmp_path / "flags.cfg")["arch"] == "resnet50"
    assert read_json(tmp_path / "facts.json") == FACTS | {"replicas": 4}
    run_dir = resume(tmp_path, RUN, FACTS | {"replicas": 4}, changes=True)
    run_dir.keep_changes(50)
    assert [change["step"] for change in read_history(tmp_path / "flags.cfg")] == [40, 50]


def test_a_process_killed_between_the_files_has_changed_both(tmp_path, monkeypatch):
    resume(tmp_path, RUN)

    def killed_before_facts(path, content):
        raise KeyboardInterrupt

    monkeypatch.setattr(run_dir_module, "write_json", killed_before_facts)
    with pytest.raises(KeyboardInterrupt):
        resume(tmp_path, OTHER, FACTS | {"replicas": 4}, changes=True).keep_changes(40)
    monkeypatch.undo()
    assert not resume(tmp_path, OTHER, FACTS | {"replicas": 4}).changes
    with pytest.raises(UserError, match=r"replicas=4 there, 2 here"):
        resume(tmp_path, OTHER)


def test_what_follows_may_be_another_and_is_no_alteration(tmp_path):
    resume(tmp_path, RUN)
    run_dir = resume(tmp_path, RUN, FACTS | {"replicas": 1}, follows=("--arch", "replicas"))
    assert run_dir.changes == {"replicas": (2, 1)} and not run_dir.altered


def test_another_number_of_workers_is_refused_unless_it_is_asked_for(tmp_path):
    facts = {"replicas": 2, "workers": 1}
    RunDir(str(tmp_path), RUN, facts).close()
    follows = "--bn_splits", "replicas"
    with pytest.raises(UserError, match="workers=1 there, 2 here.*--resume_with_changes"):
        RunDir(str(tmp_path), RUN, facts | {"workers": 2}, follows=follows, changes=False)
    RunDir(str(tmp_path), RUN, facts | {"workers": 2}, follows=follows, changes=True).close()


def test_images_may_not_change_whatever_is_asked_for(tmp_path):
    resume(tmp_path, RUN)
    with pytest.raises(UserError, match=r"images=100 there, 99 here\); .* to resume it, or another"):
        resume(tmp_path, RUN, FACTS | {"images": 99}, changes=True)


def test_changes_of_nothing_are_told_and_changes_of_no_run_refused(tmp_path, caplog):
    with pytest.raises(UserError, match="there is no run; expected one that was begun"):
        resume(tmp_path / "typo", RUN, changes=True)
    assert not (tmp_path / "typo").exists()
    resume(tmp_path, RUN)
    assert resume(tmp_path, RUN, changes=True).resuming and "nothing is changed" in caplog.text


@pytest.mark.parametrize(
    "line",
    [
        '{"step": 4',
        "[]",
        '{"step": 4, "time": 0, "changes": {}, "digest": "crc32:00000000"}',
        '{"step": 4, "time": 0, "changes": {"--arch": ["one"]}}',
    ],
)
def test_a_damaged_line_of_the_history_is_told(tmp_path, line):
    resume(tmp_path, RUN)
    with open(tmp_path / "flags.cfg", "a") as file:
        file.write(f"# changed {line}\n")
    with pytest.raises(UserError, match=r"flags.cfg, line 7: .*; expected a change of the run in JSON"):
        resume(tmp_path, RUN)
