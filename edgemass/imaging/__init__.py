"""Pictures into tensors and boxes back into pictures: values in, values out, no runtime and no disk."""
