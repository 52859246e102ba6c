"""What happens in front of a camera, beyond one picture: values in, values out, no clock but the frames' own time."""
