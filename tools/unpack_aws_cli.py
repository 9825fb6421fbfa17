"""Put AWS's command line, release 2, beside the interpreter that runs this, as `aws`.

AWS offers it as an installer from its own site, and to package registries only within a package for
the CDK: a Lambda layer in an npm archive in a wheel. It runs on Linux with x86_64.
"""

import io
import shutil
import stat
import sys
import tarfile
import zipfile
from importlib.metadata import files
from pathlib import Path
from typing import Final

PACKAGE: Final = "aws-cdk.asset-awscli-v2"
LAYER: Final = "package/lib/layer.zip"


def main() -> int:
    """Unpack it, and return the exit code."""
    (wrapped,) = (Path(str(one.locate())) for one in files(PACKAGE) or () if one.suffix == ".tgz")
    with tarfile.open(wrapped) as package:
        layer = package.extractfile(LAYER)
        if layer is None:
            raise FileNotFoundError(LAYER)
        content = io.BytesIO(layer.read())
    environment = Path(sys.prefix)
    folder = environment / "aws-cli"
    shutil.rmtree(folder, ignore_errors=True)
    with zipfile.ZipFile(content) as archive:
        for entry in archive.infolist():
            mode = entry.external_attr >> 16
            if not stat.S_ISLNK(mode):  # these name places where we do not put it
                path = Path(archive.extract(entry, folder))
                if not entry.is_dir():
                    path.chmod(stat.S_IMODE(mode) or 0o644)
    (program,) = folder.glob("awscli/v2/*/dist/aws")
    command = environment / "bin" / "aws"
    command.unlink(missing_ok=True)
    command.symlink_to(program)
    return 0


if __name__ == "__main__":
    sys.exit(main())
