"""Prints what a function has logged, as a JSON string. Standard input: {"url", "name"}."""

import json
import sys

import boto3

asked = json.load(sys.stdin)
account = dict(
    endpoint_url=asked["url"], aws_access_key_id="test", aws_secret_access_key="test", region_name="us-east-1"
)
configuration = boto3.client("lambda", **account).get_function_configuration(FunctionName=asked["name"])
groups = {configuration.get("LoggingConfig", {}).get("LogGroup"), f"/aws/lambda/{asked['name']}"} - {None}
logs, lines = boto3.client("logs", **account), []
for group in sorted(groups):
    try:
        lines += [event["message"] for event in logs.filter_log_events(logGroupName=group)["events"]]
    except logs.exceptions.ResourceNotFoundException:
        pass
json.dump("\n".join(lines), sys.stdout)
