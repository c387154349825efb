#!/usr/bin/env python3
"""The resource_server example with the keys of a real identity provider (panva's oidc-provider).

    scripts/provider.py IDP_FOLDER

IDP_FOLDER has `oidc-idp.mjs` and its package.json; it is copied, and `npm install` is run in the copy.
Needs node. Everything stays on 127.0.0.1. Ends with the number of failures.
"""
import base64
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
AUDIENCES = {"https://api.jwt.test": "ES256", "https://api.rs256.test": "RS256", "https://api.eddsa.test": "EdDSA"}
failures = 0


def check(name, ok, detail=""):
    global failures
    print("ok  " if ok else "FAIL", name, "" if ok else repr(detail), flush=True)
    failures += not ok


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def get(url, headers=None, data=None):
    request = urllib.request.Request(url, data, headers or {})
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            return response.status, dict(response.headers), response.read()
    except urllib.error.HTTPError as error:
        return error.code, dict(error.headers), error.read()


class Provider:
    def __init__(self, folder, port):
        self.folder, self.port, self.url = folder, port, f"http://127.0.0.1:{port}"

    def start(self):
        self.process = subprocess.Popen(["node", "oidc-idp.mjs", str(self.port)], cwd=self.folder,
                                        stdout=subprocess.PIPE, text=True)
        if not self.process.stdout.readline().startswith("idp "):
            sys.exit("the provider did not start")

    def stop(self):
        self.process.kill()
        self.process.wait()

    def rotate(self):
        """Gives each of its keys another name and another value, as `generateKeyPair` of node makes them."""
        path = os.path.join(self.folder, "keys.json")
        keys = json.load(open(path))
        os.remove(path)
        self.start()
        self.stop()
        fresh = json.load(open(path))
        for key in fresh["as"]:
            key["kid"] += "-new"
        assert {key["kid"] for key in fresh["as"]}.isdisjoint(key["kid"] for key in keys["as"])
        json.dump(fresh, open(path, "w"))

    def token(self, audience, scope="read"):
        form = urllib.parse.urlencode({"grant_type": "client_credentials", "scope": scope, "resource": audience})
        basic = base64.b64encode(b"svc:svc-secret").decode()
        status, _, body = get(self.url + "/token", {"Authorization": "Basic " + basic}, form.encode())
        assert status == 200, body
        return json.loads(body)["access_token"]


def main():
    with tempfile.TemporaryDirectory() as folder:
        for name in ["oidc-idp.mjs", "package.json"]:
            shutil.copy(os.path.join(sys.argv[1], name), folder)
        subprocess.run(["npm", "install", "--silent", "--no-fund", "--no-audit"], cwd=folder, check=True)
        provider = Provider(folder, free_port())
        provider.start()
        environment = dict(os.environ, ADDR="127.0.0.1:0", ISSUER=provider.url, JWKS_URL="",
                           AUDIENCE=" ".join(AUDIENCES), JWKS_COOLDOWN="1", JWKS_TIMEOUT="2")
        server = subprocess.Popen(
            ["cargo", "run", "--locked", "--quiet", "--features", "full", "--example", "resource_server"],
            stdout=subprocess.PIPE, text=True, env=environment, cwd=ROOT)
        try:
            base = "http://" + re.search(r"listening on http://(\S+)", server.stdout.readline()).group(1)
            against(provider, base)
        finally:
            server.send_signal(signal.SIGTERM)
            check("the server stops cleanly", server.wait(30) == 0)
            provider.stop()
    print(failures, "failed")
    sys.exit(failures > 0)


def against(provider, base):
    def ask(token, path="/jwt"):
        return get(base + path, {"Authorization": "Bearer " + token})

    old = {}
    for audience, algorithm in AUDIENCES.items():
        old[audience] = token = provider.token(audience)
        header = json.loads(base64.urlsafe_b64decode(token.split(".")[0] + "=="))
        check(f"an at+jwt by {algorithm}", header["alg"] == algorithm and header["typ"] == "at+jwt", header)
        status, _, body = ask(token)
        check("  200, by discovery", status == 200 and json.loads(body)["client_id"] == "svc", (status, body))
        changed = token[:-20] + ("A" if token[-20] != "A" else "B") + token[-19:]
        check("  401 with another signature", ask(changed)[0] == 401, changed)
        status, headers, _ = ask(token, "/jwt/admin")
        check("  403 without the scope", status == 403 and 'scope="admin"' in headers["www-authenticate"], headers)
        check("  200 with it", ask(provider.token(audience, "read admin"), "/jwt/admin")[0] == 200)
    check("an opaque token is none of ours", ask(provider.token("https://api.opaque.test"))[0] == 401)

    provider.stop()
    check("known keys go on when the provider is down", ask(old["https://api.jwt.test"])[0] == 200)
    provider.rotate()
    time.sleep(1.1)  # the cooldown
    provider.start()
    for audience, algorithm in AUDIENCES.items():
        token = provider.token(audience)
        status, _, body = ask(token)
        check(f"{algorithm}: the first token by a new key", status == 200, (status, body))
        check(f"{algorithm}: a token by the key that is gone, though it was cached", ask(old[audience])[0] == 401)
    status, _, body = get(base + "/healthz")
    check("/healthz knows the keys", status == 200 and json.loads(body)["keys"] == 3, body)


main()
