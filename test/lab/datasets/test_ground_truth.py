import numpy as np

from metabev_ros.geometry import NUSCENES_MAP_GRID
from metabev_ros.lab.datasets.ground_truth import ANY_LABEL, GroundTruth


def truth(**changes):
    empty = np.zeros(0)
    return GroundTruth(
        np.zeros((0, 9)), empty, empty, empty, empty, np.zeros((6, 200, 200)), **changes
    )


def test_without_masks_everything_is_asked_for():
    assert truth().is_asked(np.array([[0.0, 0, 0], [900, 0, 0]]), np.array([0, 8])).all()


def test_an_ignored_box_concerns_its_class_alone_and_its_height():
    rack = np.array([[10.0, 0, 1, 4, 2, 2, np.pi / 2]])  # its length lies along y
    given = truth(ignored=rack, ignored_labels=np.array([7]))
    centres = np.array([[10.0, 1.9, 1], [10, 2.1, 1], [10, 0, 2.5], [10, 0, 1]])
    assert given.is_asked(centres, np.array([7, 7, 7, 0])).tolist() == [False, True, True, True]
    every = truth(ignored=rack, ignored_labels=np.array([ANY_LABEL]))
    assert not every.is_asked(centres[3:], np.array([0])).any()


def test_where_nobody_looked_nothing_is_asked_for_out_to_any_distance():
    known = np.zeros(NUSCENES_MAP_GRID.shape, bool)
    known[:, 100:] = True  # x > 0
    given = truth(objects_known=known)
    centres = np.array([[0.1, 0, 0], [-0.1, 0, 0], [70, 80, 0], [-70, 80, 0]])
    assert given.is_asked(centres, np.zeros(4, int)).tolist() == [True, False, True, False]
