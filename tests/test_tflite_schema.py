"""Our schema against the maintained `tflite` package: every slot, type, default and number."""

from __future__ import annotations

import inspect
import re

import pytest
import tflite

from edge_asc.tflite_file import schema

STARTS = {"bool": "Bool", "i8": "Int8", "u8": "Uint8", "u32": "Uint32", "i32": "Int32", "f32": "Float32",
          "u64": "Uint64"}
NEWER = {("SubGraph", "debug_metadata_index"), ("Operator", "debug_metadata_index"),
         ("Conv2DOptions", "quantized_bias_type"), ("FullyConnectedOptions", "quantized_bias_type")}
"""Fields that the package may be too old to know."""
DEPRECATED = {("SignatureDef", "deprecated_tag")}


def camel(name: str) -> str:
    return "".join(part[:1].upper() + part[1:] for part in name.split("_"))


def adder(table: str, field: str) -> str | None:
    module = getattr(tflite, table).__module__
    names = vars(__import__(module, fromlist=["*"]))
    found = names.get(f"{table}Add{camel(field)}") or names.get(f"Add{camel(field)}")
    return inspect.getsource(found) if found else None


@pytest.mark.parametrize("table", sorted(schema.TABLES))
def test_every_field_has_the_slot_type_and_default_of_the_package(table):
    for slot, field in enumerate(schema.TABLES[table]):
        source = adder(table, field.name)
        if source is None:
            assert (table, field.name) in NEWER | DEPRECATED, field
            continue
        found = re.search(r"Prepend(\w+?)(?:Relative)?Slot\((\d+), .*, (-?[\w.]+)\)", source)
        kind, found_slot, default = found.groups()
        assert int(found_slot) == slot, field
        if field.kind == "scalar":
            assert kind == STARTS[field.of], field
            assert {"True": 1, "False": 0}.get(default, default) in (field.default, str(field.default),
                                                                     f"{field.default}.0"), field
        else:
            assert kind == "UOffsetT", field


@pytest.mark.parametrize(("ours", "enumeration"), [
    (schema.OPERATORS, "BuiltinOperator"), (schema.BUILTIN_OPTIONS, "BuiltinOptions"), (schema.PADDINGS, "Padding"),
    (schema.ACTIVATIONS, "ActivationFunctionType")])
def test_every_number_means_what_it_does_in_the_package(ours, enumeration):
    theirs = {name: value for name, value in vars(getattr(tflite, enumeration)).items() if not name.startswith("_")}
    for number, name in ours.items():
        assert theirs[name] == number


def test_the_types_of_tensors_are_those_of_the_package():
    names = {"float32": "FLOAT32", "float16": "FLOAT16", "int32": "INT32", "uint8": "UINT8", "int64": "INT64",
             "bool": "BOOL", "int16": "INT16", "int8": "INT8"}
    for number, dtype in schema.TENSOR_TYPES.items():
        assert getattr(tflite.TensorType, names[dtype.name]) == number


def test_every_vector_holds_what_the_package_says():
    sizes = {"i32": 4, "u16": 2, "u8": 1, "f32": 4, "i64": 8, "bool": 1}
    for table, fields in schema.TABLES.items():
        module = __import__(getattr(tflite, table).__module__, fromlist=["*"])
        for field in fields:
            if field.kind in ("vector", "tables"):
                start = getattr(module, f"{table}Start{camel(field.name)}Vector")
                n_bytes = int(re.search(r"StartVector\((\d+),", inspect.getsource(start)).group(1))
                assert n_bytes == (sizes[field.of] if field.kind == "vector" else 4), (table, field)
