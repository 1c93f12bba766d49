"""Downloads of official files: only when asked for, whole or not at all, and checked before anything reads them."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

from snnas.hw_sim.errors import InvalidFileError, UnsupportedError
from snnas.hw_sim.files import whole
from snnas.toolchain.data.datasets.catalogue import Official, OfficialFile

SCHEMES = ("https",)
TIMEOUT = 30.0  # seconds without a byte
_CHUNK = 2**20

Say = Callable[[str], None]
Advance = Callable[[int, int], None]


def fetch(
    official: Official, data_dir: Path, *, say: Say = lambda text: None, advance: Advance = lambda done, total: None
) -> Path:
    """Puts the official files that are not there into <data_dir>/<name>, and returns that folder.

    A file takes its name when it is whole and has the size and the checksum of the catalogue; what an interrupted
    download left is dropped, and the next begins anew. advance: takes (bytes, bytes in all or 0). Raises
    UnsupportedError where there is no network or no direct address, InvalidFileError for a file that is not the
    official one.
    """
    folder = data_dir / official.name
    for file in official.files:
        if (folder / file.name).exists() or (folder / file.name.removesuffix(".gz").removesuffix(".zip")).exists():
            say(f"{file.name} is in {folder}")
            continue
        if not file.url:
            raise UnsupportedError(
                f"{file.name} has no direct address: get it by hand from {official.page} and put it into {folder}"
            )
        folder.mkdir(parents=True, exist_ok=True)
        say(f"{file.name} from {file.url}")
        fetch_file(file, folder, advance)
    return folder


def fetch_file(file: OfficialFile, folder: Path, advance: Advance = lambda done, total: None) -> None:
    """Downloads one file into ``folder``, which exists. Raises as ``fetch`` does."""
    by_hand = f"put {file.name} ({file.described()}) into {folder} by hand"
    state = hashlib.md5(usedforsecurity=False)
    done = 0
    limit = file.limit if file.size is None else file.size
    with _network(file, by_hand):
        response = _open(file.url)
    with response, whole(folder / file.name) as target:
        while True:
            with _network(file, by_hand):
                piece = response.read(min(_CHUNK, limit + 1 - done))
            if not piece:
                break
            done += len(piece)
            if done > limit:
                raise InvalidFileError(f"{file.url} gives over {limit} bytes, expected {file.described()}; {by_hand}")
            state.update(piece)
            target.write(piece)
            advance(done, file.size or 0)
        if file.size is not None and done != file.size:
            raise InvalidFileError(
                f"{file.url} gave {done} bytes, expected {file.described()}; try again, or {by_hand}"
            )
        if file.md5 is not None and state.hexdigest() != file.md5:
            raise InvalidFileError(
                f"{file.url} gave a file of {done} bytes with md5 {state.hexdigest()}, expected {file.described()}; "
                f"try again, or {by_hand}"
            )
        # Without a checksum the length that the server announced is all there is against a connection cut short.
        announced = response.headers.get("Content-Length", "")
        if announced.isdigit() and int(announced) != done:
            raise InvalidFileError(f"{file.url} gave {done} of {announced} bytes; try again, or {by_hand}")


@contextlib.contextmanager
def _network(file: OfficialFile, by_hand: str) -> Iterator[None]:
    """Turns what the network raises into one line. A full disk is not its doing, and is raised elsewhere."""
    try:
        yield
    except (OSError, http.client.HTTPException, ValueError) as error:
        if isinstance(error, urllib.error.HTTPError):
            error.close()
        reason = " ".join(str(getattr(error, "reason", error)).split())[:120] or type(error).__name__
        raise UnsupportedError(f"{file.url} cannot be read ({reason}); {by_hand}") from None


class _Redirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, req: Any, fp: IO[bytes], code: int, msg: str, headers: Any, newurl: str) -> Any:
        try:
            _check_scheme(newurl)
        except urllib.error.URLError:
            fp.close()
            raise
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _check_scheme(url: str) -> None:
    if urlsplit(url).scheme not in SCHEMES:
        raise urllib.error.URLError(f"{url[:80]} is not {' or '.join(SCHEMES)}")


def _open(url: str) -> Any:
    _check_scheme(url)
    request = urllib.request.Request(url, headers={"User-Agent": "snnas"})
    return urllib.request.build_opener(_Redirects).open(request, timeout=TIMEOUT)
