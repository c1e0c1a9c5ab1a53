"""What the reference, airbyte-cdk 7.39.1, makes of the cases here. Writes the *.json beside it.

    pip install airbyte-cdk==7.39.1 freezegun && TZ=UTC python record.py
"""
import copy
import datetime
import io
import json
import math
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


def component(definition):
    from airbyte_cdk.sources.declarative.models import declarative_component_schema as models
    from airbyte_cdk.sources.declarative.parsers.model_to_component_factory import ModelToComponentFactory

    model = getattr(models, definition["type"])
    return ModelToComponentFactory(emit_connector_builder_messages=True).create_component(model, definition, CONTEXT["config"], decoder=None) \
        if "Extractor" not in definition["type"] else extractor(definition)


def extractor(definition):
    from airbyte_cdk.sources.declarative.decoders import JsonDecoder
    from airbyte_cdk.sources.declarative.models import declarative_component_schema as models
    from airbyte_cdk.sources.declarative.parsers.model_to_component_factory import ModelToComponentFactory

    factory = ModelToComponentFactory(emit_connector_builder_messages=True)
    model = getattr(models, definition["type"])
    return factory.create_component(model, definition, CONTEXT["config"], decoder=JsonDecoder(parameters={}))


def response(body, headers):
    import requests

    answer = requests.Response()
    answer.status_code = 200
    answer._content = body.encode()
    answer.raw = io.BytesIO(body.encode())
    answer.headers.update(headers)
    answer.encoding = "utf-8"
    return answer


def outcome_of(case):
    import yaml
    from airbyte_cdk.sources.declarative.datetime.datetime_parser import DatetimeParser
    from airbyte_cdk.sources.types import StreamSlice
    from airbyte_cdk.sources.utils.transform import TransformConfig, TypeTransformer

    kind = case["kind"]
    if kind == "transform":
        record = copy.deepcopy(case["record"])
        slice_ = StreamSlice(**CONTEXT["stream_slice"])
        component(case["component"]).transform(record, config=CONTEXT["config"], stream_slice=slice_)
        return record
    if kind == "extract":
        # Where an empty record was left out, the reference has a placeholder.
        found = component(case["component"]).extract_records(response(case["body"], {}))
        return list(found)
    if kind == "decode":
        return list(component(case["component"]).decode(response(case["body"], case["headers"])))
    if kind == "normalize":
        record = copy.deepcopy(case["record"])
        TypeTransformer(TransformConfig.DefaultSchemaNormalization).transform(record, case["schema"])
        return record
    if kind == "yaml":
        return yaml.safe_load(case["text"])
    if kind == "parse":
        return DatetimeParser().parse(case["text"], case["format"]).isoformat()
    return DatetimeParser().format(datetime.datetime.fromisoformat(case["text"]), case["format"])


def plain(value):
    """Keys as Python's JSON writer has them; dates as output has them; what JSON can't hold, as text."""
    if isinstance(value, dict):
        return {k if isinstance(k, str) else json.dumps(plain(k)).strip('"'): plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    if isinstance(value, (datetime.date, datetime.datetime)):
        return value.isoformat()
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, int) and not isinstance(value, bool) and not -(2**63) <= value < 2**64:
        return str(value)
    return value


def components():
    import logging

    logging.disable(logging.CRITICAL)
    from cases import T

    outcomes = []
    for case in T:
        try:
            outcomes.append({**case, "value": plain(outcome_of(case))})
        except Exception as error:  # noqa: BLE001, every exception is an outcome
            outcomes.append({**case, "error": type(error).__name__})
    return outcomes


def write(name, cases):
    lines = ",\n".join(json.dumps(case, ensure_ascii=False, sort_keys=True, allow_nan=False) for case in cases)
    (HERE / f"{name}.json").write_text(f"[\n{lines}\n]\n")
    print(name, len(cases))


if __name__ == "__main__":
    write("templates", templates())
    write("cases", components())
