"""`metabev train`: the paper's recipe on any records, one process or many.

A run is a function of its configuration, its records and the number of its processes: what is
drawn, dropout included, depends on seed, step and rank, never on when a process was started.
"""

from __future__ import annotations

import json
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from metabev_ros.config import ModelConfig, save_config, to_plain
from metabev_ros.files import replacing, write_text
from metabev_ros.lab.training.adamv import (
    OfficialSelection,
    PerTaskSelection,
    build_selection,
)
from metabev_ros.lab.training.average import copy_counts, move_average
from metabev_ros.lab.training.checkpoint import load_checkpoint, require_same_run
from metabev_ros.lab.training.config import Precision, TrainingConfig
from metabev_ros.lab.training.data import RecordSet
from metabev_ros.lab.training.device import find_device
from metabev_ros.lab.training.distributed import Processes
from metabev_ros.lab.training.monitoring import Monitor, comparison_picture
from metabev_ros.lab.training.provenance import (
    STATE,
    DataUsed,
    data_behind,
    require_same_data,
)
from metabev_ros.lab.training.recompute import enable_recompute
from metabev_ros.lab.training.sampling import training_loader
from metabev_ros.lab.training.soundness import require_finite, require_numbers
from metabev_ros.lab.training.step import TrainingStep, parameter_groups, to_device
from metabev_ros.lab.training.validation import Validation, hold_out
from metabev_ros.lab.training.warm_start import freeze, initialise, train_unfrozen
from metabev_ros.network.adamv import experts_used, use_experts
from metabev_ros.network.auxiliary import AuxiliaryHeads
from metabev_ros.network.deformable import Sampling
from metabev_ros.network.interaction import take_offset_statistics, watch_offsets
from metabev_ros.network.metabev import MetaBev, use_sampling

ALONE = Processes()
MOST_OUTSIDE = 0.3  # of the samples of task interaction; more and it collapses
Progress = Callable[[int, dict[str, float], float], None]


class Trainer:
    """State of one run in a folder: weights, averaged weights, optimiser, step.

    Args:
        processes: this one among those of the run; only the first writes.

    Raises:
        ConfigError: if the device is not there, or weights or checkpoint do not fit.
    """

    def __init__(
        self,
        folder: Path,
        model: ModelConfig,
        config: TrainingConfig,
        processes: Processes = ALONE,
    ) -> None:
        self.folder, self.model, self.config = Path(folder), model, config
        self.processes, self.device = processes, find_device(config.device, processes.local)
        torch.set_num_threads(config.threads)
        torch.manual_seed(config.seed)
        self.folder.mkdir(parents=True, exist_ok=True)
        self._checkpoint = self.folder / 'checkpoint.pt'
        self.network = MetaBev(model, config.execution).to(self.device)
        self.auxiliary = None
        if config.auxiliary_weight > 0:
            self.auxiliary = AuxiliaryHeads(model).to(self.device)
        if config.init is not None and not self._checkpoint.exists():
            initialise(self.network, config.init)
        freeze(self.network, config.frozen)
        self.average = {
            name: value.detach().clone() for name, value in self.network.state_dict().items()
        }
        self._module = self._prepared(TrainingStep(self.network, self.auxiliary, config))
        self.optimiser = torch.optim.AdamW(
            parameter_groups(self._step_module, config), lr=config.learning_rate
        )
        self.scaler = torch.amp.GradScaler(
            self.device.type, enabled=config.precision is Precision.FP16
        )
        self.step, self.seconds, self.skipped = 0, 0.0, 0
        self.data: tuple[DataUsed, ...] = ()
        self.data_before: tuple[DataUsed, ...] = ()
        if config.init is not None and not self._checkpoint.exists():
            self.data_before = data_behind([Path(file.path) for file in config.init.files])
        used = experts_used(self.network)
        self.selection = build_selection(
            config.expert_selection,
            config.steps,
            {task: used[task] for task in config.tasks} if used else {},
            model.decoder.experts,
        )
        if self._checkpoint.exists():
            self._load()

    def _prepared(self, step: TrainingStep) -> nn.Module:
        """The step as the trainer calls it: quick, recomputing, synchronised, distributed."""
        if self.device.type == 'cpu':
            use_sampling(self.network, Sampling.ROWS)
        if self.config.recompute:
            enable_recompute(self.network)
        if self.processes.world > 1 and self.device.type == 'cuda':
            step = cast(TrainingStep, nn.SyncBatchNorm.convert_sync_batchnorm(step))
            self.network, self.auxiliary = step.network, step.auxiliary
        self._step_module = step
        if self.processes.world == 1:
            return step
        # A modality that no sample has leaves its encoder without gradients.
        return DistributedDataParallel(
            step,
            device_ids=[self.device.index] if self.device.type == 'cuda' else None,
            find_unused_parameters=True,
        )

    def run(self, sets: Sequence[RecordSet], progress: Progress | None = None) -> None:
        """Train to the last step.

        Args:
            sets: the sources of records.
            progress: called with (step, terms of the loss, samples a second) by the first
                process.

        Raises:
            ConfigError: where the run began with other records.
            MetaBevError: where the loss is no number.
        """
        validation, self.data = None, require_same_data(DataUsed.of(sets, self.config), self.data)
        if self.selection is not None:
            sets, held_out = hold_out(sets, self.config.expert_selection.scenes)
            validation = Validation(held_out, self.model, self.config.execution)
        loader = training_loader(sets, self.model, self.config, self.step, self.processes)
        self._set_modes()
        monitor = (
            Monitor(self.folder, self.step, self.config.tensorboard)
            if self.processes.is_leader
            else None
        )
        shown, before = sets[0].paths[0], time.perf_counter()
        for batch in loader:
            terms = self._watched_update(batch)
            if validation is not None and self.selection is not None:
                terms |= self._select_experts(validation, self.selection)
            now = time.perf_counter()
            self.seconds += now - before
            rate, before = len(self.config.batch) / (now - before), now
            if monitor is not None:
                if progress is not None:
                    progress(self.step, terms, rate)
                monitor.scalars(self.step, self.seconds, {**terms, 'samples_per_s': rate})
                self._save_and_show(monitor, shown)
        if monitor is not None:
            monitor.close()
        self.processes.wait()

    def _select_experts(
        self, validation: Validation, selection: OfficialSelection | PerTaskSelection
    ) -> dict[str, float]:
        """At the steps of a check: validation losses and what k became, for the log."""
        config, share = self.config.expert_selection, self.step / self.config.steps
        if self.step % config.every or share < config.warmup:
            return {}
        losses = validation.losses(self._step_module, self.device, self.processes)
        self._set_modes()
        if share < config.stop:
            selection.check(self.step, losses)
        else:
            selection.freeze()
        use_experts(self.network, experts_used(self.network) | selection.used)
        copy_counts(self.average, self.network.state_dict())
        return {
            **{f'validation_{task}': loss for task, loss in losses.items()},
            **{f'experts_{task}': k for task, k in experts_used(self.network).items()},
        }

    def _set_modes(self) -> None:
        """Training mode where something learns; fixed norms stay as in evaluation."""
        train_unfrozen(self.network, self.config.frozen)
        self._step_module.training = True
        if self.auxiliary is not None:
            self.auxiliary.train()
        if self.config.fixed_norms:
            for module in self._step_module.modules():
                if isinstance(module, nn.modules.batchnorm._BatchNorm):
                    module.eval()

    def _watched_update(self, batch: list) -> dict[str, float]:
        """One step; with a checkpoint, also where task interaction samples."""
        if (self.step + 1) % self.config.checkpoint_every:
            return self._update(batch)
        watch_offsets(self.network)
        terms = self._update(batch)
        statistics = take_offset_statistics(self.network)
        if statistics.get('offsets_outside', 0.0) > MOST_OUTSIDE:
            warnings.warn(
                f'step {self.step}: {statistics["offsets_outside"]:.0%} of the samples '
                'of task interaction lie outside the map: lower '
                'training.interaction_offset_rate',
                stacklevel=2,
            )
        return terms | statistics

    def _update(self, batch: list) -> dict[str, float]:
        config = self.config
        # Dropout is a function of seed, step and rank: a resumed run repeats it.
        torch.manual_seed((config.seed * 1_000_003 + self.step) * 1009 + self.processes.rank)
        for group in self.optimiser.param_groups:
            # Checkpoints of runs that began before there were factors have none.
            group['lr'] = config.rate(self.step) * group.get('rate_factor', 1.0)
            group['betas'] = (config.beta1(self.step), group['betas'][1])
        terms = self._module(to_device(batch, self.device))
        loss = sum(terms.values())
        require_finite(terms, batch, self.step + 1)
        self.optimiser.zero_grad(set_to_none=True)
        self.scaler.scale(loss).backward()
        self.scaler.unscale_(self.optimiser)
        norm = nn.utils.clip_grad_norm_(
            [p for p in self._step_module.parameters() if p.requires_grad], config.clip_norm
        )
        skipped = not bool(torch.isfinite(norm))
        self.skipped += skipped
        if self.scaler.is_enabled():
            self.scaler.step(self.optimiser)  # leaves out steps that overflowed, and rescales
            self.scaler.update()
        elif not skipped:  # one bad batch must not destroy the run
            self.optimiser.step()
        self.step += 1
        if self.processes.is_leader:
            decay = min(config.ema_decay, self.step / (self.step + 20))
            move_average(self.average, self.network.state_dict(), decay)
        values = {name: float(value.detach()) for name, value in terms.items()}
        return {
            **values,
            'grad_norm': float(norm),
            'total': float(loss.detach()),
            'rate': config.rate(self.step - 1),
            **({'skipped': float(self.skipped)} if skipped else {}),
        }

    def _save_and_show(self, monitor: Monitor, record: Path) -> None:
        config, last = self.config, self.step == self.config.steps
        if self.step % config.checkpoint_every == 0 or last:
            self.save()
        if (
            config.tensorboard
            and config.picture_every
            and (last or self.step % config.picture_every == 0)
        ):
            monitor.picture(self.step, comparison_picture(self.average, self.model, record))

    def save(self) -> None:
        """Write the checkpoint and the averaged weights; each file is replaced atomically.

        Raises:
            MetaBevError: where a weight is no number; nothing is written then.
        """
        require_numbers(self.network.state_dict(), self.step)
        require_numbers(self.average, self.step)
        state = {
            'network': self.network.state_dict(),
            'average': self.average,
            'auxiliary': self.auxiliary.state_dict() if self.auxiliary else None,
            'optimiser': self.optimiser.state_dict(),
            'scaler': self.scaler.state_dict(),
            'selection': self.selection.state() if self.selection else None,
            'step': self.step,
            'seconds': self.seconds,
            'skipped': self.skipped,
            'data': [used.plain() for used in self.data],
            'data_before': [used.plain() for used in self.data_before],
            'seed': self.config.seed,
            'model_hash': self.model.hash,
        }
        with replacing(self._checkpoint) as path:
            torch.save(state, path)
        weights = {name: value.cpu().contiguous() for name, value in self.average.items()}
        with replacing(self.folder / 'weights.safetensors') as path:
            save_file(weights, path)
        with replacing(self.folder / 'config.yaml') as path:
            save_config(self.model, path)
        write_text(self.folder / STATE, json.dumps(self.description(), indent=1))

    def description(self) -> dict[str, Any]:
        """Content of `training.json`."""
        return {
            'step': self.step,
            'samples': self.step * len(self.config.batch),
            'seconds': round(self.seconds),
            'skipped': self.skipped,
            'processes': self.processes.world,
            'config': to_plain(self.config),
            'data': [used.plain() for used in self.data],
            'data_before': [used.plain() for used in self.data_before],
        }

    def _load(self) -> None:
        state = load_checkpoint(self._checkpoint, self.model.hash)
        require_same_run(self._checkpoint, state, self.config)
        if self.selection is not None:
            self.selection.restore(state['selection'])
        self.network.load_state_dict(state['network'])
        if self.auxiliary is not None:
            self.auxiliary.load_state_dict(state['auxiliary'])
        self.average = to_device(state['average'], self.device)
        self.optimiser.load_state_dict(state['optimiser'])
        self.scaler.load_state_dict(state.get('scaler', {}))
        self.step, self.seconds = int(state['step']), float(state['seconds'])
        self.skipped = int(state.get('skipped', 0))
        if 'data' in state:  # the file to start from may be gone by now
            where = str(self._checkpoint)
            self.data = tuple(DataUsed.read(p, where) for p in state['data'])
            self.data_before = tuple(DataUsed.read(p, where) for p in state['data_before'])
