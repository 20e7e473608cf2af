"""The cross-attentive GRUs: shapes, padding that never leaks, missing streams, the variants of the ablation."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from rdmf_cli.fusion.cross_gru import (
    ATTENTIONS,
    DIRECTIONS,
    STREAMS,
    CrossAttentiveGru,
    CrossGruConfig,
    CrossGruRetrieval,
    differences,
)

DIMS = {"motion": 5, "image": 6, "caption": 7}
STEPS = {"motion": 8, "image": 9, "caption": 3}
CONFIG = CrossGruConfig(hidden=8, heads=2)


def inputs(batch: int = 4, seed: int = 0) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    generator = torch.Generator().manual_seed(seed)
    streams = {name: torch.randn(batch, STEPS[name], DIMS[name], generator=generator) for name in STREAMS}
    return streams, {name: torch.ones(batch, STEPS[name], dtype=torch.bool) for name in STREAMS}


def network(config: CrossGruConfig = CONFIG, seed: int = 1) -> CrossAttentiveGru:
    torch.manual_seed(seed)
    return CrossAttentiveGru(config, DIMS).eval()


@pytest.mark.parametrize("attention", ATTENTIONS)
@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("streams", [STREAMS, ("image", "caption"), ("motion", "caption"), ("image",)])
def test_every_variant_has_the_width_it_says(attention, direction, streams):
    config = replace(CONFIG, attention=attention, direction=direction, streams=streams, layers=2)
    fused = network(config)(*inputs())
    assert fused.joined.shape == (4, config.output_dim)
    assert set(fused.pooled) == set(streams)
    asker = "image" if config.asked else streams[0]
    assert fused.sequence.shape == (4, STEPS[asker], 8)
    assert torch.isfinite(fused.joined).all()


def test_stages_are_asked_in_order_and_the_image_asks():
    assert CONFIG.asked == ("motion", "caption")
    assert CONFIG.num_attended == 2
    assert replace(CONFIG, attention="single").num_attended == 1
    assert replace(CONFIG, direction="both").num_attended == 4
    assert replace(CONFIG, query="motion").asked == ("image", "caption")


def test_padding_never_leaks():
    net = network(replace(CONFIG, direction="both"))
    streams, valid = inputs()
    for name, keep in (("motion", 5), ("image", 4), ("caption", 1)):
        valid[name][:, keep:] = False
    expected = net(streams, valid).joined
    for name in STREAMS:
        streams[name] = torch.where(valid[name][..., None], streams[name], torch.nan)
    assert torch.equal(net(streams, valid).joined, expected)
    shorter = {name: x[:, : int(valid[name][0].sum())] for name, x in streams.items()}
    cut = {name: valid[name][:, : x.shape[1]] for name, x in shorter.items()}
    torch.testing.assert_close(net(shorter, cut).joined, expected)


def test_batch_is_one_by_one():
    net = network()
    streams, valid = inputs()
    valid["motion"][2] = False  # one window without motion changes nobody else's answer
    whole = net(streams, valid).joined
    for row in range(4):
        single = net({k: x[row : row + 1] for k, x in streams.items()}, {k: x[row : row + 1] for k, x in valid.items()})
        torch.testing.assert_close(single.joined[0], whole[row], atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("attention", ATTENTIONS)
@pytest.mark.parametrize("missing", STREAMS)
def test_missing_stream_gives_numbers_and_gradients(attention, missing):
    net = network(replace(CONFIG, attention=attention, direction="both" if attention == "two_stage" else "from_query"))
    streams, valid = inputs()
    valid[missing][:] = False
    fused = net(streams, valid)
    fused.joined.sum().backward()
    assert torch.isfinite(fused.joined).all()
    assert (fused.pooled[missing] == 0).all()
    assert all(p.grad is None or torch.isfinite(p.grad).all() for p in net.parameters())


def test_unimodal_sees_only_its_stream():
    net = network(replace(CONFIG, streams=("motion",)))
    streams, valid = inputs()
    expected = net(streams, valid).joined
    assert torch.equal(net({"motion": streams["motion"]}, {"motion": valid["motion"]}).joined, expected)


def test_attention_finds_what_the_query_asks_for():
    """With attention the answer depends on the pairing of image and motion, not only on both."""
    streams, valid = inputs(batch=2)
    swapped = {**streams, "motion": streams["motion"].flip(0)}
    net = network()
    first, second = net(streams, valid), net(swapped, valid)
    pooled = torch.cat([first.pooled["image"], first.pooled["motion"].flip(0)], dim=1)
    torch.testing.assert_close(torch.cat([second.pooled["image"], second.pooled["motion"]], dim=1), pooled)
    assert not torch.allclose(first.sequence, second.sequence, atol=1e-3)


@pytest.mark.parametrize("query_shape", [(2, 6), (2, 4, 6)], ids=["sentence", "words"])
@pytest.mark.parametrize("attention", ATTENTIONS)
def test_retrieval_is_called_with_snippets_and_a_query(query_shape, attention):
    torch.manual_seed(0)
    net = CrossGruRetrieval(replace(CONFIG, attention=attention), dim=6).eval()
    snippets, query = torch.randn(2, 11, 6), torch.randn(query_shape)
    assert net(snippets, query).shape == (2, 11, 8)
    if attention != "none":
        assert not torch.allclose(net(snippets, query), net(snippets, query + 1), atol=1e-3)
    valid = torch.ones(2, 11, dtype=torch.bool)
    valid[:, 7:] = False
    noisy = torch.where(valid[..., None], snippets, 1e3)
    torch.testing.assert_close(net(noisy, query, valid)[:, :7], net(snippets[:, :7], query), atol=1e-5, rtol=1e-4)


def test_differences_start_at_rest():
    x = torch.tensor([[[1.0], [3.0], [2.0]]])
    assert differences(x).flatten().tolist() == [0.0, 2.0, -1.0]


@pytest.mark.parametrize(
    "wrong",
    [
        {"streams": ()},
        {"streams": ("image", "sound")},
        {"streams": ("image", "image")},
        {"attention": "three_stage"},
        {"direction": "sideways"},
        {"query": "sound"},
        {"hidden": 7},
        {"heads": 0},
        {"dropout": 1.0},
    ],
)
def test_nonsense_is_refused(wrong):
    with pytest.raises(ValueError):
        replace(CONFIG, **wrong)
