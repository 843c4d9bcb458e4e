"""`hoi-d2 download`: published weights, with a record of what was downloaded."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from tabulate import tabulate

from hoi_d2.model_zoo.published import PUBLISHED, HubModel, PageFile, Published
from hoi_d2.utils.arguments import CommandParser
from hoi_d2.utils.user_errors import UserError

DESCRIPTION = """\
Downloads weights that others have published. Without a NAME it lists them.

From the Hugging Face hub they go to its cache ($HF_HOME). The revision and the SHA-256 of each file
are recorded, and every later use is checked against this record. Files on Google Drive are
downloaded by hand: the command prints the address and the file name to use; run it again afterwards
to check them.
"""
EPILOG = """\
examples:
  hoi-d2 download
  hoi-d2 download zeroshot
  hoi-d2 download upt-r50 detr-r50
  hoi-d2 download PekingU/rtdetr_v2_r50vd@main     any model of the hub, at a branch, tag or commit
  HF_ENDPOINT=https://hub.example.org hoi-d2 download detr-r50     another hub

Exit code: 0 = all files are on this machine, 1 = some have to be downloaded by hand, 2 = error.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Downloads, or prints the table; returns the exit code."""
    parser = CommandParser(description=DESCRIPTION, epilog=EPILOG)
    parser.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help="a name of the table, or organisation/name of the hub",
    )
    parser.add_argument(
        "--update", action="store_true", help="take the hub's newest revision and record it"
    )
    parser.add_argument(
        "--force", action="store_true", help="download files again that are on this machine"
    )
    args = parser.parse_args(argv)
    if not args.names:
        print(table())
        return 0
    models, pages = _sorted_out(args.names)
    by_hand = [_by_hand(name, page) for name, page in pages.items()]
    _from_hub(models, update=args.update, force=args.force)
    return 0 if all(by_hand) else 1


def table() -> str:
    """Names, sizes, licences and sources, and which are on this machine."""
    rows = [
        [name, published.text, _size(published), published.licence, _source(published), here]
        for name, published in PUBLISHED.items()
        for here in ["yes" if _is_here(published) else "no"]
    ]
    headers = ["name", "what", "MB (about)", "licence", "from", "here"]
    return tabulate(rows, headers=headers, maxcolwidths=[None, 32, None, 20, 40, None])


def _size(published: Published) -> str:
    return str(published.megabytes) if published.megabytes else "unknown"


def _source(published: Published) -> str:
    if published.page is not None:
        return f"Google Drive, by hand: {published.page.name}"
    return ", ".join(dict.fromkeys(map(str, published.hub)))


def _is_here(published: Published) -> bool:
    from hoi_d2.checkpoint.hub_cache import is_here
    from hoi_d2.checkpoint.page_files import page_path

    if published.page is not None:
        return page_path(published.page).is_file()
    return all(is_here(model) for model in published.hub)


def _sorted_out(names: Sequence[str]) -> tuple[list[HubModel], dict[str, PageFile]]:
    """The models of the hub, and the files that are downloaded by hand.

    Raises:
        UserError: a name is unknown.
    """
    models: list[HubModel] = []
    pages: dict[str, PageFile] = {}
    for name in names:
        published = PUBLISHED.get(name)
        if published is None:
            models.append(_of_hub(name))
        elif published.page is not None:
            pages[name] = published.page
        else:
            models += published.hub
    return list(dict.fromkeys(models)), pages


def _of_hub(name: str) -> HubModel:
    from hoi_d2.checkpoint.hub import is_hub_id

    repository, _, revision = name.partition("@")
    if not is_hub_id(repository):
        near = difflib.get_close_matches(name, PUBLISHED, n=1)
        raise UserError(
            f"no published weights are known as {name!r}."
            f"{f' Did you mean {near[0]!r}?' if near else ''} Expected one of "
            f"{', '.join(PUBLISHED)}; or an id of the Hugging Face hub, owner/name[@revision]"
        )
    return HubModel(repository, revision, "all")


def _from_hub(models: Sequence[HubModel], *, update: bool, force: bool) -> None:
    from hoi_d2.checkpoint.hub_cache import local_folder
    from hoi_d2.checkpoint.hub_download import download

    here = {} if update or force else {model: local_folder(model) for model in models}
    absent = [model for model in models if not here.get(model)]
    folders = dict(zip(absent, download(absent, update=update, force=force)))
    for model in models:
        folder = folders.get(model) or here[model]
        state = "downloaded, its hashes are checked" if model in folders else "here, unchanged"
        print(f"{model}: {state}: {folder}")


def _by_hand(name: str, page: PageFile) -> bool:
    """Checks and records a file, or prints where it is; returns whether it is here."""
    from hoi_d2.checkpoint.new_page_file import check_new_file
    from hoi_d2.checkpoint.page_files import page_path

    path = page_path(page)
    if path.is_file():
        sha256 = check_new_file(page)
        print(f"{name}: {path}: a {page.layout} file, SHA-256 {sha256}, recorded")
        return True
    path.parent.mkdir(parents=True, exist_ok=True)
    licence = PUBLISHED[name].licence
    print(
        f"{name}: {PUBLISHED[name].text} (licence: {licence}) is on Google Drive, which programs "
        f"may not read.\n  1. open     {page.page}\n  2. save as  {path}\n"
        f"  3. run      hoi-d2 download {name}"
    )
    return False
