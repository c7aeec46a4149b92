#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Takes the screenshots in docs/pages: a relay with some buildings, its login, the pages of an agent, a
headless Chromium.

    TNX_BUILD=build/release tests/blackbox/screenshots.py [FOLDER]
"""

import json
import sys
import tempfile
from pathlib import Path

import harness
from admin_api import admin_of
from browser import DESKTOP, PHONE, Browser
from harness import HOST, SERIAL

LIGHT = "1lzPszHWAEuvzxtXBMkzWQ"
PAGES = {"buildings": "buildings", "building": f"building/{SERIAL}", "keys": f"building/{SERIAL}/keys",
         "integration-kit": f"building/{SERIAL}/kit", "settings": f"building/{SERIAL}/settings",
         "requests": "requests", "audit": "audit"}
SITE = {"agent-kit": "site/kit", "agent-keys": "site/keys", "agent-connection": "site/connection"}
HOUSE = harness.ROOT / "tests" / "simulator" / "house.json"


def furnish(building, admin):
    house = json.loads(HOUSE.read_text())
    admin.post(f"/servers/{SERIAL}", {"name": "Villa am See"})
    for serial, name in (("TNX-0007", "Hotel Post, north wing"), ("TNX-0012", "Office Park 3")):
        admin.post("/servers", {"serial": serial, "name": name}, 201)
    admin.post("/servers/TNX-0012/disable")
    admin.post(f"/servers/{SERIAL}/devices", {"rooms": house["rooms"]})
    scope = {"read_only": True, "cidrs": ["192.0.2.0/24"]}
    admin.post(f"/servers/{SERIAL}/keys", {"label": "Hotel backend", "rate": 5, "scope": scope}, 201)
    for call in (f"power?guid={LIGHT}&cmd=1&fb", f"powerlevel?guid={LIGHT}&cmd=40", f"powerstatus?guid={LIGHT}",
                 "system/serverStatus", "power?guid=nobody&cmd=1", f"heightlevel?guid={LIGHT}&val=30"):
        building.get(building.path(call))
    building.get("/" + "A" * 32 + "/api/V1/power")


def show(browser, url, name, path, size):
    browser.resize(size)
    browser.open("about:blank")
    browser.open(f"{url}#!/{path}")
    browser.find("h1")
    browser.wait(lambda: "Loading" not in browser.text(), "end of loading")
    if name in ("integration-kit", "agent-kit"):
        browser.click("button.leaf", "Chandelier")
        browser.click("form[data-controller=powerlevel] button.primary")
        browser.find("form[data-controller=powerlevel] .result pre")
    if name in ("buildings", "building"):
        browser.find(".curve canvas")
    if name in ("agent-keys", "agent-connection"):
        browser.find("tbody tr, .history li")
    browser.driver.execute_script("scrollTo(0, 0)")


def take(browser, url, pages, folder):
    for name, path in pages.items():
        for kind, size in (("desktop", DESKTOP), ("phone", PHONE)):
            show(browser, url, name, path, size)
            browser.screenshot(folder / f"{name}-{kind}.png")


def take_login(browser, folder, scratch):
    relay = harness.Relay(scratch, {"admin": {"listen": f"{HOST}:0", "login": "always"}})
    relay.start()
    try:
        take(browser, f"http://{HOST}:{admin_of(relay).address[1]}/", {"login": "buildings"}, folder)
    finally:
        relay.process.stop()


def main(folder):
    folder.mkdir(parents=True, exist_ok=True)
    settings = {"admin": {"listen": f"{HOST}:0"}, "timeouts": {"probe": 1}}
    with tempfile.TemporaryDirectory() as scratch:
        agent = {"pages": {"listen": f"{HOST}:0", "devices": HOUSE}}
        building = harness.Building(Path(scratch) / "b", relay=settings, agent=agent)
        try:
            admin = admin_of(building.relay)
            furnish(building, admin)
            url = f"http://{HOST}:{admin.address[1]}/"
            site = building.agent.process.wait_log(r"msg=pages host=127.0.0.1 port=([0-9]+)")[1]
            with Browser() as browser:
                take(browser, url, PAGES, folder)
                take(browser, f"http://{HOST}:{site}/", SITE, folder)
                take_login(browser, folder, Path(scratch) / "login")
                browser.open(url)
                browser.driver.execute_script("localStorage.theme = 'dark'")
                show(browser, url, "integration-kit", PAGES["integration-kit"], DESKTOP)
                browser.screenshot(folder / "integration-kit-dark.png")
        finally:
            building.stop()


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else harness.ROOT / "docs" / "pages")
