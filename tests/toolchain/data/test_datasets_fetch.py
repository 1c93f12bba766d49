import gzip
import hashlib
import http.server
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from snnas.hw_sim.errors import InvalidFileError, UnsupportedError
from snnas.toolchain.data import load as data
from snnas.toolchain.data.datasets import catalogue, fetch
from snnas.toolchain.data.datasets.catalogue import OfficialFile
from tests import official_files
from tests.official_files import expect


class Server:
    """A server of this machine: {path: content}, what was asked of it, and what it promises beyond what it gives."""

    def __init__(self) -> None:
        self.content: dict[str, bytes] = {}
        self.asked: list[str] = []
        self.promised = 0
        self.redirect = ""
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.asked.append(self.path)
                if self.path == "/moved":
                    self.send_response(302)
                    self.send_header("Location", outer.redirect)
                    self.end_headers()
                    return
                body = outer.content.get(self.path)
                self.send_response(404 if body is None else 200)
                self.send_header("Content-Length", str(len(body or b"") + outer.promised))
                self.end_headers()
                self.wfile.write(body or b"")

            def log_message(self, *args: object) -> None: ...

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(fetch, "SCHEMES", ("https", "http"))
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    made = Server()
    thread = threading.Thread(target=made.http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield made
    made.http.shutdown()
    thread.join()
    made.http.server_close()


def published(server: Server, **changes: object) -> OfficialFile:
    content = b"official" * 1000
    server.content["/it.zip"] = content
    about = {
        "name": "it.zip",
        "size": len(content),
        "md5": hashlib.md5(content).hexdigest(),
        "url": f"{server.url}/it.zip",
    }
    return OfficialFile(**{**about, **changes})


def test_a_file_comes_whole_and_checked(tmp_path: Path, server: Server) -> None:
    seen: list[tuple[int, int]] = []
    fetch.fetch_file(published(server), tmp_path, lambda *a: seen.append(a))
    assert (tmp_path / "it.zip").read_bytes() == b"official" * 1000
    assert seen[-1] == (8000, 8000)
    server.redirect = f"{server.url}/it.zip"
    fetch.fetch_file(published(server, name="other.zip", url=f"{server.url}/moved"), tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["it.zip", "other.zip"]


@pytest.mark.parametrize(
    ("changes", "promised", "error", "words"),
    [
        (
            {"md5": "0" * 32},
            0,
            InvalidFileError,
            "gave a file of 8000 bytes with md5 .*, expected 8000 bytes, md5 0000",
        ),
        ({"size": 8001}, 0, InvalidFileError, "gave 8000 bytes, expected 8001 bytes"),
        ({"size": 7999}, 0, InvalidFileError, "gives over 7999 bytes"),
        ({"size": None, "md5": None, "limit": 5000}, 0, InvalidFileError, "gives over 5000 bytes"),
        ({"size": None, "md5": None}, 9, InvalidFileError, "gave 8000 of 8009 bytes"),
        ({"url": "/absent"}, 0, UnsupportedError, "cannot be read .*Not Found"),
        ({"url": "http://127.0.0.1:1/it.zip"}, 0, UnsupportedError, r"cannot be read \(.*refused"),
        ({"url": "file:///etc/passwd"}, 0, UnsupportedError, "is not https"),
        ({"url": "/moved"}, 0, UnsupportedError, "ftp://127.0.0.1/it.zip is not https"),
    ],
)
def test_a_download_that_fails_leaves_nothing(
    tmp_path: Path, server: Server, changes: dict, promised: int, error: type, words: str
) -> None:
    server.promised, server.redirect = promised, "ftp://127.0.0.1/it.zip"
    file = published(server, **changes)
    file = replace(file, url=server.url + file.url) if file.url.startswith("/") else file
    with pytest.raises(error, match=words) as caught:
        fetch.fetch_file(file, tmp_path)
    assert f"into {tmp_path} by hand" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_only_https_is_spoken(tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch, "SCHEMES", ("https",))
    with pytest.raises(UnsupportedError, match="is not https"):
        fetch.fetch_file(published(server), tmp_path)
    assert not server.asked
    assert all(f.url.startswith("https://") for o in catalogue.SETS.values() for f in o.files if f.url)


def test_load_fetches_what_is_missing_and_only_when_asked(
    tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    official = expect(monkeypatch, "mnist", train=40, test=20)
    official_files.mnist(tmp_path / "there")
    files = []
    for file in official.files:
        content = (tmp_path / "there" / file.name).read_bytes()
        server.content[f"/{file.name}"] = content
        md5 = hashlib.md5(content).hexdigest()
        files.append(replace(file, url=f"{server.url}/{file.name}", size=len(content), md5=md5))
    monkeypatch.setitem(catalogue.SETS, "mnist", replace(official, files=tuple(files)))
    with pytest.raises(InvalidFileError, match="snnas data fetch mnist"):
        data.load("mnist", seed=0, data_dir=tmp_path / "here")
    assert not server.asked
    (tmp_path / "here/mnist").mkdir(parents=True)
    labels = gzip.decompress(server.content["/t10k-labels-idx1-ubyte.gz"])
    (tmp_path / "here/mnist/t10k-labels-idx1-ubyte").write_bytes(labels)  # unpacked by the user
    loaded = data.load("mnist", seed=0, data_dir=tmp_path / "here", download=True)
    assert loaded.digest == data.load("mnist", seed=0, data_dir=tmp_path / "there").digest
    assert server.asked == [f"/{file.name}" for file in files[:3]]
    data.load("mnist", seed=0, data_dir=tmp_path / "here", download=True)
    assert len(server.asked) == 3


def test_what_has_no_address_is_got_by_hand(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError, match=r"DvsGesture\.tar\.gz has no direct address: get it by hand from https"):
        data.load("dvs128_gesture", seed=0, data_dir=tmp_path, download=True)
    with pytest.raises(
        InvalidFileError,
        match=r"is not in .*; say where it is with SNNAS_DATA or --data data_dir=DIR, put it there by hand from https://ibm",
    ):
        data.load("dvs128_gesture", seed=0, data_dir=tmp_path)
