"""First-party zoo: small trained weights, one folder each (config.yaml, model.safetensors)."""
