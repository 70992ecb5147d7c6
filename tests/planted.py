"""Answers that a student might give: of which exercise, what the package has, what they have, what the check names."""

PLANTED = [
    ("slowae.conv.im2col", "F // 2, array_module", "1, array_module", "F = 5 stops with ValueError"),
    ("slowae.conv.col2im", "F // 2", "1", "F = 5 stops with ValueError"),
    ("slowae.layers.l2_pool_forward", "group))", "4))", "group = 3 stops with ValueError"),
    ("slowae.layers.l2_pool_backward", "repeat(group", "repeat(4", "stops with ValueError"),
    ("slowae.measures.circular_spread", "reshape(-1, group)", "reshape(-1, 4)", "spread: expected shape"),
    ("slowae.measures.group_similarity", "float(similarity[same", "(similarity[same", "within: expected a float"),
    ("slowae.methods.controls.colour_histogram", "minlength=bins**3", "minlength=512", "histogram: expected shape"),
    ("slowae.losses.sparsity", "xp.sign(h)", "h / xp.abs(h)", "dh.*: expected 0, found nan"),
    ("slowae.losses.drlim", " + (distance == 0)", "", "dz.*: expected 0, found nan"),
    ("slowae.model.loss_and_gradients", "config.alpha * dh_sparsity", "dh_sparsity", "alpha = 0, beta = 0: grads"),
    ("slowae.model.loss_and_gradients", "+ config.alpha * dh_sparsity", "", "alpha = 0.5, beta = 0: grads"),
    ("slowae.model.loss_and_gradients", "+ beta * dh_slowness", "- beta * dh_slowness", "alpha = 0, beta = 2: grads"),
]
