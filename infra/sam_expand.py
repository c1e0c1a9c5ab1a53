"""Prints a SAM template as the CloudFormation that SAM makes of it, without a network.

A linter sees a third of a SAM template's faults, and most of what this prints. Local code stands for an object
in a bucket, which the stack's test fills in.

    python infra/sam_expand.py template.yaml [bucket] > expanded.json
"""

import json
import os
import sys

from samtranslator.translator.transform import transform
from samtranslator.yaml_helper import yaml_parse


class NoPolicies:
    """The template uses no managed policy, so nobody has to be asked for their list."""

    def load(self):
        return {}


def main() -> None:
    with open(sys.argv[1]) as file:
        template = yaml_parse(file)
    bucket = sys.argv[2] if len(sys.argv) > 2 else "code"
    for resource in template["Resources"].values():
        code = resource.get("Properties", {}).get("CodeUri")
        if isinstance(code, str):
            resource["Properties"]["CodeUri"] = {"Bucket": bucket, "Key": code.rsplit("/", 1)[-1] + ".zip"}
    os.environ.setdefault("AWS_DEFAULT_REGION", "us-east-1")
    json.dump(transform(template, {}, NoPolicies()), sys.stdout, indent=1)


if __name__ == "__main__":
    main()
