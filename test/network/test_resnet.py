import torch
from torch.nn import functional as F

from metabev_ros.network.resnet import ResNet50


def test_resnet50_has_the_published_number_of_parameters():
    """torchvision's 25 557 032 less the classifier (2048 x 1000 + 1000)."""
    assert sum(p.numel() for p in ResNet50().parameters()) == 25_557_032 - 2_049_000


@torch.inference_mode()
def test_resnet50_equals_the_network_written_from_its_parameter_names():
    """Reads the state dict only: a shortcut, stride or norm in another place shows."""
    torch.manual_seed(0)
    network = ResNet50().eval()
    for parameter in network.parameters():
        parameter.data += 0.02 * torch.randn_like(parameter)
    state = network.state_dict()

    def conv_norm(x, conv, norm, stride=1, padding=0):
        x = F.conv2d(x, state[f'{conv}.weight'], stride=stride, padding=padding)
        mean, variance = state[f'{norm}.running_mean'], state[f'{norm}.running_var']
        x = (x - mean[:, None, None]) / (variance + 1e-5).sqrt()[:, None, None]
        return x * state[f'{norm}.weight'][:, None, None] + state[f'{norm}.bias'][:, None, None]

    images = torch.randn(1, 3, 64, 96)
    x = F.max_pool2d(conv_norm(images, 'conv1', 'bn1', 2, 3).relu(), 3, 2, 1)
    expected = []
    for layer, blocks in ((1, 3), (2, 4), (3, 6), (4, 3)):
        for block in range(blocks):
            name, stride = f'layer{layer}.{block}', 2 if layer > 1 and block == 0 else 1
            y = conv_norm(x, f'{name}.conv1', f'{name}.bn1').relu()
            y = conv_norm(y, f'{name}.conv2', f'{name}.bn2', stride, 1).relu()
            y = conv_norm(y, f'{name}.conv3', f'{name}.bn3')
            if block == 0:
                x = conv_norm(x, f'{name}.downsample.0', f'{name}.downsample.1', stride)
            x = (x + y).relu()
        expected.append(x)
    maps = network(images)
    assert [tuple(m.shape[1:]) for m in maps] == [(512, 8, 12), (1024, 4, 6), (2048, 2, 3)]
    for actual, wanted in zip(maps, expected[1:], strict=True):
        torch.testing.assert_close(
            actual, wanted, atol=1e-3 * wanted.abs().max().item(), rtol=1e-3
        )


def test_checkpointing_changes_no_gradient():
    torch.manual_seed(0)
    network = ResNet50().train()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.eval()  # recomputing updates running statistics twice, never the gradient
    images, gradients = torch.randn(1, 3, 32, 32), []
    for network.checkpointing in (False, True):
        network.zero_grad()
        network(images)[-1].square().mean().backward()
        gradients.append(network.conv1.weight.grad.clone())
    torch.testing.assert_close(*gradients)
