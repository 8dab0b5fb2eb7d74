# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The service that the tests release: good, or bad in the way that MODE names."""

import os
import signal
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

MODE = os.environ.get("MODE", "good")
VERSION = os.environ.get("VERSION", "?")


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path.startswith("/slow"):
            time.sleep(float(self.path.partition("=")[2] or 2))
        if self.path == "/exhaust":
            exhaust()
        if self.path.startswith("/file"):
            with open(self.path.partition("=")[2], encoding="utf-8") as file:
                body = file.read()
        else:
            body = "version %s" % VERSION
        self.send_response(500 if MODE == "unready" else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *unused):
        pass


def exhaust():
    hoard = []
    while True:
        hoard.append(bytearray(10 << 20))


def crash(after):
    time.sleep(after)
    print("giving up after %s s" % after, flush=True)
    os._exit(7)


print("starting version %s with password %s" % (VERSION, os.environ.get("PASSWORD")), flush=True)
if MODE == "exit":
    sys.exit(3)
if MODE == "deaf":
    time.sleep(3600)
if MODE == "memory":
    exhaust()
if MODE.startswith("crash"):
    threading.Thread(target=crash, args=(float(MODE.partition("=")[2]),), daemon=True).start()
signal.signal(signal.SIGTERM, lambda *unused: os._exit(0))
ThreadingHTTPServer(("", 5000), Handler).serve_forever()
