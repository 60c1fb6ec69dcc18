"""The types that a model file may hold, other than the public estimators of scikit-learn, which skops trusts itself.

Each name was reviewed: a class that only holds numbers and other trusted values, or a function that only returns an
array. No module is trusted as a whole, so nothing that calls, opens or imports comes in with it. Left out on purpose:
``PyFuncDistance`` (it calls what it is given), ``_Scorer`` and every function but two, bound methods, and ``operator``.
What a model file or its MLflow entry calls trusted does not count.
"""

from __future__ import annotations

_DISTANCES = (
    "BrayCurtis", "Canberra", "Chebyshev", "Dice", "Euclidean", "Hamming", "Haversine", "Jaccard", "Kulsinski",
    "Mahalanobis", "Manhattan", "Matching", "Minkowski", "RogersTanimoto", "RussellRao", "SEuclidean",
    "SokalMichener", "SokalSneath",
)  # fmt: skip
_KERNELS = (
    "CompoundKernel", "ConstantKernel", "DotProduct", "ExpSineSquared", "Exponentiation", "Matern",
    "PairwiseKernel", "Product", "RBF", "RationalQuadratic", "Sum", "WhiteKernel",
)  # fmt: skip

ARRAYS = (
    "functools.partial",
    "numpy.dtype",
    "scipy._lib.array_api_compat.numpy._aliases.asarray",
    "scipy.interpolate._bsplines.BSpline",
    "scipy.interpolate._bsplines._BSpline",  # since SciPy 1.18
    "sklearn.utils.validation.check_array",
)
VALUES = ("datetime.date", "datetime.datetime", "datetime.time", "datetime.timedelta")
"""What a category may be, other than texts and numbers."""
TREES = (
    "sklearn.tree._tree.Tree",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
)
NEIGHBOURS = (
    *(f"sklearn.neighbors._kd_tree.KDTree{width}" for width in ("", "32", "64")),
    *(f"sklearn.neighbors._ball_tree.BallTree{width}" for width in ("", "32", "64")),
    *(f"sklearn.metrics._dist_metrics.{name}Distance{width}" for name in _DISTANCES for width in ("32", "64")),
)
PARTS = (
    "sklearn._loss.loss.HalfTweedieLoss",
    "sklearn._loss.loss.HalfTweedieLossIdentity",
    "sklearn.calibration._CalibratedClassifier",
    "sklearn.calibration._SigmoidCalibration",
    "sklearn.calibration._TemperatureScaling",
    "sklearn.gaussian_process._gpc._BinaryGaussianProcessClassifierLaplace",
    *(f"sklearn.gaussian_process.kernels.{name}" for name in _KERNELS),
    "sklearn.multiclass._ConstantPredictor",
    "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
    "sklearn.neural_network._stochastic_optimizers.SGDOptimizer",
    "sklearn.utils._bunch.Bunch",
)
BOOSTING = (
    "collections.OrderedDict",
    "lightgbm.basic.Booster",
    "lightgbm.sklearn.LGBMClassifier",
    "lightgbm.sklearn.LGBMRegressor",
    "xgboost.core.Booster",
    "xgboost.sklearn.XGBClassifier",
    "xgboost.sklearn.XGBRFClassifier",
    "xgboost.sklearn.XGBRFRegressor",
    "xgboost.sklearn.XGBRegressor",
)
"""Their boosters keep trees as bytes or text, which their own parsers read: nothing in them is called or imported."""
TRUSTED_TYPES = [*ARRAYS, *VALUES, *TREES, *NEIGHBOURS, *PARTS, *BOOSTING]
