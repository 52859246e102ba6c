"""What is trained on: annotations as they are found, and pictures as the nets see them."""
