"""plain_floats.py IN.gguf OUT.gguf f16|bf16|f32: the same model with every matrix dequantised to plain floats, as a file that nobody quantised.

Needs the packages numpy and gguf (cmake/bootstrap.sh --tests has them in .deps/venv). Norms and biases stay as they are.
"""
import sys

import gguf
import numpy

TYPES = {"f16": (gguf.GGMLQuantizationType.F16, 1), "bf16": (gguf.GGMLQuantizationType.BF16, 32), "f32": (gguf.GGMLQuantizationType.F32, 0)}


def copy_fields(reader, writer):
    for name, field in reader.fields.items():
        if name.startswith("GGUF.") or name in ("general.architecture", "general.file_type"):
            continue
        kind = field.types[0]
        writer.add_key_value(name, field.contents(), kind, field.types[-1] if kind == gguf.GGUFValueType.ARRAY else None)


def main():
    source, target, name = sys.argv[1:]
    wanted, file_type = TYPES[name]
    reader = gguf.GGUFReader(source)
    writer = gguf.GGUFWriter(target, reader.fields["general.architecture"].contents())
    writer.add_file_type(file_type)
    copy_fields(reader, writer)
    for tensor in reader.tensors:
        values = gguf.quants.dequantize(tensor.data, tensor.tensor_type).astype(numpy.float32)
        if values.ndim == 1:
            writer.add_tensor(tensor.name, values)
        else:
            writer.add_tensor(tensor.name, gguf.quants.quantize(values, wanted), raw_dtype=wanted)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


if __name__ == "__main__":
    main()
