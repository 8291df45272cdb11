"""The last linear layer of a head.

Shapes:
    M: rows, any leading dimensions   D: features   O: outputs
"""

from torch import Tensor, nn


class Classifier(nn.Linear):
    """A linear layer of few outputs that treats each row of a batch alike, to the bit.

    A matrix product of few columns rounds a row differently at different places of
    the batch (measured: 12 x 192 by 192 x 2 on a CPU); then a video's score would
    depend on its neighbours.
    """

    def forward(self, features_MD: Tensor) -> Tensor:
        """Gives outputs [M, O]."""
        outputs_MO: Tensor = (features_MD[..., None, :] * self.weight).sum(dim=-1) + self.bias
        return outputs_MO
