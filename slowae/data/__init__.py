"""From files to arrays: videos, patches, the toy plane, CIFAR-10, whitening."""
