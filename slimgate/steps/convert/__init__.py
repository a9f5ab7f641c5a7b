"""Steps that change the format of a model: ONNX, OpenVINO, AOTInductor. One file for each step."""
