"""The source of the cases here: `python3 server.py` prints its port, serves until its input ends, and then prints what
was asked for, as one JSON list."""
import gzip
import http.server
import io
import json
import sys
import threading
import urllib.parse
import zipfile

TABLE = "id;name;note\r\n1;amber;\"two\r\nlines\"\r\n2;\"be\"\"ryl\";NULL\r\n3;;x\r\n"
XML = """<?xml version="1.0"?><shop xmlns:a="urn:a" kind="small"><items><item id="1"><name>amber</name><tag>x</tag><tag>y</tag>
</item><item id="2"><name/><a:tag>z</a:tag></item></items></shop>"""
LINES = '{"id": 1, "at": "2024-01-01"}\n\n{"id": 2, "big": 12345678901234567890, "none": null}\r\n{"id": 3, "float": 1.0}\n'


def things(query, count=9):
    offset, limit = int(query.get("offset", 0)), int(query.get("limit", 4))
    return {"data": [{"id": i, "at": f"2024-01-{1 + i:02d}"} for i in range(offset, min(offset + limit, count))]}


class Source(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    seen, polls, lock = [], {}, threading.Lock()

    def log_message(self, *_):
        pass

    def answer(self, body, status=200, kind="application/json"):
        body = body if isinstance(body, bytes) else (body if isinstance(body, str) else json.dumps(body)).encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        url = urllib.parse.urlsplit(self.path)
        query = dict(urllib.parse.parse_qsl(url.query))
        sent = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        with self.lock:
            self.seen.append([self.command, self.path, sent, self.headers.get("Authorization") or self.headers.get("X-Token") or ""])
        here = f"http://{self.headers['Host']}"
        match url.path.strip("/").split("/"):
            case ["csv"]:
                self.answer(TABLE, kind="text/csv")
            case ["xml"]:
                self.answer(XML, kind="application/xml")
            case ["jsonl"]:
                self.answer(LINES)
            case ["gzip"]:
                self.answer(gzip.compress(LINES.encode(), mtime=0), kind="application/octet-stream")
            case ["zip"]:
                packed = io.BytesIO()
                with zipfile.ZipFile(packed, "w") as archive:
                    archive.writestr("a.csv", "id,name\n1,amber\n")
                    archive.writestr("b.csv", "id,name\n2,beryl\n")
                self.answer(packed.getvalue(), kind="application/zip")
            case ["items"]:
                self.answer({"meta": {"more": [1]}, "list": {"rows": [{"id": 1}, {"id": 2, "deep": {"rows": []}}]}})
            case ["jobs"]:
                self.answer({"job": {"id": "j-" + json.loads(sent).get("part", "all")}}, 201)
            case ["jobs", "j-flaky"]:
                with self.lock:
                    count = self.polls["flaky"] = self.polls.get("flaky", 0) + 1
                self.answer({"state": "bad" if count == 1 else "done", "files": [f"{here}/files/flaky"]})
            case ["jobs", job]:
                self.answer({"state": "done", "files": [f"{here}/files/{job}.1", f"{here}/files/{job}.2"]})
            case ["files", name]:
                self.answer(f"id,file\n1,{name}\n2,{name}\n", kind="text/csv")
            case ["sizes"] if int(query.get("limit", 4)) > 2:
                self.answer({"error": "too large"}, 413)
            case ["windows"] if query["from"][:7] != query["to"][:7]:
                self.answer({"error": "too wide"}, 413)
            case ["windows"]:
                self.answer({"data": [{"id": query["from"], "at": query["from"]}]})
            case ["resets"]:
                start = int(query.get("from", "2024-01-01")[-2:]) - 1
                rows = things({"offset": start + int(query.get("offset", 0)), "limit": query.get("limit", 2)})
                self.answer(rows)
            case ["fields"]:
                self.answer({"data": [{"name": name} for name in "abcde"]})
            case ["chunks"]:
                names = query["fields"].split(",")
                self.answer({"data": [{"id": i} | {name: f"{name}{i}" for name in names} for i in ("x", "y")]})
            case ["schema"]:
                kinds = [("id", "int"), ("name", "text"), ("when", "date"), ("odd", "strange")]
                self.answer({"fields": [{"key": key, "kind": kind} for key, kind in kinds]})
            case ["login"]:
                self.answer({"session": {"token": "session-1"}})
            case ["things"] | ["sizes"]:
                self.answer(things(query))
            case ["typed"]:
                self.answer({"data": [{"id": "7", "name": 5, "when": "2024-01-01", "odd": True}]})
            case _:
                self.answer({}, 404)

    do_POST = do_DELETE = do_GET


def serve():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Source)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_port


if __name__ == "__main__":
    print(serve(), flush=True)
    sys.stdin.read()
    print(json.dumps(Source.seen))
