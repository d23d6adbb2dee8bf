"""A browser that looks at pages: Debian's Chromium without a window, driven by Selenium."""

from __future__ import annotations

import contextlib
import importlib
import json
import os
from pathlib import Path

import pytest

CHROMIUM, DRIVER = Path("/usr/bin/chromium"), Path("/usr/bin/chromedriver")
FLAGS = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
FLAGS += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]


class Browser:
    """A browser, and what it noted about the page that is open."""

    def __init__(self, driver):
        self.driver, self.command = driver, driver.execute_cdp_cmd
        self.seen, self.asked = [], []

    def open(self, path, width=1400, scheme="light"):
        """Open a file; collect what is reported of it, and which addresses it asks for."""
        self.resize(width)
        self.prefer(scheme)
        self.driver.get("about:blank")
        for kind in ("browser", "performance"):
            self.driver.get_log(kind)
        self.driver.get(path.as_uri())
        self.run("return document.fonts.ready.then(() => 0)")
        self.seen = [(x["level"], x["message"]) for x in self.driver.get_log("browser")]
        notes = [json.loads(x["message"])["message"] for x in self.driver.get_log("performance")]
        sent = [x["params"] for x in notes if x["method"] == "Network.requestWillBeSent"]
        self.asked = [x["request"]["url"] for x in sent]

    def run(self, program, *arguments):
        """Run a program in the page."""
        return self.driver.execute_script(program, *arguments)

    def resize(self, width):
        """Make the window so wide."""
        metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        self.command("Emulation.setDeviceMetricsOverride", metrics)

    def prefer(self, scheme, medium=""):
        """Say that the reader prefers light or dark, and the medium."""
        feature = {"name": "prefers-color-scheme", "value": scheme}
        self.command("Emulation.setEmulatedMedia", {"media": medium, "features": [feature]})


def missing(what):
    """Skip, unless ELBO_REF_REQUIRE_BROWSER=1 says that it must be there."""
    if os.environ.get("ELBO_REF_REQUIRE_BROWSER") == "1":
        pytest.fail(f"{what} is not installed, and ELBO_REF_REQUIRE_BROWSER=1")
    pytest.skip(f"{what} is not installed")


@contextlib.contextmanager
def browsing(profile):
    """Open a browser, with its profile in a folder, for as long as the context lasts."""
    if importlib.util.find_spec("selenium") is None:
        missing("selenium")
    for program in (CHROMIUM, DRIVER):
        if not program.exists():
            missing(program)
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = str(CHROMIUM)
    for flag in (*FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(str(DRIVER)))
    try:
        yield Browser(driver)
    finally:
        driver.quit()
