#!/usr/bin/env python3
"""Sessions while Redis breaks: 300 sessions are refreshed at the axum example, on a Redis that writes each answer down
before it is given. Redis is killed five times and started again after up to four seconds; then its connections are
killed, fifty times. A client that is answered 503 tries again with the same token, as it should.

It says how many refreshes there were, what was answered, and how many sessions were lost, and ends with an error if
there was one, or an answer other than 200 and 503. It takes a minute and stops by itself.

    scripts/broken_redis.py
"""
import collections
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SESSIONS = 300
THREADS = 20


class Redis:
    def __init__(self, folder):
        self.folder = folder
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.start()

    def start(self):
        self.process = subprocess.Popen(
            ["redis-server", "--bind", "127.0.0.1", "--port", str(self.port), "--save", "", "--dir", self.folder,
             "--appendonly", "yes", "--appendfsync", "always"], stdout=subprocess.DEVNULL)
        while self.cli("ping") != "PONG":
            time.sleep(0.02)

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def cli(self, *words):
        command = ["redis-cli", "-p", str(self.port), *words]
        return subprocess.run(command, capture_output=True, text=True).stdout.strip()


class Client:
    """One connection, and its sessions."""

    def __init__(self, host, port):
        self.connection = http.client.HTTPConnection(host, port, timeout=30)

    def post(self, path, body):
        try:
            self.connection.request("POST", path, json.dumps(body), {"content-type": "application/json"})
            response = self.connection.getresponse()
            return response.status, json.loads(response.read() or b"{}")
        except (http.client.HTTPException, OSError):
            self.connection.close()
            return 0, {}


def main():
    subprocess.run(["cargo", "build", "--locked", "--quiet", "--features", "full", "--example", "axum"], cwd=ROOT,
                   check=True)
    target = os.environ.get("CARGO_TARGET_DIR", os.path.join(ROOT, "target"))
    with tempfile.TemporaryDirectory() as folder:
        redis = Redis(folder)
        secret = os.urandom(24).hex()
        server = subprocess.Popen(
            [os.path.join(target, "debug/examples/axum")], stdout=subprocess.PIPE, text=True,
            env=dict(os.environ, ADDR="127.0.0.1:0", RUST_LOG="error", GENERATED_SECRET=secret,
                     REDIS_URL=f"redis://127.0.0.1:{redis.port}"))
        try:
            for line in server.stdout:
                if line.startswith("listening on "):
                    host, port = line.split("//")[1].strip().split(":")
                if line.strip() == "ready":
                    break
            threading.Thread(target=lambda: collections.deque(server.stdout, 0), daemon=True).start()
            port = int(port)
            credentials = {"grant_type": "client_credentials", "client_id": "generated", "client_secret": secret}
            answers, lost, over = collections.Counter(), [], threading.Event()

            def sessions(number):
                client = Client(host, port)
                tokens = [client.post("/api/v2/auth/token", credentials)[1]["refresh_token"] for _ in range(number)]
                while not over.is_set():
                    for at, token in enumerate(tokens):
                        if token is None:
                            continue
                        status, body = client.post("/api/v2/auth/refresh", {"refresh_token": token})
                        answers[status] += 1
                        if status == 200:
                            tokens[at] = body["refresh_token"]
                        elif status == 401:
                            lost.append(token)
                            tokens[at] = None

            threads = [threading.Thread(target=sessions, args=(SESSIONS // THREADS,)) for _ in range(THREADS)]
            for thread in threads:
                thread.start()
            for name, times, breaks in [("kill -9", 5, None), ("CLIENT KILL", 50, ("client", "kill", "type", "normal"))]:
                before = collections.Counter(answers), len(lost)
                for time_of in range(times):
                    time.sleep(2 if breaks is None else 0.2)
                    if breaks:
                        redis.cli(*breaks)
                    else:
                        redis.kill()
                        time.sleep(time_of)
                        redis.start()
                time.sleep(2)
                print(f"{name}, {times} times: answers {dict(answers - before[0])}, "
                      f"{len(lost) - before[1]} of {SESSIONS} sessions lost")
            over.set()
            for thread in threads:
                thread.join()
        finally:
            server.kill()
            server.wait()
            redis.kill()
    sys.exit(1 if lost or set(answers) - {200, 503} else 0)


main()
