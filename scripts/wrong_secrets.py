#!/usr/bin/env python3
"""Wrong client secrets against the axum example, under a limit of 512 MiB of memory where this machine lets a control
group be made (as root, with memory controllers): 1 000 from one peer, and 1 000 from as many addresses. Then a flood of
wrong secrets, twenty a second, from the address from which clients with right ones come.

It says how much the memory has grown, what was answered, and ends with an error if the growth is over 100 MB, an answer
is none of 401, 429 and 503, or a right secret that a machine made fails in the flood. It takes a minute and a half, on
127.0.0.0/8 alone, and stops by itself.

    scripts/wrong_secrets.py [seconds of the flood]
"""
import collections
import concurrent.futures
import http.client
import json
import os
import re
import subprocess
import sys
import threading
import time

LIMIT = 512 * 1024 * 1024
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def control_group():
    """The folder of a control group with the limit, or None."""
    name = f"tower-bearer-{os.getpid()}"
    for root, limit in [("/sys/fs/cgroup/memory", "memory.limit_in_bytes"), ("/sys/fs/cgroup", "memory.max")]:
        folder = os.path.join(root, name)
        try:
            os.mkdir(folder)
            with open(os.path.join(folder, limit), "w") as file:
                file.write(str(LIMIT))
            return folder
        except OSError:
            try:
                os.rmdir(folder)
            except OSError:
                pass
    return None


def resident(pid):
    with open(f"/proc/{pid}/status") as file:
        status = file.read()
    peak, now = (int(re.search(rf"{name}:\s+(\d+) kB", status).group(1)) * 1024 for name in ("VmHWM", "VmRSS"))
    return peak, now


def token(host, port, client_id, secret, source="127.0.0.1"):
    connection = http.client.HTTPConnection(host, port, timeout=60, source_address=(source, 0))
    body = json.dumps({"grant_type": "client_credentials", "client_id": client_id, "client_secret": secret})
    try:
        connection.request("POST", "/api/v2/auth/token", body, {"content-type": "application/json"})
        response = connection.getresponse()
        response.read()
        return response.status
    finally:
        connection.close()


def main():
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 20
    subprocess.run(["cargo", "build", "--locked", "--quiet", "--features", "full", "--example", "axum"], cwd=ROOT,
                   check=True)
    target = os.environ.get("CARGO_TARGET_DIR", os.path.join(ROOT, "target"))
    group = control_group()
    print("a limit of 512 MiB" if group else "no control group can be made: without a limit")

    def enter():
        if group:
            with open(os.path.join(group, "cgroup.procs"), "w") as file:
                file.write(str(os.getpid()))

    # A client whose secret a machine made, besides those whose secrets somebody chose.
    generated = os.urandom(24).hex()
    server = subprocess.Popen([os.path.join(target, "debug/examples/axum")], stdout=subprocess.PIPE, text=True,
                              preexec_fn=enter, env=dict(os.environ, ADDR="127.0.0.1:0", RUST_LOG="error",
                                                         GENERATED_SECRET=generated))
    failed = False
    try:
        for line in server.stdout:
            if line.startswith("listening on "):
                host, port = line.split("//")[1].strip().split(":")
            if line.strip() == "ready":
                break
        threading.Thread(target=lambda: collections.deque(server.stdout, 0), daemon=True).start()
        port = int(port)
        _, before = resident(server.pid)
        for name, sources in [("one peer", ["127.0.0.1"] * 1000),
                              ("as many peers", [f"127.1.{n // 250}.{n % 250 + 1}" for n in range(1000)])]:
            began = time.time()
            with concurrent.futures.ThreadPoolExecutor(50) as pool:
                answers = collections.Counter(pool.map(
                    lambda source: token(host, port, "svc", os.urandom(8).hex(), source), sources))
            peak, _ = resident(server.pid)
            print(f"1000 wrong secrets of {name}: {dict(answers)} in {time.time() - began:.1f} s; "
                  f"memory {before / 1e6:.0f} -> {peak / 1e6:.0f} MB")
            failed |= peak - before > 100e6 or not set(answers) <= {401, 429, 503}

        over = time.time() + seconds
        wrong, right = collections.Counter(), collections.Counter()

        def flood():
            while time.time() < over:
                wrong[token(host, port, "svc", os.urandom(8).hex())] += 1
                time.sleep(0.05)

        thread = threading.Thread(target=flood)
        thread.start()
        slowest = 0
        while time.time() < over:
            began = time.time()
            right[token(host, port, "generated", generated)] += 1
            slowest = max(slowest, time.time() - began)
            time.sleep(0.05)
        thread.join()
        print(f"a flood of wrong secrets: {dict(wrong)}; right ones behind the same address: {dict(right)}, "
              f"the slowest after {slowest * 1000:.0f} ms")
        failed |= set(right) != {200}
    finally:
        server.kill()
        server.wait()
        if group:
            os.rmdir(group)
    sys.exit(1 if failed else 0)


main()
