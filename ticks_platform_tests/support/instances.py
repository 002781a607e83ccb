"""Whether Dagster takes a dagster.yaml that is not the one of `dagster dev`."""

from __future__ import annotations

import shutil
from pathlib import Path

from dagster._config import process_config, resolve_to_config_type
from dagster._core.instance.config import dagster_instance_config
from dagster._core.instance.ref import InstanceRef
from dagster._serdes.config_class import ConfigurableClassData


def check_instance(file: Path, folder: Path) -> set[str]:
    """Check that the file is valid, that its classes are there, and that they take their configuration.

    Returns the modules of these classes. The environment has the variables that the file names; the folder is empty.
    """
    shutil.copy(file, folder / "dagster.yaml")
    dagster_instance_config(str(folder))
    reference = InstanceRef.from_dir(str(folder))
    made = [value for value in reference._asdict().values() if isinstance(value, ConfigurableClassData)]
    for data in made:
        module = __import__(data.module_name, fromlist=[data.class_name])
        result = process_config(
            resolve_to_config_type(getattr(module, data.class_name).config_type()), data.config_dict
        )
        assert result.success, result.errors
    return {data.module_name for data in made}
