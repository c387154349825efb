"""Runs the examples as the README says and talks to them as clients do: curl, requests, httpx over
HTTP/1.1 and HTTP/2. Everything stays on 127.0.0.1."""
import concurrent.futures
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

import httpx
import requests

failures = 0


def check(name, ok, detail=""):
    global failures
    print("ok  " if ok else "FAIL", name, "" if ok else repr(detail))
    failures += not ok


class Example:
    """An example that listens on a port of its own choice; its output up to that is kept."""

    def __init__(self, name, last_line, **variables):
        environment = dict(os.environ, ADDR="127.0.0.1:0", **variables)
        self.process = subprocess.Popen(
            ["cargo", "run", "--locked", "--quiet", "--features", "full", "--example", name],
            stdout=subprocess.PIPE, text=True, env=environment)
        self.name, self.output = name, ""
        watchdog = threading.Timer(900, self.process.kill)
        watchdog.start()
        for line in self.process.stdout:
            self.output += line
            if re.search(last_line, line):
                break
        watchdog.cancel()
        found = re.search(r"listening on http://(\S+)", self.output)
        if not found:
            sys.exit(f"{name} did not start:\n{self.output}")
        self.address = found.group(1)
        self.url = "http://" + self.address

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        try:
            check(f"{self.name} stops cleanly on SIGTERM", self.process.wait(30) == 0,
                  self.process.returncode)
        except subprocess.TimeoutExpired:
            self.process.kill()
            check(f"{self.name} stops on SIGTERM", False)


def problem(response):
    """The members of a problem in their order, once its headers are as they must be."""
    check("  application/problem+json", response.headers["content-type"] == "application/problem+json",
          response.headers)
    check("  no-store", response.headers["cache-control"] == "no-store", response.headers)
    check("  exact length", int(response.headers["content-length"]) == len(response.content),
          response.headers)
    return json.loads(response.content, object_pairs_hook=list)


def paste(example):
    """Runs the printed curl lines as a user would paste them: each under the answer that it announces."""
    variables = "; ".join(re.findall(r"^[A-Z]+=\S+$", example.output, re.M))
    commands = re.findall(r"^# (\d{3})?.*\n(curl .*)$", example.output, re.M)
    check(f"{example.name} prints curl lines", len(commands) >= 4, example.output)
    for status, command in commands:
        out = subprocess.run(["bash", "-c", f"{variables}; {command} -sS"], check=True,
                             capture_output=True, text=True).stdout
        check(command, re.match(f"HTTP/[0-9.]+ {status or 401}", out), out)


def axum():
    with Example("axum", r"^ready$") as example:
        paste(example)
        token = re.search(r"^TOKEN=(\S+)$", example.output, re.M).group(1)

        trace = {"traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}
        expected = [
            ("type", "https://docs.example.com/docs/errors/unauthorized"),
            ("title", "Unauthorized"),
            ("status", 401),
            ("detail", "Invalid or expired authentication token"),
            ("instance", "/api/v2/elements"),
            ("traceId", "4bf92f3577b34da6a3ce929d0e0e4736"),
        ]
        url = example.url + "/api/v2/elements"
        good = {"authorization": "Bearer " + token}
        clients = [
            ("requests", requests.Session()),
            ("httpx", httpx.Client()),
            ("httpx HTTP/2", httpx.Client(http1=False, http2=True)),
        ]
        for name, client in clients:
            response = client.get(url, headers=trace)
            check(f"{name}: 401", response.status_code == 401, response.status_code)
            if name == "httpx HTTP/2":
                check("  over HTTP/2", response.http_version == "HTTP/2", response.http_version)
            check("  the contract's document", problem(response) == expected, response.text)
            check("  challenge without error",
                  response.headers["www-authenticate"] == 'Bearer realm="api"', response.headers)
            head = client.head(url, headers=trace)
            check(f"{name}: HEAD has the length and no body",
                  head.content == b"" and head.headers["content-length"] == response.headers["content-length"],
                  head.headers)
            response = client.get(url, headers=dict(good, authorization="Bearer x.y.z"))
            check(f"{name}: invalid_token", 'error="invalid_token"' in response.headers["www-authenticate"],
                  response.headers)
            body = {"data" if name == "requests" else "content": b"a" * 200_000}
            response = client.post(url, **body)
            check(f"{name}: POST refused", response.status_code == 401, response.status_code)
            # Nobody reads the content: over HTTP/1.1 the connection ends, and the client is told so.
            closes = None if name == "httpx HTTP/2" else "close"
            check("  the connection", response.headers.get("connection") == closes, response.headers)
            response = client.get(url, headers=good)
            check(f"{name}: 200 for the next request",
                  response.status_code == 200 and response.json()["subject"] == "svc", response.text)
            response = client.get(example.url + "/api/v2/admin", headers=good)
            check(f"{name}: 403 names the scope",
                  response.status_code == 403 and 'scope="admin"' in response.headers["www-authenticate"],
                  response.headers)
            client.close()

        pages_of_other_origins(example)
        content_after_the_response(example, token)


def pages_of_other_origins(example):
    """What a browser asks before a page sends a token, and what it shows of the answer. `*` never covers
    `Authorization`, nor anything else where there are cookies (Fetch)."""
    origin = {"origin": "https://app.example.com"}
    for method, path in [
            ("GET", "/healthz"), ("GET", "/api/v2/elements"), ("POST", "/api/v2/elements"),
            ("GET", "/api/v2/admin"), ("POST", "/api/v2/auth/token"), ("POST", "/api/v2/auth/refresh"),
            ("POST", "/oauth/token"), ("POST", "/oauth/revoke"), ("GET", "/.well-known/jwks.json"),
            ("GET", "/.well-known/oauth-authorization-server")]:
        asks = {"access-control-request-method": method, "access-control-request-headers": "authorization"}
        preflight = requests.options(example.url + path, headers={**origin, **asks})

        def listed(response, name):
            return [item.strip().lower() for item in response.headers.get(name, "").split(",")]
        check(f"{method} {path}: a page may send Authorization",
              preflight.ok and "authorization" in listed(preflight, "access-control-allow-headers")
              and method in preflight.headers["access-control-allow-methods"].split(","), preflight.headers)
        answer = requests.request(method, example.url + path, headers=origin)
        exposed = listed(answer, "access-control-expose-headers")
        check("  it sees the answer, its challenge, and when to come back",
              answer.headers.get("access-control-allow-origin") == "*"
              and {"www-authenticate", "retry-after", "x-request-id"} <= set(exposed), answer.headers)


def content_after_the_response(example, token):
    """A client that keeps its connection unless it is told that it ends, and whose content comes after the
    response: the next request is answered."""
    host, port = example.address.split(":")

    def read(connection):
        received = b""
        while b"\r\n\r\n" not in received:
            more = connection.recv(65536)
            if not more:
                raise EOFError
            received += more
        head, body = received.split(b"\r\n\r\n", 1)
        length = int(re.search(rb"(?i)\r\ncontent-length: (\d+)", head).group(1))
        while len(body) < length:
            body += connection.recv(65536)
        return head.lower()

    for size in (1_000, 100_000):
        connection, lost = None, 0
        for _ in range(50):
            connection = connection or socket.create_connection((host, int(port)))
            connection.sendall(b"POST /api/v2/elements HTTP/1.1\r\nhost: a\r\ncontent-length: %d\r\n\r\n" % size)
            if b"\r\nconnection: close" in read(connection):
                connection = socket.create_connection((host, int(port)))
            else:
                connection.sendall(b"x" * size)
            try:
                connection.sendall(b"GET /api/v2/elements HTTP/1.1\r\nhost: a\r\nauthorization: Bearer %b\r\n\r\n"
                                   % token.encode())
                lost += b" 200 " not in read(connection)
            except (OSError, EOFError):
                connection, lost = None, lost + 1
        check(f"no request is lost after a rejected one of {size} bytes", lost == 0, lost)


class Redis:
    """A Redis server on a free port, that keeps what it has answered."""

    def __enter__(self):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = str(free.getsockname()[1])
        self.directory = tempfile.TemporaryDirectory()
        self.process = subprocess.Popen(
            ["redis-server", "--bind", "127.0.0.1", "--port", port, "--dir", self.directory.name,
             "--save", "", "--appendonly", "yes", "--appendfsync", "always"], stdout=subprocess.DEVNULL)
        for _ in range(1000):
            ping = subprocess.run(["redis-cli", "-p", port, "ping"], capture_output=True, text=True)
            if ping.stdout.strip() == "PONG":
                break
            time.sleep(0.01)
        self.url = "redis://127.0.0.1:" + port
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.directory.cleanup()


def two_on_one_redis():
    """Two processes that issue for the same issuer: each accepts what the other has issued, of a hundred
    refreshes of one token at both one succeeds, and what one revokes the other refuses."""
    with Redis() as redis, tempfile.TemporaryDirectory() as directory:
        key = os.path.join(directory, "signing-key.pem")
        subprocess.run(["openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256",
                        "-out", key], check=True)
        variables = dict(REDIS_URL=redis.url, SIGNING_KEY=key, ISSUER="https://login.example.com")
        with Example("axum", r"^ready$", **variables) as one, Example("axum", r"^ready$", **variables) as other:
            client = {"grant_type": "client_credentials", "client_id": "svc", "client_secret": "svc-secret"}
            for _ in range(3):
                tokens = requests.post(one.url + "/api/v2/auth/token", json=client).json()

                def refresh(url):
                    return requests.post(url + "/api/v2/auth/refresh",
                                         json={"refresh_token": tokens["refresh_token"]}).status_code

                with concurrent.futures.ThreadPoolExecutor(20) as pool:
                    statuses = list(pool.map(refresh, [one.url, other.url] * 50))
                check("of a hundred refreshes at two processes one succeeds",
                      sorted(statuses) == [200] + [401] * 99, statuses)
            # Each has ended by then, with its access tokens.
            good = {"authorization": "Bearer " + tokens["access_token"]}
            for _ in range(200):
                answer = requests.get(one.url + "/api/v2/elements", headers=good)
                if answer.status_code != 200:
                    break
                time.sleep(0.1)
            check("a family that was reused has lost its access tokens", answer.status_code == 401
                  and answer.json()["type"].endswith("/token-revoked"), answer.text)
            tokens = requests.post(one.url + "/api/v2/auth/token", json=client).json()
            good = {"authorization": "Bearer " + tokens["access_token"]}
            answer = requests.get(other.url + "/api/v2/elements", headers=good)
            check("one accepts what the other has issued", answer.status_code == 200, answer.text)
            answer = requests.post(one.url + "/oauth/revoke", auth=("svc", "svc-secret"),
                                   data={"token": tokens["access_token"]})
            check("one revokes it", answer.status_code == 200, answer.text)
            answer = requests.get(one.url + "/api/v2/elements", headers=good)
            check("and refuses it at once", answer.status_code == 401
                  and answer.json()["type"].endswith("/token-revoked"), answer.text)
            for _ in range(200):
                answer = requests.get(other.url + "/api/v2/elements", headers=good)
                if answer.status_code != 200:
                    break
                time.sleep(0.1)
            check("the other does so before long", answer.status_code == 401
                  and answer.json()["type"].endswith("/token-revoked"), answer.text)


def others():
    with Example("hyper", r"^curl .*OTHER") as example:
        paste(example)
    with Example("custom_verifier", r"^curl .*me .*BOB") as example:
        paste(example)
    with Example("jsonwebtoken_bridge", r"^curl .*admin") as example:
        paste(example)
    with Example("tonic", r"^cargo run .* client ") as example:
        out = subprocess.run(
            ["cargo", "run", "--locked", "--quiet", "--features", "full", "--example", "tonic", "--",
             "client", example.url], capture_output=True, text=True, timeout=900)
        check("the gRPC client ends well", out.returncode == 0, out.stderr)
        for line in ["4 elements, listed for alice",
                     'without a token: Unauthenticated, "Invalid or expired authentication token"',
                     'www-authenticate: Bearer realm="elements"\n',
                     "PermissionDenied", 'error="insufficient_scope"', 'scope="write"']:
            check("  it prints " + line.strip(), line in out.stdout, out.stdout)


def main():
    axum()
    two_on_one_redis()
    others()
    print(f"\n{failures} failed")
    sys.exit(failures > 0)


main()
