"""Images: names that point at configs over chains of layers; and the forms they travel in."""
