"""Changes a function where it is deployed.

Standard input: {"url", "name", "set": variables, "zip": a path or null, "policies": null or what a call before printed}.
Variables are set, code is replaced, and the role is left without its policies, or given them back. Prints the role's
policies as they were.
"""

import json
import sys

import boto3

asked = json.load(sys.stdin)
account = dict(
    endpoint_url=asked["url"], aws_access_key_id="test", aws_secret_access_key="test", region_name="us-east-1"
)
awslambda, iam = boto3.client("lambda", **account), boto3.client("iam", **account)
name = asked["name"]
configuration = awslambda.get_function_configuration(FunctionName=name)
if asked["set"]:
    variables = configuration["Environment"]["Variables"] | asked["set"]
    awslambda.update_function_configuration(FunctionName=name, Environment={"Variables": variables})
if asked["zip"]:
    with open(asked["zip"], "rb") as code:
        awslambda.update_function_code(FunctionName=name, ZipFile=code.read())
role = configuration["Role"].rsplit("/", 1)[1]
names = iam.list_role_policies(RoleName=role)["PolicyNames"]
policies = {n: iam.get_role_policy(RoleName=role, PolicyName=n)["PolicyDocument"] for n in names}
if asked["policies"] is not None:
    for policy in names:
        iam.delete_role_policy(RoleName=role, PolicyName=policy)
    for policy, document in asked["policies"].items():
        iam.put_role_policy(RoleName=role, PolicyName=policy, PolicyDocument=json.dumps(document))
json.dump(policies, sys.stdout)
