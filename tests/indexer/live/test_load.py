import pytest

from footage.indexer.live.load import LoadMeter


def test_the_meter_estimates_how_many_cameras_are_sustained():
    meter = LoadMeter()
    assert meter.load(4).sustained is None
    for second in range(0, 100, 2):
        meter.add(second, second * 0.25, second)
    load = meter.load(4)
    assert (load.busy, load.sustained, load.dropped) == (pytest.approx(0.25), 16, 60)
