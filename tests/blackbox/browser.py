# SPDX-License-Identifier: Apache-2.0
"""Headless Chromium, driven as a person would: by what is read on the page. Every wait is for
something to appear, and has a deadline."""

import base64
import contextlib
import shutil
import tempfile
from pathlib import Path

from selenium import webdriver
from selenium.common.exceptions import (
    ElementClickInterceptedException,
    ElementNotInteractableException,
    NoSuchElementException,
    StaleElementReferenceException,
    TimeoutException,
)
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from harness import DEADLINE

FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
         "--disable-background-networking", "--disable-component-update", "--disable-sync",
         "--disable-dev-shm-usage", "--lang=en-GB", "--hide-scrollbars")
# What a page says that is still changing: it is gone, or behind a dialog that closes.
NOT_YET = (
    ElementClickInterceptedException,
    ElementNotInteractableException,
    NoSuchElementException,
    StaleElementReferenceException,
)
DESKTOP = (1280, 860)
PHONE = (390, 844)


class Browser:
    """One window with a profile of its own. Use as a context."""

    def __init__(self, size=DESKTOP, dark=False):
        self.profile = tempfile.mkdtemp(prefix="tnx-browser-")
        options = Options()
        options.binary_location = "/usr/bin/chromium"
        for flag in (*FLAGS, f"--user-data-dir={self.profile}", f"--window-size={size[0]},{size[1]}"):
            options.add_argument(flag)
        if dark:
            options.add_argument("--force-dark-mode")
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        self.driver = webdriver.Chrome(service=Service("/usr/bin/chromedriver"), options=options)
        self.driver.set_script_timeout(DEADLINE)
        self.resize(size)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        with contextlib.suppress(Exception):
            self.driver.quit()
        shutil.rmtree(self.profile, ignore_errors=True)

    def resize(self, size):
        """The page's own size, to the pixel."""
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {
            "width": size[0], "height": size[1], "deviceScaleFactor": 1, "mobile": size[0] < 600})

    def turn(self, theme):
        """The page, light or dark."""
        self.driver.execute_script("document.documentElement.dataset.theme = arguments[0]", theme)
        self.wait(lambda: not self.driver.execute_script("return document.getAnimations().length"), "theme")

    def open(self, url):
        self.driver.get(url)

    def wait(self, condition, what):
        def look(_):
            try:
                return condition()
            except NOT_YET:
                return False

        try:
            return WebDriverWait(self.driver, DEADLINE, 0.1).until(look)
        except TimeoutException:
            shown = "\n".join([self.text(), *self.errors()])
            raise AssertionError(f"no {what} on the page:\n{shown}") from None

    def text(self):
        return self.driver.find_element(By.TAG_NAME, "body").text

    def all(self, css):
        return [e for e in self.driver.find_elements(By.CSS_SELECTOR, css) if e.is_displayed()]

    def find(self, css, text=""):
        """The first visible element that matches and contains the text."""
        return self.wait(lambda: next((e for e in self.all(css) if text in e.text), None), f"{css} with “{text}”")

    def read(self, text):
        """Waits for the text to be read anywhere."""
        self.wait(lambda: text in self.text(), f"“{text}”")

    def gone(self, css):
        self.wait(lambda: not self.all(css), f"end of {css}")

    def click(self, css, text=""):
        def press():
            for element in self.all(css):
                if text in element.text:
                    element.click()
                    return True
            return False

        self.wait(press, f"{css} with “{text}” to click")

    def type(self, label, text):
        """Into the input with this label (its own, or its aria-label)."""
        def field():
            for e in self.all("label[for]"):
                if e.text.strip() == label:
                    return self.driver.find_element(By.ID, e.get_attribute("for"))
            return next(iter(self.all(f'[aria-label="{label}"]')), None)

        def write():
            element = field()
            if element is not None:
                element.clear()
                element.send_keys(text)
            return element

        return self.wait(write, f"input “{label}” to type into")

    def errors(self):
        """What the browser complained about: errors of scripts, refusals of the CSP."""
        return [e["message"] for e in self.driver.get_log("browser")
                if e["level"] == "SEVERE" and "status of 4" not in e["message"]]

    def keep_copied(self):
        """What is copied from here on can be read with copied(): a headless browser's clipboard
        has nobody to ask for permission."""
        self.driver.execute_script(
            "window.copiedText = null; Object.defineProperty(navigator, 'clipboard', {configurable: true, value:"
            "{writeText: text => { window.copiedText = text; return Promise.resolve(); }}});")

    def copied(self):
        return self.wait(lambda: self.driver.execute_script("return window.copiedText"), "copied text")

    def accept_alert(self):
        self.wait(lambda: self.driver.switch_to.alert, "question").accept()

    def screenshot(self, path: Path, whole=True):
        size = self.driver.execute_cdp_cmd("Page.getLayoutMetrics", {})["cssContentSize"]
        clip = {"captureBeyondViewport": True, "clip": {"x": 0, "y": 0, "width": size["width"],
                "height": min(size["height"], 1600), "scale": 1}} if whole else {}
        data = self.driver.execute_cdp_cmd("Page.captureScreenshot", {"format": "png", **clip})["data"]
        path.write_bytes(base64.b64decode(data))
