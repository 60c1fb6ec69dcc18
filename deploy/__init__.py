"""The full stack of docker-compose.yaml: its keys, its first start, its demo, its backup."""
