"""Prior knowledge: what training uses beside the labelled set, as files that workers read."""

from dataclasses import dataclass
from pathlib import Path

from qnal.ensemble.folder import EnsembleFolder
from qnal.ensemble.labelled_set import LabelledSet, has_bal_labels
from qnal.errors import InputError
from qnal.fingerprint import fingerprint
from qnal.network.network import Network
from qnal.network.weights import read_network


@dataclass(frozen=True)
class PriorKnowledge:
    """Mock spectra to mix in, and an ensemble to start from; either may be missing.

    Attributes:
        spectra: folder of the prior's spectra, written like a labelled set.
        initial: folder of the ensemble whose member k is the initial state of member k.
    """

    spectra: Path | None = None
    initial: Path | None = None

    def read_spectra(self) -> LabelledSet | None:
        """The prior's spectra; None without."""
        return None if self.spectra is None else LabelledSet.read(self.spectra)

    def checksum(self) -> str | None:
        """Identity of the initial ensemble, whatever its number of members; None without.

        It is that of its first member's weights and of what the ensemble was made from. Of a bare
        folder of weight files, it is that of all files.

        Raises:
            InputError: the folder cannot be read.
        """
        if self.initial is None:
            return None
        folder = EnsembleFolder(self.initial)
        name = folder.fingerprint()
        weights = list(folder.weight_files(1 if name else None).values())
        return fingerprint({"ensemble": name, "weights": weights})

    def weight_files(self) -> dict[int, Path]:
        """Weight files of the initial ensemble by the numbers of their members; none without.

        Raises:
            InputError: the folder cannot be read.
        """
        if self.initial is None:
            return {}
        folder = EnsembleFolder(self.initial)
        listed, files = folder.description().members, list(folder.weight_files())
        numbers = [k if m.member is None else m.member for k, m in enumerate(listed)]
        return dict(zip(numbers or range(len(files)), files, strict=True))

    def network(self, member: int, template: Network) -> Network | None:
        """Initial state of a member; None without an initial ensemble.

        Args:
            member: its number.
            template: a network of the structure that is to be trained.

        Raises:
            InputError: the ensemble has no such member, or its structure differs.
        """
        if self.initial is None:
            return None
        files = self.weight_files()
        if member not in files:
            raise InputError(
                f"{self.initial}: it has no member {member} to start from, only {len(files)} "
                "others; lower ensemble.n, or train more members of that ensemble."
            )
        found = read_network(files[member], template.lines, template.bal_lines)
        if shapes(found) != shapes(template):
            raise InputError(
                f"{files[member]}: the structure of this network differs from that of the network "
                "to be trained; set network and lines as they were for the ensemble to start from."
            )
        return found

    def teaches_bal(self) -> bool:
        """Whether BAL heads are trained by the prior, or were in the initial ensemble."""
        spectra = self.read_spectra()
        if spectra is not None and has_bal_labels(spectra):
            return True
        return self.initial is not None and EnsembleFolder(self.initial).description().bal_trained


def shapes(network: Network) -> list[object]:
    """What must be equal for one network's weights to continue in another."""
    arrays = [conv.kernel.shape for conv in network.convs]
    arrays += [network.dense_kernel.shape, network.head_kernel.shape]
    return [network.grid.name, network.lines, network.bal_lines, network.offset_activation, *arrays]
