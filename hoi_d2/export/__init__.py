"""Models as ONNX files, and a runner that needs onnxruntime and OpenCV alone."""
