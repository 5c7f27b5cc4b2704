"""A git repository into a collection: what is read, what a commit changes, what is remembered."""

from __future__ import annotations

import os
import shutil
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pygit2
import pytest
from pygit2.enums import ResetMode

from fake_engine import fake_engine
from fakes import FakeEmbedder
from git_house import Repo, Shelf, reasons, statuses
from ingest import catalog, classify, pipeline, workers
from ingest.report import FileResult
from ingest.repository.trees import CommitTree
from ingest.run import Run, begin
from ingest.sources import Source
from ingest.uploads import Uploads
from ingest.work import hash_of
from rag import errors as e
from rag.collection_settings import REPOSITORIES
from rag.compose import Engine
from rag.models.embed_cache import CachedEmbedder
from rag.repository import commit_of, dump


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    with fake_engine(tmp_path_factory.mktemp("data")) as engine:
        yield engine


@pytest.fixture
def shelf(engine: Engine) -> Iterator[Shelf]:
    """Its collections are emptied, not dropped, for the next test: making one takes longer than most tests."""
    yield Shelf(engine)
    for name in engine.rag.store.names():
        index = engine.rag.store.open(name)
        index.remove([document.id for document in index.documents()])
        engine.rag.collection_settings.forget(name)


@pytest.fixture
def repo(tmp_path: Path) -> Repo:
    return Repo(tmp_path / "project")


# --- what is read ---------------------------------------------------------------------------------------------


def test_tracked_and_new_files_are_read_and_ignored_ones_told_in_one_line(shelf: Shelf, repo: Repo) -> None:
    repo.write(".gitignore", "*.log\nbuild/\n")
    repo.write(".github/workflows/x.yml", "on: push\n")
    repo.commit(a_py="a = 1\n", deep__b_md="# B\n")
    repo.write("new.py", "n = 1\n")
    repo.write(".env", "SECRET=1\n")
    repo.write("run.log")
    repo.write("build/out.py")
    repo.write("venv/pyvenv.cfg")
    repo.write("venv/lib/x.py")
    report = shelf.run(repo.root)
    assert set(statuses(report, "added")) == {
        "project/.gitignore",
        "project/.github/workflows/x.yml",
        "project/a.py",
        "project/deep/b.md",
        "project/new.py",
    }
    told = [each.reason for each in report.files if each.status == "skipped"]
    assert told == [
        "2 files and folders ignored by git: build/, run.log",
        "3 files and folders hidden or made, not tracked by git: .env, venv/lib/x.py, venv/pyvenv.cfg",
    ]


def test_a_folder_below_the_root_is_named_from_its_own_name(shelf: Shelf, repo: Repo) -> None:
    repo.commit(src__a_py="a\n", docs__b_md="b\n")
    report = shelf.run(repo.root / "src")
    assert statuses(report) == {"src/a.py": "added"}
    assert [(each.root, each.folder) for each in shelf.known()] == [(str(repo.root), "src")]


def test_what_is_no_file_of_the_repository_is_named(shelf: Shelf, repo: Repo, tmp_path: Path) -> None:
    repo.commit(a_py="a\n")
    (tmp_path / "secret.txt").write_text("secret\n")
    (repo.root / "out.txt").symlink_to(tmp_path / "secret.txt")
    (repo.root / "in.py").symlink_to("a.py")
    (repo.root / "up").symlink_to(tmp_path)
    repo.commit()
    Repo(repo.root / "inner").commit(x_py="x\n")
    expected = {
        "project/out.txt": "a link that leads out of the repository",
        "project/in.py": "a link to a.py",
        "project/up": "a link that leads out of the repository",
    }
    own = f"a repository of its own (ingest it by itself: {repo.root / 'inner'})"
    assert reasons(shelf.run(repo.root)) == expected | {"project/inner/": own}
    assert reasons(shelf.run(repo.root, ref="main", collection="d")) == expected


def test_a_folder_that_became_a_link_leads_nowhere(shelf: Shelf, repo: Repo, tmp_path: Path) -> None:
    repo.commit(a_py="a\n", d__b_py="b\n")
    (repo.root / "d").rename(tmp_path / "elsewhere")
    (repo.root / "d").symlink_to(tmp_path / "elsewhere")
    assert set(statuses(shelf.run(repo.root), "added")) == {"project/a.py"}


def test_submodules_are_named(shelf: Shelf, repo: Repo, tmp_path: Path) -> None:
    commit = Repo(tmp_path / "library").commit(lib_py="lib\n")
    repo.commit(a_py="a\n")
    repo.submodule("lib", commit)
    named = {"project/lib/": f"a submodule (ingest it by itself: {repo.root / 'lib'})"}
    assert reasons(shelf.run(repo.root)) == named
    assert reasons(shelf.run(repo.root, ref="main", collection="d")) == named


def test_a_linked_work_tree_is_one(shelf: Shelf, repo: Repo, tmp_path: Path) -> None:
    repo.commit(a_py="a\n")
    repo.git.add_worktree("other", str(tmp_path / "other"))
    (tmp_path / "other" / "b.py").write_text("b\n")
    assert statuses(shelf.run(tmp_path / "other")) == {"other/a.py": "added", "other/b.py": "added"}


@pytest.mark.parametrize("ref", [None, "main"])
def test_what_says_little_is_left_out_unless_it_is_asked_for(
    shelf: Shelf, repo: Repo, ref: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    repo.write("vendor/x/lib.go", "package x\n")
    repo.write("vendor/y.go", "package y\n")
    repo.write("yarn.lock", "lock\n")
    repo.write("api.pb.go", "package api\n")
    repo.write("gen.go", "// Code generated by tool. DO NOT EDIT.\npackage x\n")
    monkeypatch.setattr(classify, "MAX_CODE_BYTES", 200)
    repo.write("big.py", "x = 1\n" * 50)
    repo.write("film.bin", "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12000000\n")
    repo.write("empty.py", "")
    repo.write("mine.py", "mine = 1\n")
    repo.write("theirs.py", "theirs = 1\n")
    attributes = ("theirs.py linguist-vendored", "gen2.go -linguist-generated", "kept.go -linguist-vendored")
    repo.write(".gitattributes", "\n".join(attributes))
    repo.write("vendor/kept.go", "package kept\n")
    repo.write("gen2.go", "// Code generated by tool. DO NOT EDIT.\npackage x\n")
    repo.commit()
    report = shelf.run(repo.root, ref=ref)
    added = {f"project/{name}" for name in (".gitattributes", "gen2.go", "mine.py", "vendor/kept.go")}
    assert set(statuses(report, "added")) == added
    override = "; --all-files reads it"
    lfs = "a Git LFS pointer, 12.0 MB elsewhere; fetch with: git lfs pull"
    assert reasons(report) == {
        "project/vendor/": "vendored (2 files); --all-files reads them",
        "project/yarn.lock": f"a lock file{override}",
        "project/api.pb.go": f"generated, as its name says{override}",
        "project/gen.go": f"generated, as its header says{override}",
        "project/big.py": f"too large for code (300 bytes; at most 200 are read){override}",
        "project/film.bin": lfs,
        "project/empty.py": "empty",
        "project/theirs.py": f"vendored, as .gitattributes says{override}",
    }
    assert set(reasons(shelf.run(repo.root, ref=ref, all_files=True))) == {
        "project/film.bin",
        "project/empty.py",
    }


def test_whoever_names_a_vendored_folder_means_it(shelf: Shelf, repo: Repo) -> None:
    repo.commit(vendor__x__lib_go="package x\n")
    assert statuses(shelf.run(repo.root / "vendor")) == {"vendor/x/lib.go": "added"}


def test_a_folder_that_is_ignored_is_read_as_it_is(shelf: Shelf, repo: Repo) -> None:
    repo.commit(_gitignore="data/\n")
    repo.write("data/a.md", "# A\n")
    assert statuses(shelf.run(repo.root / "data")) == {"data/a.md": "added"}
    assert shelf.known() == ()


def test_names_that_are_odd(shelf: Shelf, repo: Repo) -> None:
    names = [os.fsdecode(b"caf\xe9.txt"), "new\nline.md", "a b#?%.py", "README.md", "readme.md"]
    for name in names:
        repo.write(name, f"{name.encode(errors='replace')!r}\n")
    repo.commit()
    report = shelf.run(repo.root)
    assert report.count("added") == 5
    again = shelf.run(repo.root, ref="main")
    assert (again.count("added", "replaced", "removed"), again.embedded) == (0, 0)
    repo.write(names[0], "changed\n")
    repo.commit()
    assert shelf.refresh().count("replaced") == 1
    repo.remove(names[0])
    repo.commit()
    assert shelf.refresh().count("removed") == 1
    assert len(shelf.documents()) == 4


# --- commits and branches -------------------------------------------------------------------------------------


def two_branches(repo: Repo, same: int = 20, differing: int = 5) -> None:
    for n in range(same):
        repo.write(f"same/{n}.py", f"same = {n}\n")
    for n in range(differing):
        repo.write(f"d{n}.py", f"here = {n}\n")
    repo.commit()
    repo.branch("other")
    for n in range(differing):
        repo.write(f"d{n}.py", f"there = {n}\n")
    repo.commit()


def test_between_two_branches_only_what_differs_is_touched(
    shelf: Shelf, repo: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    two_branches(repo)
    embedder = FakeEmbedder()
    cached = CachedEmbedder(embedder, tmp_path / "vectors.db")
    monkeypatch.setattr(shelf.engine.rag, "embedder", cached)
    assert shelf.run(repo.root, ref="main").embedded == 25
    switched = shelf.refresh("other")
    assert [each.status for each in switched.files] == ["replaced"] * 5
    assert (switched.parsed, switched.embedded, len(embedder.embedded)) == (5, 5, 30)
    back = shelf.refresh("main")
    assert (back.count("replaced"), back.parsed, back.embedded, back.reused) == (5, 5, 0, 5)
    second = shelf.run(repo.root, ref="other", collection="second")
    assert (second.count("added"), second.embedded, second.reused) == (25, 0, 25)
    assert len(embedder.embedded) == 30
    cached.close()


@pytest.mark.parametrize("again", ["refresh", "ingest"])
def test_a_commit_is_read_without_the_work_tree(
    shelf: Shelf, repo: Repo, again: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    two_branches(repo)
    shelf.run(repo.root, ref="other")
    repo.write("d0.py", "dirty\n")
    assert shelf.texts(repo.root)["d0.py"] == "here = 0\n"
    written: list[str] = []
    monkeypatch.setattr(CommitTree, "file", _noting(CommitTree.file, written))
    report = shelf.refresh("main") if again == "refresh" else shelf.run(repo.root, ref="main")
    assert written == [f"d{n}.py" for n in range(5)]
    assert set(statuses(report)) == {f"project/d{n}.py" for n in range(5)}
    assert shelf.texts(repo.root)["d0.py"] == "there = 0\n"
    assert not (shelf.engine.owner.folder / "unpacked").exists()


def _noting(real: Callable[[CommitTree, str], Path], told: list[str]) -> Callable[[CommitTree, str], Path]:
    def noting(tree: CommitTree, path: str) -> Path:
        told.append(path)
        return real(tree, path)

    return noting


def test_what_a_commit_does_not_have_goes_though_it_is_on_the_disk(shelf: Shelf, repo: Repo) -> None:
    first = repo.commit(a_py="a\n", b="a file\n", old__c_py="def c(): pass\n")
    repo.remove("b")
    repo.remove("old")
    second = repo.commit(b__inner_py="a folder\n", new__c_py="def c(): pass\n", d_py="d\n")
    shelf.run(repo.root, ref=second)
    went = shelf.refresh(first)
    assert statuses(went, "removed") == {
        "b/inner.py": "removed",
        "new/c.py": "removed",
        "project/d.py": "removed",
    }
    assert set(shelf.texts(repo.root)) == {"a.py", "b", "old/c.py"}
    came = shelf.refresh(second)
    assert set(shelf.texts(repo.root)) == {"a.py", "b/inner.py", "new/c.py", "d.py"}
    assert came.count("removed") == 2
    shelf.run(repo.root)  # the work tree again
    assert shelf.known()[0].ref is None
    assert set(shelf.texts(repo.root)) == {"a.py", "b/inner.py", "new/c.py", "d.py"}


@pytest.mark.parametrize("ref", [None, "main"])
def test_a_rename_costs_no_embedding(shelf: Shelf, repo: Repo, ref: str | None) -> None:
    repo.commit(a_py="def a(): pass\n", copy_py="def a(): pass\n", keep_py="k\n")
    shelf.run(repo.root, ref=ref)
    (repo.root / "a.py").rename(repo.root / "b.py")
    repo.commit()
    report = shelf.refresh()
    assert (statuses(report), report.embedded) == ({"project/b.py": "added", "project/a.py": "removed"}, 0)


def test_what_is_in_an_archive_of_a_commit_comes_and_goes(shelf: Shelf, repo: Repo) -> None:
    def archived(*names: str) -> str:
        with zipfile.ZipFile(repo.root / "a.zip", "w") as archive:
            for name in names:
                archive.writestr(name, name)
        return repo.commit()

    first, second = archived("one.txt", "two.txt"), archived("two.txt", "three.txt")
    shelf.run(repo.root, ref=first)
    assert set(shelf.texts(repo.root)) == {"a.zip/one.txt", "a.zip/two.txt"}
    shelf.refresh(second)
    assert set(shelf.texts(repo.root)) == {"a.zip/two.txt", "a.zip/three.txt"}
    uri = next(each.source for each in shelf.documents())
    assert commit_of(shelf.known(), uri) == second
    repo.remove("a.zip")
    shelf.refresh(repo.commit(b_md="b\n"))
    assert set(shelf.texts(repo.root)) == {"b.md"}


# --- refresh --------------------------------------------------------------------------------------------------


def test_refresh_looks_at_nothing_but_what_changed(
    shelf: Shelf, repo: Repo, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = repo.commit(a_py="a\n", b_py="b\n", c_py="c\n")
    assert shelf.run(repo.root).commits == {str(repo.root): first}
    looked: list[str] = []

    def looking(source: Source) -> str:
        looked.append(source.name)
        return hash_of(source)

    monkeypatch.setattr(pipeline, "hash_of", looking)
    assert (shelf.refresh().files, looked) == ((), [])
    repo.write("a.py", "a changed\n")
    assert statuses(shelf.refresh()) == {"project/a.py": "replaced"}
    second = repo.commit(b_py="b changed\n", d_py="d\n")
    looked.clear()
    report = shelf.refresh()
    assert statuses(report) == {
        "project/a.py": "unchanged",
        "project/b.py": "replaced",
        "project/d.py": "added",
    }
    assert report.commits == {str(repo.root): second}
    assert looked == ["project/a.py", "project/b.py", "project/d.py"]
    repo.remove("d.py")
    assert statuses(shelf.refresh()) == {"project/d.py": "removed"}


def test_a_file_that_was_dirty_and_is_put_back_is_read_again(shelf: Shelf, repo: Repo) -> None:
    repo.commit(a_py="a\n")
    repo.write("a.py", "dirty\n")
    shelf.run(repo.root)
    repo.write("a.py", "a\n")
    assert statuses(shelf.refresh()) == {"project/a.py": "replaced"}
    assert shelf.texts(repo.root) == {"a.py": "a\n"}
    assert shelf.known()[0].dirty == ()


def test_the_commit_of_a_source_is_told_unless_it_differs(shelf: Shelf, repo: Repo) -> None:
    commit = repo.commit(a_py="a\n", b_py="b\n")
    repo.write("a.py", "dirty\n")
    shelf.run(repo.root)
    known = shelf.known()
    a, b = ((repo.root / name).as_uri() for name in ("a.py", "b.py"))
    elsewhere = (repo.root.parent / "project-2" / "b.py").as_uri()
    assert [commit_of(known, uri) for uri in (a, b, elsewhere)] == ["", commit, ""]


def test_when_the_rules_change_all_is_looked_at(shelf: Shelf, repo: Repo) -> None:
    repo.commit(a_py="a\n", b_py="b\n")
    shelf.run(repo.root)
    repo.commit(_gitattributes="b.py linguist-generated\n")
    assert set(reasons(shelf.refresh())) == {"project/b.py"}
    known = shelf.known()[0]
    assert known.dirty == ("b.py",)  # the version from before stays, and is no file of this commit


def test_a_commit_that_is_not_there_any_more_is_no_start(shelf: Shelf, repo: Repo) -> None:
    repo.commit(a_py="a\n")
    shelf.run(repo.root)
    (lost,) = shelf.known()
    shelf.engine.rag.collection_settings.set("c", REPOSITORIES, dump([replace(lost, commit="0" * 40)]))
    assert statuses(shelf.refresh()) == {"project/a.py": "unchanged"}
    assert shelf.known() == (lost,)


def test_a_run_that_was_broken_off_is_made_good(shelf: Shelf, repo: Repo) -> None:
    two_branches(repo)
    shelf.run(repo.root)
    repo.checkout("other")
    events = begin(shelf.engine, Run("c", (), refresh=True))
    next(event for event in events if isinstance(event, FileResult))
    events.close()  # type: ignore[attr-defined]
    repo.checkout("main")
    report = shelf.refresh()
    assert {each.name for each in report.files} >= {f"project/d{n}.py" for n in range(5)}
    assert shelf.texts(repo.root)["d0.py"] == "there = 0\n"
    assert shelf.known()[0].dirty == ()


def test_what_is_remembered_goes_with_the_collection(shelf: Shelf, repo: Repo) -> None:
    repo.commit(a_py="a\n")
    shelf.run(repo.root)
    rag = shelf.engine.rag
    catalog.removed(
        rag.store,
        Uploads(shelf.engine.owner.folder),
        rag.collection_settings,
        "c",
        [],
        Path("/"),
        everything=True,
    )
    with pytest.raises(e.BadRequest, match=r"'c' was not made from a repository.*openbook ingest REPO"):
        shelf.refresh()


def test_a_folder_that_was_removed_is_not_refreshed(shelf: Shelf, repo: Repo, tmp_path: Path) -> None:
    repo.commit(a_py="a\n")
    other = Repo(tmp_path / "other")
    other.commit(b_py="b\n")
    shelf.run(repo.root, other.root)
    rag, uploads = shelf.engine.rag, Uploads(shelf.engine.owner.folder)
    catalog.removed(rag.store, uploads, rag.collection_settings, "c", ["other"], tmp_path)
    other.commit(b_py="changed\n")
    assert shelf.refresh().files == ()
    assert [each.root for each in shelf.known()] == [str(repo.root)]


def test_what_failed_for_good_is_tried_when_it_changes_and_else_at_once(
    shelf: Shelf, repo: Repo, monkeypatch: pytest.MonkeyPatch
) -> None:
    repo.write("a.pdf", b"%PDF-no")
    repo.commit(b_md="b\n")
    assert statuses(shelf.run(repo.root), "failed") == {"project/a.pdf": "failed"}
    assert shelf.refresh().files == ()
    repo.write("a.pdf", b"%PDF-neither")
    repo.commit()
    assert statuses(shelf.refresh()) == {"project/a.pdf": "failed"}

    def ended(*_: object) -> None:
        error = e.SourceCrash("The workers ended.")
        error.retryable = True
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(workers, "parse", ended)
        repo.commit(b_md="changed\n")
        assert statuses(shelf.refresh()) == {"project/b.md": "failed"}
    assert statuses(shelf.refresh()) == {"project/b.md": "replaced"}


def test_a_dry_run_tells_and_remembers_nothing(shelf: Shelf, repo: Repo) -> None:
    repo.commit(a_py="a\n")
    shelf.run(repo.root)
    before = shelf.known()
    repo.remove("a.py")
    repo.commit(b_py="b\n")
    report = shelf.run(repo.root, dry=True)
    assert statuses(report) == {"project/b.py": "added", "project/a.py": "removed"}
    assert shelf.known() == before
    assert set(shelf.texts(repo.root)) == {"a.py"}


def test_two_folders_of_one_repository(shelf: Shelf, repo: Repo) -> None:
    repo.commit(src__a_py="a\n", docs__b_md="b\n", c_md="c\n")
    shelf.run(repo.root / "src")
    repo.commit(src__a_py="changed\n", c_md="changed\n")
    shelf.run(repo.root / "docs")
    assert statuses(shelf.refresh()) == {"src/a.py": "replaced"}
    assert [each.folder for each in shelf.known()] == ["docs", "src"]
    shelf.run(repo.root)
    assert [each.folder for each in shelf.known()] == [""]


def test_watching_a_repository_is_refreshing_it(shelf: Shelf, repo: Repo) -> None:
    repo.commit(a_py="a\n", b_py="b\n")
    assert shelf.run(repo.root, prune=True, changed=()).count("added") == 2
    repo.write("a.py", "changed\n")
    assert statuses(shelf.run(repo.root, prune=True, changed=(str(repo.root / "a.py"),))) == {
        "project/a.py": "replaced"
    }


# --- bad input ------------------------------------------------------------------------------------------------


def test_a_ref_that_is_not_there_names_near_ones(shelf: Shelf, repo: Repo) -> None:
    repo.commit(a_py="a\n")
    repo.branch("feature/login")
    for ref, near in (
        ("feature/logn", "Did you mean feature/login"),
        ("login", "feature/login"),
        ("x", "git branch"),
    ):
        with pytest.raises(e.RefNotFound, match=near):
            shelf.run(repo.root, ref=ref)
    for ref in ("main:a.py", "a..b", "", "\0", "\udce9"):
        with pytest.raises(e.RefNotFound):
            shelf.run(repo.root, ref=ref)


def test_a_bare_repository_needs_a_ref(shelf: Shelf, repo: Repo, tmp_path: Path) -> None:
    repo.commit(a_py="a\n")
    pygit2.clone_repository(str(repo.root), str(tmp_path / "bare.git"), bare=True)
    with pytest.raises(e.BadRequest, match=r"bare repository.*--ref"):
        shelf.run(tmp_path / "bare.git")
    assert statuses(shelf.run(tmp_path / "bare.git", ref="main")) == {"bare.git/a.py": "added"}
    assert set(shelf.texts(tmp_path / "bare.git")) == {"a.py"}


def test_without_a_commit_the_files_are_read(shelf: Shelf, repo: Repo) -> None:
    repo.write("a.py", "a\n")
    assert statuses(shelf.run(repo.root)) == {"project/a.py": "added"}
    with pytest.raises(e.RefNotFound):
        shelf.run(repo.root, ref="main")
    commit = repo.commit(b_py="b\n")
    assert shelf.refresh().count("added") == 1
    assert shelf.known()[0].commit == commit


def test_a_detached_head_is_a_commit(shelf: Shelf, repo: Repo) -> None:
    first = repo.commit(a_py="a\n")
    repo.commit(a_py="b\n")
    repo.git.set_head(pygit2.Oid(hex=first))
    repo.git.reset(pygit2.Oid(hex=first), ResetMode.HARD)
    assert shelf.run(repo.root).commits == {str(repo.root): first}


def test_a_damaged_repository_is_named_with_the_way_out(shelf: Shelf, repo: Repo) -> None:
    repo.commit(a_py="a\n")
    head = repo.git.head.peel(pygit2.Tree).id
    (repo.root / ".git" / "objects" / str(head)[:2] / str(head)[2:]).unlink()
    with pytest.raises(e.RepositoryUnreadable, match=r"project cannot be read.*git fsck"):
        shelf.run(repo.root, ref="main")
    (repo.root / ".git" / "HEAD").write_text("nonsense")
    with pytest.raises(e.RepositoryUnreadable, match=r"project cannot be read"):
        shelf.run(repo.root)


def test_a_blob_that_is_missing_costs_its_file(shelf: Shelf, repo: Repo) -> None:
    repo.commit(a_py="a\n", b_py="b\n")
    blob = repo.git.head.peel(pygit2.Tree)["a.py"].id
    (repo.root / ".git" / "objects" / str(blob)[:2] / str(blob)[2:]).unlink()
    report = shelf.run(repo.root, ref="main")
    assert statuses(report) == {"project/a.py": "skipped", "project/b.py": "added"}
    assert "partial clone" in reasons(report)["project/a.py"]


def test_a_repository_of_another_user_is_named_with_the_way_out(
    shelf: Shelf, repo: Repo, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(_: str) -> None:
        raise pygit2.GitError(f"repository path '{repo.root}/' is not owned by current user")

    monkeypatch.setattr(pygit2, "Repository", refused)
    with pytest.raises(e.RepositoryUnreadable, match=r"another user.*safe\.directory"):
        shelf.run(repo.root)


def test_what_is_no_repository_has_no_ref(shelf: Shelf, tmp_path: Path) -> None:
    (tmp_path / "plain").mkdir()
    with pytest.raises(e.BadRequest, match="plain is in no git repository"):
        shelf.run(tmp_path / "plain", ref="main")


def test_a_repository_that_has_become_a_folder(shelf: Shelf, repo: Repo) -> None:
    repo.commit(a_py="a\n")
    shelf.run(repo.root)
    shutil.rmtree(repo.root / ".git")
    with pytest.raises(e.RepositoryUnreadable, match=r"no git repository any more.*openbook ingest"):
        shelf.refresh()
    assert statuses(shelf.run(repo.root)) == {"project/a.py": "unchanged"}
    assert shelf.known() == ()
