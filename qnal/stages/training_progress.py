"""How far the members in training are, wherever they are trained."""

from collections.abc import Iterable
from threading import Lock

from qnal.ensemble.folder import EnsembleFolder
from qnal.progress import Advance


class TrainingProgress:
    """Moves a bar by what the members' progress files say, between one member and the next.

    Args:
        folder: the ensemble.
        members: the numbers of those to be trained.
        advance: moves the bar, of one step a member.
    """

    def __init__(self, folder: EnsembleFolder, members: list[int], advance: Advance) -> None:
        self.folder = folder
        self.left = set(members)
        self.members = len(members)
        self.advance = advance
        self.shown = 0.0
        self.lock = Lock()  # the bar is moved by the thread that looks as well

    def finished(self, members: Iterable[int]) -> None:
        """Count members as done."""
        self.left.difference_update(members)
        self.look()

    def look(self) -> None:
        """Show where all members are now."""
        with self.lock:
            under_way = {k: p for k, p in self.folder.in_training().items() if k in self.left}
            steps: float = self.members - len(self.left)
            steps += sum(done / total for done, total, _ in under_way.values())
            said = [f"member {k}, epoch {n}/{of}, loss {loss:.3f}"
                    for k, (n, of, loss) in under_way.items()]  # fmt: skip
            if len(said) > 1:
                losses = [loss for _, _, loss in under_way.values()]
                said = [f"{len(said)} in training, loss {min(losses):.3f} to {max(losses):.3f}"]
            self.advance(steps - self.shown, "".join(said))
            self.shown = steps
