"""What a model is made of, as flags and a saved run name it."""

import dataclasses

import tensorflow as tf

from mocotf.errors import UserError
from mocotf.moco.bank import Bank
from mocotf.moco.end_to_end import EndToEnd
from mocotf.moco.memory_bank import MemoryBank
from mocotf.moco.model import MoCo
from mocotf.moco.npid import NPID
from mocotf.moco.probe import Probe
from mocotf.nn.encoder import build_encoder
from mocotf.optim.loss_scale import LossScaledSGD
from mocotf.optim.sgd import SGD

MECHANISMS = {"moco": MoCo, "end_to_end": EndToEnd, "memory_bank": MemoryBank, "npid": NPID}


@dataclasses.dataclass(frozen=True)
class Config:
    """The flags of `python -m mocotf.train` that decide the model; meanings are in its help."""

    arch: str
    width: float
    stem: str
    mlp: bool
    moco_dim: int
    moco_k: int
    moco_m: float
    moco_t: float
    bn_splits: int
    shuffle_bn: str
    symmetric: bool
    momentum: float
    weight_decay: float
    seed: int
    grad_accum_steps: int = 1
    remat: bool = False
    mechanism: str = "moco"
    bank_m: float = 0.5
    bank_dtype: str = "float32"
    shard_bank: bool = False
    npid_softmax: str = "nce"
    proximal: float = 30.0

    @classmethod
    def from_flags(cls, values):
        """Returns the config of a name → value mapping; texts, as in flags.cfg, are converted."""

        def convert(field):
            value = values[field.name]
            if field.type is bool and isinstance(value, str):
                return value == "true"
            return field.type(value)

        # A run may have been saved before a field with a default was there.
        known = [field for field in dataclasses.fields(cls) if field.name in values]
        return cls(**{field.name: convert(field) for field in known})

    def build_encoder(self, name=None, *, remat=False):
        """Returns a new encoder."""
        return build_encoder(
            self.arch,
            dim=self.moco_dim,
            mlp=self.mlp,
            width=self.width,
            stem=self.stem,
            bn_splits=self.bn_splits,
            remat=remat,
            name=name,
        )

    def build_model(
        self,
        schedule,
        augment=None,
        jit_compile=False,
        *,
        probe_classes=0,
        batch_size=None,
        images=None,
        **compile_options,
    ):
        """Returns a compiled model whose optimizer is built; call it in the strategy's scope.

        Keras's dtype policy decides its precision; under float16 the optimizer scales the loss.

        Args:
            schedule: step → learning rate.
            augment: see `Mechanism`.
            jit_compile: XLA compiles the step; on one replica.
            probe_classes: of an online `Probe`; 0 for none.
            batch_size: over all replicas, for the mechanism end_to_end.
            images: of the data set, for mechanisms with a bank.
            compile_options: more of `keras.Model.compile`.
        """
        query_encoder = self.build_encoder("query_encoder", remat=self.remat)
        width = query_encoder.backbone.output_shape[-1]
        model = self._mechanism(
            query_encoder,
            batch_size,
            images,
            T=self.moco_t,
            seed=self.seed,
            augment=augment,
            probe=Probe(width, probe_classes) if probe_classes else None,
        )
        rule = LossScaledSGD if model.compute_dtype == "float16" else SGD
        sgd = rule(schedule, momentum=self.momentum, weight_decay=self.weight_decay)
        # Keras would wrap it in a loss scaling of its own.
        compile_options |= {"jit_compile": jit_compile, "auto_scale_loss": False}
        model.compile(optimizer=sgd, **compile_options)
        model.optimizer.build(model.learned)
        return model

    def _mechanism(self, query_encoder, batch_size, images, **common):
        if self.mechanism in ("memory_bank", "npid"):
            common |= {"bank": self._bank(images), "K": self.moco_k}
            if self.mechanism == "memory_bank":
                return MemoryBank(query_encoder, **common)
            if self.npid_softmax == "full":
                common["K"] = None
            return NPID(query_encoder, proximal=self.proximal, **common)
        common |= {"symmetric": self.symmetric, "shuffle": self.shuffle_bn}
        if self.mechanism == "end_to_end":
            # Its keys have a backward pass too.
            key_encoder = self.build_encoder("key_encoder", remat=self.remat)
            return EndToEnd(query_encoder, key_encoder, N=batch_size, **common)
        return MoCo(
            query_encoder,
            self.build_encoder("key_encoder"),
            K=self.moco_k,
            m=self.moco_m,
            grad_accum_steps=self.grad_accum_steps,
            **common,
        )

    def _bank(self, images):
        replicas = tf.distribute.get_strategy().num_replicas_in_sync
        try:
            return Bank(
                images,
                self.moco_dim,
                m=self.bank_m,
                seed=self.seed,
                dtype=tf.as_dtype(self.bank_dtype),
                replicas=replicas if self.shard_bank else 1,
            )
        except tf.errors.ResourceExhaustedError as error:
            raise UserError(
                f"a bank of {images} x {self.moco_dim} numbers ({self.bank_dtype}) does not fit the "
                "device's memory; try --bank_dtype=bfloat16, --shard_bank or a smaller --moco_dim"
            ) from error
