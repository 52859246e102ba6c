"""From a float ONNX graph to one that computes in 8 bits, and what that costs."""
