"""``nfcodec.torch.NfcDataset``: pictures of .nfc files for training, decoded at the training size.

from nfcodec.torch import NfcDataset
from torch.utils.data import DataLoader

data = NfcDataset("train/", size=224, crop="random", mirror=True)
for batch in DataLoader(data, batch_size=64, shuffle=True, num_workers=2):
    ...
"""

from nfcodec.plugins.dataset import NfcDataset

__all__ = ["NfcDataset"]
