"""What the reference, airbyte-cdk 7.39.1, makes of the manifests here: writes NAME.json beside each NAME.yaml.

    pip install airbyte-cdk==7.39.1 && python record.py [NAME…]
"""
import json
import pathlib
import subprocess
import sys
import tempfile

import yaml

import server

HERE = pathlib.Path(__file__).parent


def main():
    names = sys.argv[1:] or sorted(path.stem for path in HERE.glob("*.yaml"))
    port = server.serve()
    for name in names:
        server.Source.seen.clear()
        server.Source.polls.clear()
        text = (HERE / f"{name}.yaml").read_text()
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            files = {
                "config": {"url": f"http://127.0.0.1:{port}", "key": "key-1", "mode": "second"},
                "catalog": catalog(yaml.safe_load(text)),
            }
            (folder / "manifest.yaml").write_text(text)
            for file, value in files.items():
                (folder / f"{file}.json").write_text(json.dumps(value))
            command = [pathlib.Path(sys.executable).parent / "source-declarative-manifest", "read"]
            for option in ("--manifest-path", "manifest.yaml", "--config", "config.json", "--catalog", "catalog.json"):
                command.append(option if option.startswith("-") else folder / option)
            run = subprocess.run(command, capture_output=True, text=True)
        outcome = {"succeeds": run.returncode == 0, "records": {}, "states": {}, "requests": sorted(server.Source.seen)}
        for line in run.stdout.splitlines():
            message = json.loads(line)
            if message["type"] == "RECORD":
                record = message["record"]
                outcome["records"].setdefault(record["stream"], []).append(record["data"])
            elif message["type"] == "STATE":
                stream = message["state"]["stream"]
                outcome["states"][stream["stream_descriptor"]["name"]] = stream["stream_state"]
            elif message["type"] == "TRACE" and message["trace"]["type"] == "ERROR":
                print(name, message["trace"]["error"].get("internal_message") or message["trace"]["error"]["message"])
        for records in outcome["records"].values():
            records.sort(key=lambda record: json.dumps(record, sort_keys=True))
        shown = json.dumps(outcome, indent=1).replace(f"127.0.0.1:{port}", "127.0.0.1:PORT")
        (HERE / f"{name}.json").write_text(shown + "\n")
        print(name, outcome["succeeds"], {stream: len(records) for stream, records in outcome["records"].items()})


def catalog(manifest):
    streams = []
    for stream in manifest["streams"]:
        mode = "incremental" if "incremental_sync" in stream else "full_refresh"
        stream = {"name": stream["name"], "json_schema": {}, "supported_sync_modes": ["full_refresh", "incremental"]}
        streams.append({"stream": stream, "sync_mode": mode, "destination_sync_mode": "append"})
    return {"streams": streams}


if __name__ == "__main__":
    main()
