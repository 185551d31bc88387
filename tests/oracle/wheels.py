"""The wheels of the comparison with the real loader: pinned, so that a run can be repeated."""

# Fifteen that load together into one process (CPython 3.11, x86_64): name==version and the import that loads them.
FIFTEEN = {
    "numpy==2.4.6": "import numpy, numpy.fft, numpy.linalg, numpy.random",
    "psycopg2-binary==2.9.11": "import psycopg2",
    "h5py==3.16.0": "import h5py",
    "pyarrow==22.0.0": "import pyarrow",
    "lxml==6.0.2": "import lxml.etree",
    "pyzmq==27.1.0": "import zmq",
    "shapely==2.1.2": "import shapely",
    "rasterio==1.4.3": "import rasterio",
    "pyproj==3.7.2": "import pyproj",
    "opencv-python-headless==4.12.0.88": "import cv2",
    "grpcio==1.76.0": "import grpc",
    "cryptography==46.0.3": "import cryptography.hazmat.bindings._rust",
    "pillow==12.0.0": "import PIL._imaging, PIL._imagingft",
    "scipy==1.17.1": "import scipy.linalg, scipy.special, scipy.sparse.linalg, scipy.spatial",
    "scikit-learn==1.8.0": "import sklearn.utils, sklearn.tree, sklearn.linear_model",
}
# Pure (or small) companions that those need to be imported.
COMPANIONS = (
    "affine==2.4.0", "attrs==25.4.0", "certifi==2025.11.12", "cffi==2.0.0", "click==8.3.1", "cligj==0.7.2",
    "joblib==1.5.2", "pycparser==2.23", "pyparsing==3.2.5", "threadpoolctl==3.6.0", "typing_extensions==4.15.0",
    "click-plugins==1.1.1.2", "narwhals==2.13.0",
)  # fmt: skip
