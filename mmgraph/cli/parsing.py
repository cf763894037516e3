"""Lightning's command line, made to explain itself: configuration in, model, data and trainer out."""

from __future__ import annotations

import contextlib
import inspect
import sys
from argparse import ArgumentError
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml
from jsonargparse import Namespace, set_parsing_settings
from lightning.pytorch import LightningDataModule, LightningModule
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from omegaconf.errors import OmegaConfBaseException

from mmgraph import imports
from mmgraph.cli import training
from mmgraph.cli.checkpoints import LastCheckpoint, SafeCheckpointIO, read
from mmgraph.cli.diagnosis import Diagnosis, Source, command_line
from mmgraph.cli.progress import ProgressLine
from mmgraph.cli.records import Reseed, RunLogger, SaveResolvedConfig, TrainingRecord
from mmgraph.cli.rundir import RunDirectory, first_process
from mmgraph.cli.stops import StopOnNonFinite, StopOnSignal
from mmgraph.datasets import Dataset
from mmgraph.errors import RunError, UsageError

CPU_BUDGET = "mmgraph.models.CPUBudget"


class RunCLI(LightningCLI):
    """One training command: parses at construction, builds in `build`.

    Args:
        request: What was typed.
    """

    signals: StopOnSignal
    checkpoint: LastCheckpoint | None = None

    def __init__(self, request: training.Request) -> None:
        self.request = request
        imports.guard_jsonargparse()
        set_parsing_settings(omegaconf_absolute_to_relative_paths=True)
        super().__init__(
            LightningModule,
            LightningDataModule,
            save_config_callback=None,
            seed_everything_default=0,
            parser_kwargs={
                "prog": f"mmgraph {request.verb}",
                "usage": f"mmgraph {request.verb} -c RECIPE|FILE.yaml [flags]",
                "description": None,
                "parser_mode": "omegaconf+",
                "exit_on_error": False,
            },
            subclass_mode_model=True,
            subclass_mode_data=True,
            args=request.argv,
            run=False,
            auto_configure_optimizers=False,
            load_from_checkpoint_support=False,
        )

    # -- reading the configuration -------------------------------------------------------------------------

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Parse, turning every failure into a message that names the key, the place and what would fit."""
        if any(arg in ("-h", "--help") for arg in args):
            print(training.options_help(self.request.verb))
        imports.refused.clear()
        sources = self._sources()
        diagnosis = Diagnosis(parser, sources, sorted(vars(self.request.options)))
        diagnosis.check()
        try:
            self.config = parser.parse_args(args)
        except OmegaConfBaseException as error:
            raise UsageError(diagnosis.reference(error)) from error
        except (ArgumentError, ValueError, TypeError) as error:
            raise UsageError(diagnosis.explain(error)) from error
        for line in diagnosis.dropped(self.config):
            print(f"mmgraph: warning: {line}", file=sys.stderr)
        self._follow_data()
        self._follow_seed()
        self._follow_budget()

    def _follow_data(self) -> None:
        """Let another data set on the command line keep only those of the recipe's tasks that it has.

        What a recipe says of its own data set (`protocol: grouped`, a weight on a task) would else be asked of
        one that knows nothing of it. What the command line says itself stands.
        """
        *files, typed = (source.values.get("data") for source in self._sources())
        before = next((given["class_path"] for given in reversed(files) if given and "class_path" in given), None)
        now = (self.config.get("data") or {}).get("class_path")
        if before is None or now is None or typed is None:
            return
        found = imports.import_class(now)
        if imports.import_class(before) is found:
            return
        chosen = {**typed, **(typed.get("init_args") or {})} if isinstance(typed, dict) else {}
        arguments = self.config["data"]["init_args"]
        if arguments.get("tasks") and "tasks" not in chosen:
            known = getattr(found, "supported_tasks", ())
            kept = {task: weight for task, weight in arguments["tasks"].items() if task in known and weight > 0}
            arguments["tasks"] = kept or None
        if "protocol" in arguments and "protocol" not in chosen:
            arguments["protocol"] = inspect.signature(found).parameters["protocol"].default

    def _sources(self) -> list[Source]:
        sources = []
        for path in self.request.configs:
            try:
                values = yaml.safe_load(path.read_text(encoding="utf-8"))
            except (yaml.YAMLError, UnicodeDecodeError) as error:
                raise UsageError(f"{path} is no YAML: {' '.join(str(error).split())}") from error
            except OSError as error:
                raise UsageError(f"{path} cannot be read: {error.strerror}.") from error
            if not isinstance(values, dict):
                raise UsageError(f"{path} holds no configuration: expected keys such as model, data and trainer.")
            sources.append(Source(str(path), values))
        sources.append(Source("the command line", command_line(self.request.argv)))
        return sources

    def _follow_seed(self) -> None:
        """Let `--seed` reach everything that has a seed."""
        seed = self.request.options.seed
        if seed is None:
            return
        if seed < 0:
            raise UsageError(f"--seed must be 0 or more, not {seed}.")
        self.config["seed_everything"] = seed
        for part in ("data", "model"):
            arguments = (self.config.get(part) or {}).get("init_args")
            if arguments is not None and "seed" in arguments:
                arguments["seed"] = seed

    def _follow_budget(self) -> None:
        """Let `--budget` replace every limit on training that the configuration has."""
        budget = getattr(self.request.options, "budget", None)
        if budget is None:
            return
        for limit in ("max_steps", "max_epochs", "max_time"):
            if any(arg.partition("=")[0] == f"--trainer.{limit}" for arg in self.request.argv):
                raise UsageError(f"--budget and --trainer.{limit} both say how long to train; give one of the two.")
        trainer = self.config["trainer"]
        trainer["max_epochs"], trainer["max_time"] = -1, None
        trainer["max_steps"] = -1 if budget.steps is None else budget.steps
        callbacks = [part for part in _as_list(trainer.get("callbacks")) if part.get("class_path") != CPU_BUDGET]
        if budget.cpu_seconds is not None:
            arguments = Namespace(seconds=budget.cpu_seconds)
            callbacks.append(Namespace(class_path=CPU_BUDGET, init_args=arguments))
        trainer["callbacks"] = callbacks or None

    def instantiate_classes(self) -> None:
        """Wait: `build` does it, when the run directory is known to be free."""

    # -- the run -------------------------------------------------------------------------------------------

    @property
    def seed(self) -> int:
        """The run's seed."""
        return int(self.config.get("seed_everything") or 0)

    @property
    def directory(self) -> RunDirectory:
        """The run directory."""
        return training.directory_of(self.request, self.seed)

    def start_from(self) -> Path | None:
        """Return the checkpoint to load, or None; claims the run directory for a fit.

        Raises:
            UsageError: If the directory is taken, or there is nothing to load.
        """
        options = self.request.options
        directory = self.directory
        given: Path | None = options.ckpt_path
        if self.request.verb == "fit":
            if first_process() and not self.dry:
                directory.claim(resume=options.resume, overwrite=options.overwrite)
            if given is None and options.resume:
                if directory.checkpoint.is_file():
                    given = directory.checkpoint
                elif first_process():
                    print(
                        f"mmgraph: {directory.path} has no checkpoint yet: starting at step 0.",
                        file=sys.stderr,
                    )
        elif given is None:
            given = directory.checkpoint
            if not given.is_file():
                raise UsageError(
                    f"there is no checkpoint {given}. Train first (mmgraph fit ...), or name a run by --run "
                    "DIR or a checkpoint by --ckpt_path FILE."
                )
        if given is not None:
            read(given)  # say what is wrong with it before anything is built
        return given

    def build(self) -> None:
        """Create data, model and trainer.

        Raises:
            UsageError: If a part refuses its options.
        """
        with _as_usage("the configuration"):
            self.config_init = self.parser.instantiate_classes(self.config)
            self.datamodule = self._get(self.config_init, "data")
            self.model = self._get(self.config_init, "model")
            self.trainer = self.instantiate_trainer()

    def instantiate_trainer(self, **kwargs: Any) -> Any:
        """Create the trainer with what every run has: checkpoint, log, progress, guards."""
        config = dict(self._get(self.config_init, "trainer", default={}))
        fitting = self.request.verb == "fit"
        bare = bool(config.get("barebones"))  # Lightning then refuses all that is set here
        own: list[Any] = self._training_callbacks() if fitting else []
        if not bare:
            config["plugins"] = [*_as_list(config.get("plugins")), SafeCheckpointIO()]
            config["enable_model_summary"] = bool(config.get("enable_model_summary"))
            if fitting and config.get("enable_progress_bar") is not False:
                own.append(ProgressLine())
            else:
                config["enable_progress_bar"] = False
            if config.get("logger") in (None, True):
                config["logger"] = RunLogger(self.directory) if fitting and not self.dry else False
        if fitting and not (bare or self.dry) and config.get("enable_checkpointing") is not False:
            self.checkpoint = LastCheckpoint(self.directory.checkpoint, self.request.options.checkpoint_seconds)
            own.append(self.checkpoint)
        elif not bare:
            config["enable_checkpointing"] = False
        if isinstance(self.datamodule, Dataset):
            config["use_distributed_sampler"] = False  # its stream divides itself among the processes
        config["default_root_dir"] = config.get("default_root_dir") or str(self.directory.path)
        config["callbacks"] = _as_list(config.get("callbacks")) + own
        return self.trainer_class(**{**config, **kwargs})

    def _training_callbacks(self) -> list[Any]:
        about = {"recipe": self.recipe, "command": self.request.command}
        self.signals = StopOnSignal()
        guards = [Reseed(self.seed), StopOnNonFinite(), self.signals]
        if self.dry:
            return guards
        return [
            *guards,
            SaveResolvedConfig(self.parser, self.config, directory=self.directory, **about),
            TrainingRecord(self.directory, seed=self.seed, **about),
        ]

    @property
    def dry(self) -> bool:
        """Whether this only tries the code (`--trainer.fast_dev_run`) and is to leave nothing behind."""
        return bool(self.config.trainer.get("fast_dev_run"))

    @property
    def recipe(self) -> str:
        """Name of the recipe, as reports show it."""
        return training.recipe_of(self.request)

    def guarded(self, method: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call a trainer's method; Lightning's refusals become usage errors."""
        try:
            return method(*args, **kwargs)
        except MisconfigurationException as error:
            raise UsageError(_flat(error)) from error
        except SystemExit as error:
            if isinstance(error.__context__, KeyboardInterrupt):  # Lightning turns Ctrl-C into exit status 1
                raise error.__context__ from None
            raise


@contextlib.contextmanager
def _as_usage(what: str) -> Iterator[None]:
    """Turn the refusals of constructors into usage errors."""
    try:
        yield
    except (UsageError, RunError):
        raise
    except (MisconfigurationException, ValueError, TypeError, ArgumentError) as error:
        own = _own_words(error)
        if isinstance(own, RunError):  # a damaged file of data is no wrong configuration
            raise own from error
        raise UsageError(f"{what} is refused: {_flat(own)}") from error


def _own_words(error: BaseException) -> BaseException:
    """Return the refusal of one of our parts that the parser wrapped in a page about types, or the error itself."""
    inner: BaseException | None = error
    while inner is not None and not isinstance(inner, (UsageError, RunError)):
        inner = inner.__cause__
    return inner or error


def _flat(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _as_list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (list, tuple)) else [value] if value is not None else []
