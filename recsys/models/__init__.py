"""Networks: user and item indices in, scores out."""

from recsys.models.base import RatingNetwork
from recsys.models.bias import Bias
from recsys.models.embedding_net import EmbeddingNet
from recsys.models.hybrid import HybridNet
from recsys.models.matrix_factorization import MatrixFactorization
from recsys.models.scorer import Scorer

__all__ = ["Bias", "EmbeddingNet", "HybridNet", "MatrixFactorization", "RatingNetwork", "Scorer"]
