"""Work that is to be carried out, remembered across a crash: documents that are active until they are finished."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from bankmlops.emulator.instance import Emulator
from bankmlops.emulator.state import Document, Documents

_ACTIVE = "active"
_DONE = "done"


@dataclass(frozen=True, slots=True)
class JobStore:
    """The jobs of one kind, by run id, of all workspaces of an emulator."""

    kind: str

    def add(self, emulator: Emulator, run_id: str, job: Document) -> None:
        """Begin to be active; a job that was added before stays as it is."""
        _documents(emulator).get_or_create(self.kind, run_id, lambda: job, group=_ACTIVE)

    def renew(self, emulator: Emulator, run_id: str, job: Document) -> None:
        """Be active (again), with this job in place of one that was finished."""
        _documents(emulator).put(self.kind, run_id, job, group=_ACTIVE)

    def active(self, emulator: Emulator) -> list[Document]:
        """What is not finished, oldest first."""
        return _documents(emulator).find(self.kind, _ACTIVE)

    def find(self, emulator: Emulator, run_id: str) -> Document | None:
        """The job, finished or not, or None."""
        return _documents(emulator).get(self.kind, run_id)

    def change(self, emulator: Emulator, run_id: str, **changes: Any) -> Document | None:
        """Write some fields, leaving alone what others wrote meanwhile; the job as it is now, or None where there is none."""
        return _documents(emulator).update(self.kind, run_id, lambda document: document.update(changes))

    def finish(self, emulator: Emulator, run_id: str) -> None:
        """Nothing is left to do."""
        documents = _documents(emulator)
        with documents.store.transaction():
            document = documents.get(self.kind, run_id)
            if document is not None:
                documents.put(self.kind, run_id, document, group=_DONE)


def _documents(emulator: Emulator) -> Documents:
    return Documents(emulator.store, "")
