"""Creates a stack of the expanded template on the emulator; prints its outputs as JSON.

Standard input: {"url", "name", "template", "zips": {function: path}, "parameters": {name: value}}. What the emulator
can't do is left out or put differently here, and said on standard error; the template stays right for AWS.
"""

import json
import sys
import time

import boto3

asked = json.load(sys.stdin)
account = dict(
    endpoint_url=asked["url"], aws_access_key_id="test", aws_secret_access_key="test", region_name="us-east-1"
)
s3, cloudformation, ssm = (boto3.client(name, **account) for name in ("s3", "cloudformation", "ssm"))
template = asked["template"]
parameters = {name: known.get("Default") for name, known in template["Parameters"].items()} | asked["parameters"]


def gap(what):
    print(f"gap of the emulator: {what}", file=sys.stderr)


# Alarms on a sum of metrics are not known.
for name in [n for n, r in template["Resources"].items() if "Metrics" in r.get("Properties", {})]:
    gap(f"{name} is left out: no metric math")
    del template["Resources"][name]


# It is asked without TLS, which the bucket's policy forbids, and rightly.
gap("BucketPolicy is left out: the emulator is asked without TLS")
del template["Resources"]["BucketPolicy"]


# Where it enforces roles, it looks for every schedule in the default group, and knows batches as actions.
gap("grants on schedules are for the default group; batches are granted by their own names")
text = json.dumps(template).replace(":schedule/${Schedules}/", ":schedule/default/")
for action in ("sqs:SendMessage", "sqs:ChangeMessageVisibility"):
    text = text.replace(f'"{action}"', f'"{action}", "{action}Batch"')
template = json.loads(text)


# A parameter that is a number arrives as text, also where a number is compared.
def with_numbers(value):
    if isinstance(value, list):
        return [with_numbers(item) for item in value]
    if not isinstance(value, dict):
        return value
    name = value.get("Ref")
    if len(value) == 1 and template["Parameters"].get(name, {}).get("Type") == "Number":
        return int(parameters[name])
    return {key: with_numbers(item) for key, item in value.items()}


gap("parameters that are numbers are filled in: they would be text")
template["Resources"] = with_numbers(template["Resources"])

code = f"code-{asked['name']}"
s3.create_bucket(Bucket=code)
for function, path in asked["zips"].items():
    s3.upload_file(path, code, f"{function}.zip")
for resource in template["Resources"].values():
    if resource["Type"] == "AWS::Lambda::Function":
        resource["Properties"]["Code"]["S3Bucket"] = code
s3.put_object(Bucket=code, Key="template.json", Body=json.dumps(template).encode())
for name, value in asked["secrets"].items():
    system, stage = parameters["System"], parameters["Stage"]
    ssm.put_parameter(Name=f"/{system}/{stage}/{name}", Value=value, Type="SecureString", Overwrite=True)

cloudformation.create_stack(
    StackName=asked["name"],
    TemplateURL=f"{asked['url']}/{code}/template.json",
    Parameters=[{"ParameterKey": key, "ParameterValue": str(value)} for key, value in parameters.items()],
    Capabilities=["CAPABILITY_IAM"],
)
for _ in range(300):
    stack = cloudformation.describe_stacks(StackName=asked["name"])["Stacks"][0]
    if not stack["StackStatus"].endswith("_IN_PROGRESS"):
        break
    time.sleep(0.1)
if stack["StackStatus"] != "CREATE_COMPLETE":
    events = cloudformation.describe_stack_events(StackName=asked["name"])["StackEvents"]
    failed = [f"{e['LogicalResourceId']}: {e.get('ResourceStatusReason')}" for e in events if "FAILED" in e["ResourceStatus"]]
    sys.exit(f"the stack is {stack['StackStatus']}: {stack.get('StackStatusReason')} {failed}")
outputs = {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}
functions = {
    resource["LogicalResourceId"]: resource["PhysicalResourceId"]
    for resource in cloudformation.describe_stack_resources(StackName=asked["name"])["StackResources"]
    if resource["ResourceType"] == "AWS::Lambda::Function"
}
awslambda = boto3.client("lambda", **account)
environment = {
    name: awslambda.get_function_configuration(FunctionName=physical)["Environment"]["Variables"]
    for name, physical in functions.items()
}
json.dump({"outputs": outputs, "environment": environment}, sys.stdout)
