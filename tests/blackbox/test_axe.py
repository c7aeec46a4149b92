# SPDX-License-Identifier: Apache-2.0
"""Where the checks of accessibility get their tool from, and what a run without it says."""

import functools
import http.server
import threading

import pytest

import axe
from harness import HOST, closed_port


@pytest.fixture
def alone(tmp_path, monkeypatch):
    """A machine without npm and without what an earlier run kept."""
    monkeypatch.setattr(axe, "KEPT", tmp_path / "kept" / "axe.tgz")
    monkeypatch.setattr(axe.shutil, "which", lambda name: None)
    monkeypatch.delenv("TNX_AXE", raising=False)
    monkeypatch.delenv("CI", raising=False)
    with closed_port() as port:
        monkeypatch.setenv("npm_config_registry", f"http://{HOST}:{port}")
        yield monkeypatch


@pytest.mark.parametrize("ci", ["", "true"])
def test_a_run_that_cannot_fetch_axe_says_that_it_has_not_looked(alone, ci):
    alone.setenv("CI", ci)
    with pytest.raises(pytest.skip.Exception, match="no axe-core"):
        axe.script()


def test_another_archive_than_the_one_asked_for_is_refused(alone, tmp_path):
    archive = tmp_path / "axe-core" / "-" / f"axe-core-{axe.VERSION}.tgz"
    archive.parent.mkdir(parents=True)
    archive.write_bytes(b"something else")
    serve = functools.partial(http.server.SimpleHTTPRequestHandler, directory=tmp_path)
    with http.server.ThreadingHTTPServer((HOST, 0), serve) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        alone.setenv("npm_config_registry", f"http://{HOST}:{server.server_port}")
        with pytest.raises(axe.WrongArchive):
            axe.script()
        assert not axe.KEPT.exists()
        server.shutdown()


def test_a_file_that_is_there_is_taken(alone, tmp_path):
    path = tmp_path / "axe.min.js"
    path.write_text("window.axe = 1")
    alone.setenv("TNX_AXE", str(path))
    assert axe.script() == "window.axe = 1"
