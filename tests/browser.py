"""Headless Chromium at the other end of two pipes: opens a page, asks it, types into it, takes its picture."""

from __future__ import annotations

import base64
import contextlib
import fcntl
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

BROWSER = next(
    (p for name in ("chromium", "chromium-browser", "google-chrome", "chrome") if (p := shutil.which(name))), None
)
OPTIONS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --disable-dev-shm-usage --hide-scrollbars --remote-debugging-pipe"
)


class Browser:
    """Chromium at the other end of two pipes, which speak the DevTools protocol: JSON ended by a zero byte."""

    def __init__(self, folder: Path) -> None:
        assert BROWSER
        ours_in, theirs_out = _pipe()
        theirs_in, ours_out = _pipe()
        line = f'exec "$0" {OPTIONS} --user-data-dir="$1" about:blank 3<&{theirs_in} 4>&{theirs_out}'
        self.process = subprocess.Popen(
            ["bash", "-c", line, BROWSER, str(folder)],
            pass_fds=(theirs_in, theirs_out),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(theirs_in)
        os.close(theirs_out)
        self.reading, self.writing = os.fdopen(ours_in, "rb", buffering=0), os.fdopen(ours_out, "wb", buffering=0)
        self.rest, self.number, self.session = b"", 0, ""
        self.events: list[dict[str, Any]] = []
        try:
            self.attach()
        except BaseException:
            self.close()
            raise

    def attach(self) -> None:
        """To a page of its own, of which everything is reported."""
        target = self("Target.createTarget", url="about:blank")["targetId"]
        self.session = self("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self(f"{domain}.enable")

    def __call__(self, method: str, **parameters: Any) -> dict[str, Any]:
        self.number += 1
        message: dict[str, Any] = {"id": self.number, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        self.writing.write(json.dumps(message).encode() + b"\0")
        while True:
            answer = self.message()
            if answer.get("id") == self.number:
                assert "error" not in answer, answer
                result: dict[str, Any] = answer["result"]
                return result

    def message(self) -> dict[str, Any]:
        while b"\0" not in self.rest:
            more = self.reading.read(1 << 16)
            assert more, "the browser is gone"
            self.rest += more
        one, self.rest = self.rest.split(b"\0", 1)
        answer: dict[str, Any] = json.loads(one)
        if "method" in answer:
            self.events.append(answer)
        return answer

    def open(self, page: Path, width: int = 1280, theme: str = "light") -> None:
        self.events.clear()
        self("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=width < 600)
        self("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": theme}])
        self("Page.navigate", url=page.as_uri())
        while not any(e["method"] == "Page.loadEventFired" for e in self.events):
            self.message()

    def js(self, code: str) -> Any:
        found = self("Runtime.evaluate", expression=code, returnByValue=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def picture(self, y: float | None = None, height: float = 900) -> bytes:
        """A PNG of the window; or of the page's full width from ``y`` on, ``height`` pixels of it."""
        if y is None:
            return base64.b64decode(self("Page.captureScreenshot", format="png")["data"])
        clip = {"x": 0, "y": y, "width": self.js("innerWidth"), "height": height, "scale": 1}
        return base64.b64decode(
            self("Page.captureScreenshot", format="png", clip=clip, captureBeyondViewport=True)["data"]
        )

    def key(self, name: str, code: int) -> None:
        for kind in ("rawKeyDown", "keyUp"):
            self("Input.dispatchKeyEvent", type=kind, key=name, code=name, windowsVirtualKeyCode=code)

    def complaints(self) -> list[str]:
        """What the page said on the console, threw, or asked the network for."""
        bad = []
        for event in self.events:
            what = event["params"]
            if event["method"] in ("Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded"):
                bad.append(json.dumps(what)[:300])
            if event["method"] == "Network.requestWillBeSent" and not what["request"]["url"].startswith(
                ("file:", "data:")
            ):
                bad.append(what["request"]["url"])
        return bad

    def close(self) -> None:
        with contextlib.suppress(OSError, AssertionError):
            self("Browser.close")
        self.reading.close()
        self.writing.close()
        try:
            self.process.wait(timeout=600)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def _pipe() -> list[int]:
    """Both ends of a pipe, above the numbers 3 and 4 on which Chromium speaks."""
    low = os.pipe()
    high = [fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in low]
    for end in low:
        os.close(end)
    return high
