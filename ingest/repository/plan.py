"""Which of a run's paths are repositories, and what the collection remembers of these."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from ingest.containers.unpack import is_container
from ingest.documents import id_of
from ingest.gone import on_disk
from ingest.media_types import by_name
from ingest.prune import Scope
from ingest.repository.git import Git, containing
from ingest.repository.part import Part
from ingest.sources import Found
from rag.errors import BadRequest, RepositoryUnreadable
from rag.ports import Index
from rag.repository import Repository
from rag.types import Document


class Plan:
    """``parts`` are read as repositories, ``plain`` as they are. ``remembered`` is of earlier runs; of it only what was
    read as ``reading`` says is of use. Without ``refresh`` repositories are read wholly. Raises BadRequest,
    RefNotFound and RepositoryUnreadable. With ``is_plain`` nothing is read as a repository."""

    def __init__(
        self,
        paths: Sequence[Path],
        remembered: Sequence[Repository],
        *,
        ref: str | None,
        all_files: bool,
        refresh: bool,
        reading: str,
        scratch: Path,
        is_plain: bool = False,
    ) -> None:
        self._by_path = {Path(each.path): each for each in remembered}
        self._ref, self._all_files, self._refresh = ref, all_files, refresh
        self._reading, self._scratch = reading, scratch
        self.parts: list[Part] = []
        self.plain: list[Path] = list(paths) if is_plain else []
        for path in () if is_plain else paths:
            self._add(path)

    def _add(self, path: Path) -> None:
        real = path.resolve()
        known = self._by_path.get(real)
        git = _git_of(real, known if self._refresh else None)
        if git is None:
            if self._ref is not None:
                raise BadRequest(
                    f"{path} is in no git repository, so it has no --ref.", "Name a repository's folder."
                )
            self.plain.append(path)
            return
        want = self._wanted(git, real, known)
        same = known is not None and (known.reading, known.all_files) == (want.reading, want.all_files)
        self.parts.append(
            Part(git, want, known if same else None, refresh=self._refresh, scratch=self._scratch)
        )

    def _wanted(self, git: Git, real: Path, known: Repository | None) -> Repository:
        folder = real.relative_to(git.root).as_posix()
        ref, all_files = self._ref, self._all_files
        if self._refresh and known is not None:  # as it was asked for then
            ref, all_files = ref or known.ref, known.all_files
        folder = "" if folder == "." else folder
        return Repository(str(git.root), folder, ref, all_files=all_files, reading=self._reading)

    def look(self, plain: Callable[[Sequence[Path]], Found], held: Callable[[], Collection[str]]) -> Found:
        """All files to read, each once; ``plain`` finds those of plain paths."""
        found = [*(part.look(held) for part in self.parts), plain(self.plain)]
        sources = {source.uri: source for each in found for source in each.sources}
        skipped = dict.fromkeys(each for part in found for each in part.skipped)
        return Found(
            tuple(sources.values()), tuple(each for each in skipped if each.path.as_uri() not in sources)
        )

    def scope(self, identity: str, roots: Sequence[Path]) -> Scope:
        """What may have gone: from below ``roots``, and from the repositories."""

        def documents(index: Index) -> list[Document]:
            among = {path for part in self.parts for path in part.sources or ()}
            if roots or any(part.sources is None for part in self.parts) or any(map(_may_hold, among)):
                return index.documents()
            return index.documents([id_of(identity, source) for source in among])

        return Scope(roots, [part.path for part in self.parts], self.standing, documents)

    def standing(self, path: Path) -> Path | None:
        """As ingest/gone.py has it: in the commit that a folder is read from, else on the disk."""
        for part in self.parts:
            if part.is_of_commit and path.is_relative_to(part.path):
                return part.standing(path)
        return on_disk(path)


def _git_of(real: Path, known: Repository | None) -> Git | None:
    """A refresh goes by what was read: the folder may not be in what is checked out now."""
    if known is None:
        return containing(real) if real.is_dir() else None
    git = containing(Path(known.root)) if Path(known.root).is_dir() else None
    if git is None:
        raise RepositoryUnreadable(
            f"{known.root} is no git repository any more, or is ignored by one.",
            f"Read it as it is with: openbook ingest {known.path}",
        )
    return git


def _may_hold(source: str) -> bool:
    """An archive or an e-mail, with documents of its own."""
    return is_container(by_name(source) or "")
