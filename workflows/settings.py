"""Settings of rocksalt: ``~/.rocksalt.yaml`` and ``ROCKSALT_*`` variables."""

from __future__ import annotations

import os
from pathlib import Path

import yaml
from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict
from pydantic_settings.sources import PydanticBaseSettingsSource

from rocksalt.screening.errors import RocksaltError


class Settings(BaseSettings):
    """Settings; variables go before the file, the file before defaults."""

    model_config = SettingsConfigDict(env_prefix="ROCKSALT_", extra="forbid")

    store: str | None = Field(None, description="default store: a path or mongodb://...")
    workers: int = Field(1, ge=1, description="worker processes of 'rocksalt run'")
    dft_directory: str = Field("dft", description="where DFT codes leave their files")
    espresso_command: str = Field(
        "pw.x", description="how Quantum ESPRESSO is started, MPI and all"
    )
    espresso_pseudo_dir: str | None = Field(
        None, description="folder of UPF files, one per element"
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Let variables override what `load_settings` read from the file."""
        return env_settings, init_settings


def load_settings() -> Settings:
    """Read the settings now (nothing is read at import).

    Raises
    ------
    RocksaltError
        When the file or a variable is wrong.
    """
    path = Path(os.environ.get("ROCKSALT_CONFIG_FILE", "~/.rocksalt.yaml")).expanduser()
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8")) if path.is_file() else {}
        if not isinstance(values or {}, dict):
            raise ValueError("it must be a mapping, like 'workers: 4'")  # noqa: TRY004  # explained below
        return Settings(**(values or {}))
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        reason = f"{key}: {first['msg'][0].lower()}{first['msg'][1:]}, not {first['input']!r}"
        if first["type"] == "extra_forbidden":
            reason = f"{key}: unknown key; known: {', '.join(Settings.model_fields)}"
        raise RocksaltError(f"settings ({path} and ROCKSALT_* variables): {reason}") from error
    except (yaml.YAMLError, TypeError, ValueError, OSError) as error:
        reason = " ".join(str(error).split())
        raise RocksaltError(f"settings ({path} and ROCKSALT_* variables): {reason}") from error
