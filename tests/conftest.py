"""pytest --backend cupy runs the same tests on a GPU; without a device they skip and say so."""

import pytest
from hypothesis import settings

from slowae import backend

settings.register_profile("slowae", deadline=None, derandomize=True, max_examples=25)
settings.load_profile("slowae")


def pytest_addoption(parser):
    parser.addoption("--backend", default="numpy", choices=("numpy", "cupy"), help="run the tests on this backend")


@pytest.fixture(autouse=True, scope="session")
def chosen_backend(request):
    """The backend that to_device moves to, for the whole run."""
    name = request.config.getoption("--backend")
    if name == "cupy" and not backend.gpu_available():
        pytest.skip("--backend cupy, but there is no CuPy or no CUDA device here")
    backend.use(name)


@pytest.fixture(autouse=True)
def _each_by_itself(monkeypatch):
    """No user's settings; and a backend that a test, or main(), chooses is chosen for that test alone."""
    monkeypatch.setattr(backend, "_chosen", backend._chosen)
    for name in ("SLOWAE_DATA", "SLOWAE_BACKEND", "SLOWAE_CONV"):
        monkeypatch.delenv(name, raising=False)


def pytest_collection_modifyitems(items):
    if backend.gpu_available():
        return
    for item in items:
        if "gpu" in item.keywords:
            item.add_marker(pytest.mark.skip(reason="needs a CUDA device and CuPy"))
