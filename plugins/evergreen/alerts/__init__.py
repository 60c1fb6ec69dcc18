"""What is worth telling people, in which words, and how it reaches them."""
