"""What the reference, airbyte-cdk 7.39.1, makes of the cases here. Writes the *.json beside it.

    pip install airbyte-cdk==7.39.1 freezegun && TZ=UTC python record.py
"""
import json
import pathlib

import freezegun

HERE = pathlib.Path(__file__).parent
CONTEXT = json.loads((HERE / "context.json").read_text())


def templates():
    from airbyte_cdk.sources.declarative.interpolation.interpolated_boolean import InterpolatedBoolean
    from airbyte_cdk.sources.declarative.interpolation.interpolated_string import InterpolatedString
    from airbyte_cdk.sources.declarative.interpolation.jinja import JinjaInterpolation
    from airbyte_cdk.sources.types import StreamSlice
    from requests.structures import CaseInsensitiveDict

    variables = dict(CONTEXT)
    parameters = variables.pop("parameters")
    config = variables.pop("config")
    variables["headers"] = CaseInsensitiveDict(variables["headers"])
    variables["stream_slice"] = StreamSlice(**variables["stream_slice"])
    outcomes = []
    for line in (HERE / "templates.txt").read_text().splitlines():
        if line.startswith("# "):
            continue
        text = line.replace("\\n", "\n") if "{{" not in line or line.endswith("\\n") else line

        def outcome(make):
            try:
                value = make()
                return {"value": json.loads(json.dumps(value, allow_nan=False))}
            except Exception as error:  # noqa: BLE001, every exception is an outcome
                return {"error": type(error).__name__}

        with freezegun.freeze_time(CONTEXT["now"]):
            outcomes.append({
                "template": text,
                "string": outcome(lambda: InterpolatedString(string=text, parameters=parameters).eval(config, **variables)),
                "member": outcome(lambda: JinjaInterpolation().eval(text, config, parameters=parameters, **variables)),
                "bool": outcome(lambda: InterpolatedBoolean(condition=text, parameters=parameters).eval(config, **variables)),
            })
    return outcomes


def write(name, cases):
    lines = ",\n".join(json.dumps(case, ensure_ascii=False, sort_keys=True) for case in cases)
    (HERE / f"{name}.json").write_text(f"[\n{lines}\n]\n")
    print(name, len(cases))


if __name__ == "__main__":
    write("templates", templates())
