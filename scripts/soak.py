#!/usr/bin/env python3
"""The resource_server example under load, while its key server hangs, dies, fails and rotates its keys.

    scripts/soak.py [SECONDS]        600 by default; everything stays on 127.0.0.1 and stops by itself

Needs Python 3.11 and its package `cryptography`. Every answer is held against what the rules allow at the
time of its request; the fetches against the cooldown and the back-off; the memory against what it was.
It ends with the number of violations.
"""
import base64
import http.client
import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

SECONDS = float(sys.argv[1]) if len(sys.argv) > 1 else 600.0
SEED = int(os.environ.get("SOAK_SEED", time.time_ns() % 1_000_000))
RANDOM = random.Random(SEED)

# Seconds; short, so that many life-cycles fit.
COOLDOWN, FRESH, MAX_STALE, TIMEOUT, CACHE_TTL = 2, 5, 8, 1, 3
# A small cache, that it is full, and works full, from early on; a token takes a kilobyte.
CACHE_BYTES = 2 * 1024 * 1024
FULL = 2 * CACHE_BYTES // 1024
# What a loaded machine may take to notice.
SLACK = 1.5
AUDIENCE = "https://api.test"


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Key:
    count = 0

    def __init__(self):
        Key.count += 1
        self.kid = f"key-{Key.count}"
        self.private = ec.generate_private_key(ec.SECP256R1())
        numbers = self.private.public_key().public_numbers()
        self.jwk = {"kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": self.kid,
                    "x": b64(numbers.x.to_bytes(32, "big")), "y": b64(numbers.y.to_bytes(32, "big"))}

    def token(self, issuer, kid=None, lifetime=120):
        now = int(time.time())
        header = {"alg": "ES256", "typ": "at+jwt", "kid": kid or self.kid}
        claims = {"iss": issuer, "aud": AUDIENCE, "sub": "alice", "client_id": "soak", "iat": now,
                  "exp": now + lifetime, "jti": b64(os.urandom(8)), "scope": "read"}
        signed = ".".join(b64(json.dumps(part).encode()) for part in (header, claims))
        r, s = decode_dss_signature(self.private.sign(signed.encode(), ec.ECDSA(hashes.SHA256())))
        return f"{signed}.{b64(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"


class KeyServer:
    """Publishes keys, as well as its mode lets it."""

    def __init__(self):
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_):
                pass

            def do_GET(self):
                outer.answer(self)

        self.lock = threading.Lock()
        self.mode, self.mode_since = "good", time.monotonic()
        self.fetches = []           # when, and whether well answered
        self.key, self.next, self.gone = Key(), None, []
        self.history = [(time.monotonic(), "good")]
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.server.handle_error = lambda *_: None
        self.issuer = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def published(self):
        return [key.jwk for key in (self.key, self.next) if key]

    def answer(self, handler):
        with self.lock:
            mode, since = self.mode, self.mode_since
            body = json.dumps({"keys": self.published()}).encode()
            self.fetches.append((time.monotonic(), mode == "good"))
        if mode == "hung":
            while self.mode_since == since:
                time.sleep(0.05)
            return
        if mode == "dead":
            handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            handler.connection.close()
            return
        if mode == "torn":
            handler.send_response(200)
            handler.send_header("Content-Length", str(len(body)))
            handler.end_headers()
            handler.wfile.write(body[: len(body) // 2])
            return
        if mode == "failing":
            handler.send_error(500)
            return
        if mode == "empty":
            body = b'{"keys":[]}'
        handler.send_response(200)
        handler.send_header("Content-Type", "application/jwk-set+json")
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    def set_mode(self, mode):
        with self.lock:
            self.mode, self.mode_since = mode, time.monotonic()
            self.history.append((self.mode_since, mode))

    def good_throughout(self, start, end):
        """Whether it answered well in all of this time."""
        with self.lock:
            mode = "good"
            for since, new in self.history:
                if since <= start:
                    mode = new
                elif since < end and new != "good":
                    return False
            return mode == "good"

    def may_be_dark(self, start, end):
        """Whether keys may have run out at some time within: no good answer for as long as they last.
        (It counts from the last moment of being good, so `FRESH + MAX_STALE` later at the earliest.)"""
        with self.lock:
            fetched = [at for at, good in self.fetches if good and at <= end]
        return not fetched or end - fetched[-1] > FRESH + MAX_STALE - SLACK or any(
            later - earlier > FRESH + MAX_STALE - SLACK
            for earlier, later in zip(fetched, fetched[1:]) if later >= start - SLACK)


class Soak:
    def __init__(self):
        self.keys = KeyServer()
        self.counts, self.violations = Counter(), []
        self.slowest = 0.0
        self.stopped = threading.Event()
        environment = dict(
            os.environ, ADDR="127.0.0.1:0", ISSUER=self.keys.issuer, JWKS_URL=self.keys.issuer + "/jwks",
            AUDIENCE=AUDIENCE, ALGORITHMS="ES256", JWKS_COOLDOWN=str(COOLDOWN), JWKS_FRESH=str(FRESH),
            JWKS_MAX_STALE=str(MAX_STALE), JWKS_TIMEOUT=str(TIMEOUT), CACHE_TTL=str(CACHE_TTL), LEEWAY="0",
            CACHE_BYTES=str(CACHE_BYTES), RUST_LOG="off")
        self.server = subprocess.Popen(
            ["cargo", "run", "--locked", "--quiet", "--release", "--features", "full", "--example",
             "resource_server"], stdout=subprocess.PIPE, text=True, env=environment,
            cwd=os.path.join(os.path.dirname(__file__), ".."))
        found = re.search(r"listening on http://(\S+):(\d+)", self.server.stdout.readline())
        if not found:
            sys.exit("the server did not start")
        self.address = found.group(1), int(found.group(2))

    def violation(self, text):
        if len(self.violations) < 20:
            print("VIOLATION", text, flush=True)
        self.violations.append(text)

    def ask(self, connection, token):
        start = time.monotonic()
        connection.request("GET", "/jwt", headers={"Authorization": "Bearer " + token})
        response = connection.getresponse()
        body = response.read()
        end = time.monotonic()
        if response.status != 200 and response.getheader("content-type") != "application/problem+json":
            self.violation(f"{response.status} without a problem: {body[:80]!r}")
        if response.status == 503 and int(response.getheader("retry-after") or 0) < 1:
            self.violation("503 without Retry-After")
        if response.status == 401 and not (response.getheader("www-authenticate") or "").startswith("Bearer "):
            self.violation("401 without a challenge")
        return response.status, start, end

    def client(self, number):
        chance = random.Random(SEED + number)
        connection = http.client.HTTPConnection(*self.address, timeout=20)
        forger = Key()
        tokens = {}
        while not self.stopped.is_set():
            with self.keys.lock:
                key, since = self.keys.key, self.keys.key_since
                gone = self.keys.gone[-1] if self.keys.gone else None
            kind = chance.choices(["good", "repeated", "forged", "unknown", "expired", "malformed", "gone"],
                                  [30, 50, 5, 5, 4, 2, 4])[0]
            if kind == "repeated":
                if tokens.get("kid") != key.kid or time.monotonic() - tokens["at"] > 60:
                    tokens = {"kid": key.kid, "at": time.monotonic(), "token": key.token(self.keys.issuer)}
                token = tokens["token"]
            elif kind == "good":
                token = key.token(self.keys.issuer)
            elif kind == "forged":
                token = forger.token(self.keys.issuer, kid=key.kid)
            elif kind == "unknown":
                token = forger.token(self.keys.issuer, kid=b64(os.urandom(6)))
            elif kind == "expired":
                token = key.token(self.keys.issuer, lifetime=-10)
            elif kind == "malformed":
                token = "a.b.c"
            elif gone is None:
                continue
            else:
                token = gone[0].token(self.keys.issuer)
            try:
                status, start, end = self.ask(connection, token)
            except (OSError, http.client.HTTPException) as error:
                if not self.stopped.is_set():
                    self.violation(f"{kind}: no answer: {error!r}")
                return
            self.counts[kind, status] += 1
            self.judge(kind, status, start, end, key, since, gone)
        connection.close()

    def judge(self, kind, status, start, end, key, since, gone):
        dark = self.keys.may_be_dark(start, end)
        if kind in ("good", "repeated"):
            allowed = {200, 503} if dark else {200}
            # A key that was not announced: until the next fetch that may be, and that is answered.
            with self.keys.lock:
                served = [at for at, good in self.keys.fetches if good and at >= self.keys.published_at[key.kid]]
            if not served or start < served[0] + SLACK:
                settled = self.keys.published_at[key.kid] + COOLDOWN + SLACK
                if start < settled or not self.keys.good_throughout(self.keys.published_at[key.kid], end):
                    allowed |= {401, 503}
            if status == 200:
                self.slowest = max(self.slowest, end - start)
        elif kind == "forged":
            allowed = {401, 503} if dark or start < since + COOLDOWN + SLACK or \
                not self.keys.good_throughout(since, end) else {401}
        elif kind == "unknown":
            # 503 where the last attempt failed.
            allowed = {401} if self.keys.good_throughout(start - 40, end) and start > self.begun + 40 else {401, 503}
        elif kind in ("expired", "malformed"):
            allowed = {401}
        else:
            _, at = gone
            with self.keys.lock:
                fetched = any(good and moment > at for moment, good in self.keys.fetches
                              if moment < start - SLACK)
            allowed = {401, 503} if fetched else {200, 401, 503}
        if status not in allowed:
            self.violation(f"{kind}: {status}, allowed is {sorted(allowed)}, server {self.keys.mode}, "
                           f"key since {start - since:.1f} s")

    def rotate(self):
        """Announces the next key one cooldown and a fetch ahead, or not at all."""
        keys = self.keys
        if RANDOM.random() < 0.5:
            with keys.lock:
                keys.next = Key()
                keys.published_at[keys.next.kid] = time.monotonic()
            # Until it was fetched, in time or later.
            self.stopped.wait(FRESH + COOLDOWN)
        with keys.lock:
            now = time.monotonic()
            key = keys.next or Key()
            keys.published_at.setdefault(key.kid, now)
            keys.gone.append((keys.key, now))
            keys.key, keys.next, keys.key_since = key, None, now

    def memory(self):
        out = subprocess.run(["pgrep", "-P", str(self.server.pid)], capture_output=True, text=True).stdout
        pid = int(out.split()[0]) if out.split() else self.server.pid
        text = open(f"/proc/{pid}/status").read()
        return int(re.search(r"VmRSS:\s+(\d+)", text).group(1))

    def run(self):
        keys = self.keys
        keys.key_since, keys.published_at = time.monotonic(), {keys.key.kid: time.monotonic()}
        self.begun = time.monotonic()
        clients = [threading.Thread(target=self.client, args=(n,), daemon=True) for n in range(8)]
        for client in clients:
            client.start()
        # What it needs it has once the cache was filled twice; from then on it is not to grow.
        while self.counts["good", 200] < FULL:
            if time.monotonic() > self.begun + 120 or self.violations:
                self.violation(f"no {FULL} good answers before the trouble began")
                break
            self.stopped.wait(0.1)
        before = self.memory()
        end = time.monotonic() + SECONDS
        while time.monotonic() < end and not self.stopped.is_set():
            chance = RANDOM.random()
            if chance < 0.4:
                self.rotate()
            elif chance < 0.9:
                keys.set_mode(RANDOM.choice(["hung", "dead", "torn", "failing", "empty"]))
                long = RANDOM.random() < 0.25
                self.stopped.wait(min(RANDOM.uniform(1, 4) + long * (FRESH + MAX_STALE), end - time.monotonic()))
                keys.set_mode("good")
            self.stopped.wait(max(0, min(RANDOM.uniform(1, 5), end - time.monotonic())))
        keys.set_mode("good")
        after = self.memory()
        self.stopped.set()
        for client in clients:
            client.join(20)
        if after > before * 1.2 + 2048:
            self.violation(f"memory grew from {before} to {after} KiB")
        steps = [later - earlier for (earlier, _), (later, _) in zip(keys.fetches, keys.fetches[1:])]
        # Without keys attempts may follow each other after a second.
        if steps and min(steps) < 0.9:
            self.violation(f"two fetches within {min(steps):.2f} s")
        self.server.send_signal(signal.SIGTERM)
        if self.server.wait(30) != 0:
            self.violation("the server did not stop cleanly")
        print(f"seed {SEED}, {SECONDS:.0f} s, {len(keys.fetches)} fetches, {Key.count} keys, closest fetches "
              f"{min(steps, default=0):.2f} s, memory {before} -> {after} KiB, slowest 200 {self.slowest * 1000:.1f} ms")
        for (kind, status), count in sorted(self.counts.items()):
            print(f"  {kind:10} {status} {count:8}")
        print(f"{len(self.violations)} violations")
        return len(self.violations)


if __name__ == "__main__":
    sys.exit(min(Soak().run(), 100))
