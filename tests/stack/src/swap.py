"""Gives a function another one's code and variables, and leaves it its role.

Standard input: {"url", "name", "zip", "like"}.
"""

import json
import sys

import boto3

asked = json.load(sys.stdin)
awslambda = boto3.client(
    "lambda",
    endpoint_url=asked["url"],
    aws_access_key_id="test",
    aws_secret_access_key="test",
    region_name="us-east-1",
)
variables = {name: value for name, value in asked["like"].items() if name.startswith("TEAL_")}
awslambda.update_function_configuration(FunctionName=asked["name"], Environment={"Variables": variables})
with open(asked["zip"], "rb") as code:
    awslambda.update_function_code(FunctionName=asked["name"], ZipFile=code.read())
json.dump({}, sys.stdout)
