from __future__ import annotations

import zipfile
from typing import TYPE_CHECKING

from bundles import FILES, SITE, Bundle, lay, loader_of, prepared
from layerkit.overlimit.nesting import nested
from layerkit.project import OverLimit

if TYPE_CHECKING:
    from pathlib import Path

    from layerkit.store import Store


def test_all_that_is_imported_lies_in_a_zip_that_a_handler_unpacks(tmp_path: Path, store: Store) -> None:
    alpha = prepared(tmp_path / "wheels", store, "alpha", FILES)
    made = nested(alpha, SITE, store)
    over_limit = OverLimit(mode="nested-zip")
    site = lay(tmp_path / "opt", [made, loader_of(store, over_limit)[1]])
    assert not (site / "alpha").exists()
    assert (site / "alpha-1.0.dist-info" / "METADATA").exists()
    assert not list(site.glob("*.pth"))
    (path,) = (site / "layerkit_frames").glob("alpha-*.requirements.zip")
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        assert set(archive.namelist()) == set(FILES)
        assert archive.read("alpha/core.so") == FILES["alpha/core.so"]
    (tmp_path / "tmp").mkdir()
    laid = Bundle(site=site, tmp=tmp_path / "tmp")
    assert laid.trees() == []
    code = "import unzip_requirements, alpha, os; print(os.access(alpha.HERE + '/bin/script', os.X_OK))"
    assert laid.says(code) == "alpha runs\nTrue"
    assert made.unpacked >= sum(map(len, FILES.values()))
    assert made.unzipped < alpha.unzipped
    assert nested(alpha, SITE, store) == made
