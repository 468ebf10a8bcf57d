"""A headless Chromium for tests, told by its debugging protocol over two pipes what to do."""

import base64
import json
import os
import shutil
import subprocess
import sys
import time

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
PATH = next((found for name in NAMES if (found := shutil.which(name))), None)
_SECONDS = 60
_START = """
import fcntl, os, sys
to_it, from_it, *command = sys.argv[1:]
to_it, from_it = (fcntl.fcntl(int(each), fcntl.F_DUPFD, 10) for each in (to_it, from_it))  # not 3 or 4
os.dup2(to_it, 3)
os.dup2(from_it, 4)
os.execv(command[0], command)
"""  # the browser reads from file 3 and writes to file 4


class Chromium:
    """A browser with one page; a context manager.

    Args:
        folder: for its profile.
        width: of the page in pixels.
        height: likewise.
        phone: whether it is a phone, with fingers.
    """

    def __init__(self, folder, width, height=900, *, phone=False):
        to_it, ours = os.pipe()
        theirs, from_it = os.pipe()
        options = [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--no-first-run",
            "--disable-dev-shm-usage",
        ]
        options += ["--remote-debugging-pipe", f"--user-data-dir={folder}", "about:blank"]
        self._process = subprocess.Popen(
            [sys.executable, "-c", _START, str(to_it), str(from_it), PATH, *options],
            pass_fds=(to_it, from_it),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(to_it)
        os.close(from_it)
        self._write, self._read = os.fdopen(ours, "wb"), os.fdopen(theirs, "rb")
        self._number, self._session, self.complaints = 0, None, []
        pages = self.do("Target.getTargets")["targetInfos"]
        page = next(each["targetId"] for each in pages if each["type"] == "page")
        self._session = self.do("Target.attachToTarget", targetId=page, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.do(f"{domain}.enable")
        self.do(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=phone,
        )
        if phone:
            self.do("Emulation.setTouchEmulationEnabled", enabled=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._process.kill()
        self._process.wait()
        self._write.close()
        self._read.close()

    def do(self, method, **params):
        """Call a method of the protocol; what the page complains of meanwhile goes to `complaints`."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        if self._session is not None:
            message["sessionId"] = self._session
        self._write.write(json.dumps(message).encode() + b"\0")
        self._write.flush()
        while True:
            said = self._next()
            if said.get("id") == self._number:
                assert "error" not in said, said
                return said["result"]

    def _next(self):
        found = bytearray()
        while (letter := self._read.read(1)) != b"\0":
            assert letter, "the browser has ended"
            found += letter
        said = json.loads(found)
        if said.get("method") in ("Runtime.exceptionThrown", "Log.entryAdded"):
            self.complaints.append(said["params"])
        return said

    def open(self, path):
        """Open a file, with its scripts run."""
        self.do("Page.navigate", url=path.resolve().as_uri())
        self.wait("document.readyState === 'complete'")

    def js(self, expression):
        """The value of an expression in the page."""
        result = self.do("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def wait(self, expression):
        """Wait until an expression is true."""
        end = time.monotonic() + _SECONDS
        while not self.js(expression):
            assert time.monotonic() < end, f"never true: {expression}"
            time.sleep(0.05)

    def where(self, selector):
        """The centre of an element, scrolled into view."""
        box = self.js(
            f"(() => {{ const node = document.querySelector({json.dumps(selector)}); "
            "node.scrollIntoView({block: 'center'}); const box = node.getBoundingClientRect(); "
            "return [box.x + box.width / 2, box.y + box.height / 2]; })()"
        )
        return {"x": box[0], "y": box[1]}

    def hover(self, selector):
        """Move the mouse over an element."""
        self.do("Input.dispatchMouseEvent", type="mouseMoved", **self.where(selector))

    def click(self, selector):
        """Click on an element."""
        at = self.where(selector)
        for kind in ("mousePressed", "mouseReleased"):
            self.do("Input.dispatchMouseEvent", type=kind, button="left", clickCount=1, **at)

    def tap(self, selector):
        """Touch an element."""
        at = self.where(selector)
        self.do("Input.dispatchTouchEvent", type="touchStart", touchPoints=[at])
        self.do("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])

    def choose(self, name, value):
        """Choose an option of the form."""
        self.js(
            f"(() => {{ const field = document.querySelector('#browse form').elements[{name!r}]; "
            f"field.value = {json.dumps(value)}; "
            "field.dispatchEvent(new Event('input', {bubbles: true})); })()"
        )

    def screenshot(self, path, *, whole=False):
        """Write what is seen, or the whole page, as PNG."""
        shot = self.do("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(shot["data"]))
