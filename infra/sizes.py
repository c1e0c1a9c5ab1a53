"""Builds the functions as they are deployed; prints how large they are, and with --starts how they start.

    python3 infra/sizes.py                  # sizes; fails where webhook has 8 MB or more
    python3 infra/sizes.py --starts 30      # and 30 starts of each, beside a function that does nothing
    python3 infra/sizes.py --starts 30 --also name=path --no-build

A start is taken with stand-ins on loopback, for Lambda's Runtime API and, behind TLS, for every service of AWS, which
answers nothing of use. Milliseconds from spawning: until the function asks for its first event, and until it has
answered it, for which it had to ask a service (the function that does nothing has not). CPU and memory are those of the
process until then. Medians; the functions take turns, so that whatever else the machine does meets all of them.
"""

import argparse
import http.server
import json
import os
import pathlib
import signal
import ssl
import statistics
import subprocess
import sys
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release"
FIRST_EVENTS = {
    "webhook": "webhook/http-api",
    "poll": "poll/schedule-full",
    "transform": "transform/page",
    "switch": "switch/settle",
    "serve": "serve/list",
    "admin": "admin/invoke-status",
    "upkeep": "upkeep/round",
}
MOST_OF_WEBHOOK = 8_000_000
# Seconds for a start, on a machine that has much else to do.
PATIENCE = 60


def build():
    """webhook as `sam build` does it. The others in one go: they share what is compiled, and each links what it calls."""
    cargo = ["cargo", "build", "--release", "--locked"]
    functions = ROOT / "functions"
    subprocess.run(cargo, cwd=functions / "webhook", check=True)
    others = [word for function in FIRST_EVENTS if function != "webhook" for word in ("-p", f"teal-{function}")]
    hello = ["-p", "teal-aws", "--features", "teal-aws/host", "--bins", "--example", "hello"]
    subprocess.run([*cargo, *others, *hello], cwd=functions, check=True)


class Quiet(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Otherwise each answer on a connection that is used again shows 40 ms that are not there.
    disable_nagle_algorithm = True

    def log_message(self, *_):
        pass

    def body(self):
        if "chunked" not in self.headers.get("transfer-encoding", ""):
            return self.rfile.read(int(self.headers.get("content-length", 0)))
        while size := int(self.rfile.readline(), 16):
            self.rfile.read(size + 2)
        self.rfile.readline()

    def answer(self, status, body, headers=()):
        self.send_response(status)
        for name, value in (("content-type", "application/json"), ("content-length", str(len(body))), *headers):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


class Service(Quiet):
    """Any service of AWS."""

    def do_POST(self):
        self.body()
        self.server.asked += 1
        self.answer(200, b"{}")

    do_GET = do_PUT = do_HEAD = do_POST


class RuntimeApi(Quiet):
    def do_GET(self):
        server = self.server
        if server.asked is not None:
            # There is no second event.
            server.answered.wait()
            time.sleep(60)
        server.asked = time.perf_counter()
        deadline = str(int((time.time() + 60) * 1000))
        headers = [("lambda-runtime-aws-request-id", "r"), ("lambda-runtime-deadline-ms", deadline)]
        headers.append(("lambda-runtime-invoked-function-arn", "arn:aws:lambda:us-east-1:123456789012:function:f"))
        self.answer(200, server.event, headers)

    def do_POST(self):
        self.body()
        self.server.done = time.perf_counter()
        self.server.answered.set()
        self.answer(202, b"{}")


def serve(handler, tls=None):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    server.handle_error = lambda *_: None
    if tls:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    return server


def certificates(folder):
    """An authority and a certificate for loopback; what a function has to trust."""

    def openssl(*arguments):
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    openssl("req", "-x509", *curve, "-keyout", "ca.key", "-out", "ca.pem", "-days", "2", "-subj", "/CN=ca")
    openssl("req", *curve, "-keyout", "leaf.key", "-out", "leaf.csr", "-subj", "/CN=loopback")
    (folder / "names").write_text("subjectAltName=IP:127.0.0.1\nbasicConstraints=CA:FALSE\n")
    signing = ["-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-extfile", "names", "-days", "2"]
    openssl("x509", "-req", "-in", "leaf.csr", "-out", "leaf.pem", *signing)
    # As many as a function has to read where it runs.
    system = pathlib.Path("/etc/ssl/certs/ca-certificates.crt")
    trusted = folder / "trusted.pem"
    trusted.write_text((system.read_text() if system.exists() else "") + (folder / "ca.pem").read_text())
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(folder / "leaf.pem", folder / "leaf.key")
    return tls, trusted


def start(program, event, environment):
    """One start: milliseconds to the first question and to the answer, CPU milliseconds, MiB. None: no answer."""
    runtime = serve(RuntimeApi)
    runtime.asked, runtime.done, runtime.answered, runtime.event = None, None, threading.Event(), event
    environment = environment | {"AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{runtime.server_address[1]}"}
    began = time.perf_counter()
    process = subprocess.Popen([program], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    answered = runtime.answered.wait(PATIENCE)
    # Of its own: what the kernel counts at the end has been Python's before.
    peak = pathlib.Path(f"/proc/{process.pid}/status").read_text().split("VmHWM:")[1].split()[0]
    process.send_signal(signal.SIGKILL)
    _, _, used = os.wait4(process.pid, 0)
    process.returncode = -9
    runtime.shutdown()
    runtime.server_close()
    if not answered:
        return None
    spans = (runtime.asked - began, runtime.done - began, used.ru_utime + used.ru_stime)
    return (*(span * 1000 for span in spans), int(peak) / 1024)


def starts(programs, count):
    with tempfile.TemporaryDirectory() as folder:
        tls, trusted = certificates(pathlib.Path(folder))
        service = serve(Service, tls)
        service.asked = 0
        environment = {
            "PATH": "/usr/bin:/bin",
            "SSL_CERT_FILE": str(trusted),
            "AWS_ENDPOINT_URL": f"https://127.0.0.1:{service.server_address[1]}",
            "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_LAMBDA_FUNCTION_NAME": "f",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "256",
            "AWS_LAMBDA_FUNCTION_VERSION": "1",
            "TEAL_SYSTEM": "nowrep",
            "TEAL_STAGE": "dev",
            "TEAL_LEDGER_TABLE": "ledger",
            "TEAL_ENTITIES_TABLE": "entities",
            "TEAL_BUCKET": "bucket",
            "TEAL_SECRETS_PREFIX": "ssm:/nowrep/dev/",
            "TEAL_SCHEDULE_GROUP": "group",
            "TEAL_SCHEDULE_TARGET": "arn:aws:lambda:us-east-1:123456789012:function:poll",
            "TEAL_SCHEDULE_ROLE": "arn:aws:iam::123456789012:role/schedules",
        }
        for queue in ("POLL", "TRANSFORM", "SWITCH"):
            environment[f"TEAL_QUEUE_{queue}"] = f"https://127.0.0.1/queue/{queue.lower()}"
        taken = {name: [] for name in programs}
        asked = dict.fromkeys(programs, 0)
        for _ in range(count):
            for name, program in programs.items():
                event = FIRST_EVENTS.get(name.split("-")[0])
                event = (ROOT / "events" / f"{event}.json").read_bytes() if event else b"{}"
                before = service.asked
                taken[name].append(start(program, event, environment))
                asked[name] += service.asked - before
            print(f"{len(taken['hello'])} of {count}", end="\r", file=sys.stderr, flush=True)
        print(f"\n{'start':<16} {'asks, ms':>9} {'p90':>6} {'answers':>8} {'p90':>6} {'CPU, ms':>8} {'MiB':>5} {'calls':>6}")
        for name, rows in taken.items():
            rows = [row for row in rows if row]
            if len(rows) < count:
                print(f"{name:<16} answered {len(rows)} of {count} within {PATIENCE} s")
            if not rows:
                continue
            columns = list(zip(*rows))
            middle = [statistics.median(column) for column in columns]
            most = [sorted(column)[int(len(column) * 0.9)] for column in columns]
            calls = asked[name] / count
            print(
                f"{name:<16} {middle[0]:>9.1f} {most[0]:>6.1f} {middle[1]:>8.1f} {most[1]:>6.1f} "
                f"{middle[2]:>8.1f} {middle[3]:>5.1f} {calls:>6.1f}"
            )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--starts", type=int, default=0, metavar="N", help="starts of each function to measure")
    parser.add_argument("--also", action="append", default=[], metavar="NAME=PATH", help="another program to measure")
    parser.add_argument("--no-build", action="store_true", help="measure what is there")
    asked = parser.parse_args()
    if not asked.no_build:
        build()
    programs = {name: TARGET / name for name in FIRST_EVENTS if (TARGET / name).exists()}
    programs = {"hello": TARGET / "examples" / "hello"} | programs
    programs |= dict(one.split("=", 1) for one in asked.also)
    print(f"{'size':<16} {'MB':>6}")
    for name, program in programs.items():
        print(f"{name:<16} {os.path.getsize(program) / 1e6:>6.2f}")
    if asked.starts:
        starts(programs, asked.starts)
    if "webhook" in programs and os.path.getsize(programs["webhook"]) >= MOST_OF_WEBHOOK:
        sys.exit("webhook has 8 MB or more")


if __name__ == "__main__":
    main()
