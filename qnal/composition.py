"""Composing the configuration with Hydra, and Hydra's errors in the words of this package."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException
from yaml import YAMLError

from qnal.errors import ConfigError, QnalError

CONDITIONS = ("infer.where", "som.where", "train.where")  # keys that hold SQL
# In a checkout this is a symbolic link to the repository's conf/; a wheel contains the files.
CONF = Path(__file__).parent / "conf"


def composed(overrides: Sequence[str], config_dir: Path | None = None) -> DictConfig:
    """The configuration that the command would compose; Hydra's global state stays as it was.

    Args:
        overrides: as on the command line, such as ``experiment=demo`` or ``ensemble.n=4``.
        config_dir: a folder with experiments and choices of one's own.

    Raises:
        ConfigError: an override cannot be used.
    """
    from hydra import compose, initialize_config_dir

    given = [as_text(override) for override in overrides]
    if config_dir is not None:
        if not config_dir.is_dir():
            raise ConfigError(f"config_dir={config_dir}: there is no such folder.")
        given.append(f"hydra.searchpath=[{config_dir.absolute().as_uri()}]")
    try:
        with initialize_config_dir(str(CONF), version_base="1.3"):
            return compose("config", given)
    except Exception as error:
        if (refusal := refused_by_hydra(error)) is None:
            raise
        raise refusal from error


def as_text(override: str) -> str:
    """An override that sets a condition in SQL, quoted as Hydra's grammar needs it.

    Otherwise every condition would have to be quoted for the shell and for Hydra. One that begins
    with a quotation mark is left as it is, and so are all other overrides.
    """
    key, equals, value = override.partition("=")
    plain = value.strip()
    if key not in CONDITIONS or not equals or plain in ("", "null") or plain[0] in "\"'":
        return override
    escaped = re.sub(r'(\\*)"', r'\1\1\\"', plain)
    escaped += "\\" * (len(escaped) - len(escaped.rstrip("\\")))
    return f'{key}="{escaped}"'


def refused_by_hydra(error: Exception) -> QnalError | None:
    """What Hydra refuses, in one sentence that names what would be valid; None for a bug."""
    from qnal.config.validation import unknown_choice

    causes = list(_causes(error))
    if ours := next((e for e in causes if isinstance(e, QnalError)), None):
        return ours
    if isinstance(error, MissingConfigException) and error.missing_cfg_file and error.options:
        group, _, choice = error.missing_cfg_file.rpartition("/")
        return ConfigError(unknown_choice(group, choice, error.options))
    if isinstance(error, OSError) and error.filename is not None:
        return ConfigError(f"{error.filename}: {error.strerror}.")
    if isinstance(error, OverrideParseException):
        return ConfigError(_unreadable(error))
    if isinstance(error, YAMLError):
        return ConfigError(_not_yaml(error))
    for cause in causes:
        if isinstance(cause, ConfigAttributeError | ConfigKeyError):
            return ConfigError(_not_a_key(cause))
    if isinstance(error, HydraException | OmegaConfBaseException | ValueError):
        first = str(error).strip().partition("\n\n")[0]
        return ConfigError(" ".join(first.split()).rstrip(".") + ".")
    return None


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """An exception and those that led to it."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _not_a_key(error: ConfigAttributeError | ConfigKeyError) -> str:
    from qnal.config.plugin import unknown_key

    key, section = str(error.full_key), error.parent_node
    if section:
        return unknown_key(key, (str(name) for name in section if name != "hydra"))
    name = key.rpartition(".")[0]
    advice = "; add data=mock" if name.startswith("data.mock") else ""
    return f"{key} cannot be set, because {name} is null{advice}."


def _unreadable(error: OverrideParseException) -> str:
    if "=" not in error.override and not error.override.startswith("~"):
        return f"{error.override!r} is not a setting; write key=value, such as stage=train."
    reason = error.message.splitlines()[1]
    return (
        f"{error.override!r} cannot be parsed ({reason}); put values with special characters into "
        "double quotes within single quotes, such as 'lines.names=[LYA,\"CIV(1548)\"]'."
    )


def _not_yaml(error: YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    where = f"{mark.name}, line {mark.line + 1}" if mark else "a file of the configuration"
    return f"{where}: this is not valid YAML ({getattr(error, 'problem', None) or error})."


def _folder(path: object) -> str:
    if not isinstance(path, str) or not path.strip():
        raise ConfigError(f"work_dir={path} cannot be used; it takes the path of a folder.")
    return path


# Hydra makes the run folder before it calls the job, so conf/config.yaml checks work_dir by this.
OmegaConf.register_new_resolver("qnal.folder", _folder, replace=True)
