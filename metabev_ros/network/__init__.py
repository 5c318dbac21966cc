"""The network: `nn.Module`s only, no input or output."""
