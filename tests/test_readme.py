"""The README: its Python runs as it stands and prints what the page says."""

import re
from pathlib import Path

import numpy as np
import pytest

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


@pytest.mark.slow
def test_the_python_of_the_readme_prints_what_the_readme_says(capsys):
    source = re.search(r"```python\n(.*?)```", README, re.DOTALL)[1]
    stated = re.findall(r"^    (step \d+: loss \d+|MAP 0.\d+)$", README, re.MULTILINE)
    exec(compile(source, "README.md", "exec"), {})
    printed = capsys.readouterr().out.splitlines()
    numbers = [[float(number) for number in re.findall(r"[\d.]+", " ".join(lines))] for lines in (printed, stated)]
    assert len(printed) == len(stated) == 5
    # The last bits differ between processors, and training makes more of them.
    np.testing.assert_allclose(*numbers, rtol=0.02)
