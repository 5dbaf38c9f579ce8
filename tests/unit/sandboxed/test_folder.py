"""The folder that cells stand in."""

import os

from sandbox_kernel.sandboxed import folder


def test_a_signal_that_interrupts_the_step_out_does_not_stop_it(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    here, interrupted = folder.Folder(), []

    def change(path):
        if len(interrupted) < 2:
            interrupted.append(path)
            raise InterruptedError
        os.chdir(path)

    monkeypatch.setattr(folder, "_plain_change", change)
    here.leave()
    assert (os.getcwd(), interrupted) == ("/", ["/", "/"])
    here.enter()
    assert os.getcwd() == str(tmp_path)
