"""Adam and AMSGrad as in Keras, for the weights of several members at once."""

from qnal.tf import tf

BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-7


class Adam:
    """Adam (Kingma & Ba 2015) or AMSGrad (Reddi et al. 2018), with Keras's use of epsilon.

    Args:
        weights: the weights, shape [members, weights]; each member has its own step count.
        amsgrad: use AMSGrad.
    """

    def __init__(self, weights: tf.Variable, amsgrad: bool) -> None:
        self.weights = weights
        self.steps = tf.Variable(tf.zeros([weights.shape[0]], tf.int64))
        self.moments = [tf.Variable(tf.zeros_like(weights)) for _ in range(3 if amsgrad else 2)]

    def reset(self) -> None:
        """Start anew: set moments and step counts to 0."""
        for variable in (self.steps, *self.moments):
            variable.assign(tf.zeros_like(variable))

    def apply(
        self, gradient: tf.Tensor, learning_rates: tf.Tensor, active: tf.Tensor | None = None
    ) -> None:
        """One step of each member, or of the ``active`` ones.

        Args:
            gradient: shape [members, weights].
            learning_rates: of this step, shape [members].
            active: which members take part, shape [members]; None: all.
        """
        self.steps.assign_add(
            tf.ones_like(self.steps) if active is None else tf.cast(active, tf.int64)
        )
        t = tf.cast(self.steps, tf.float32)[:, None]
        rate = learning_rates[:, None] * tf.sqrt(1 - BETA_2**t) / (1 - BETA_1**t)

        def moved(variable: tf.Variable, change: tf.Tensor) -> tf.Tensor:
            # Selected, not multiplied by 0, so that a NaN cannot reach inactive members.
            if active is not None:
                change = tf.where(active[:, None], change, 0.0)
            return variable.assign_add(change)

        first = moved(self.moments[0], (gradient - self.moments[0]) * (1 - BETA_1))
        second = moved(self.moments[1], (tf.square(gradient) - self.moments[1]) * (1 - BETA_2))
        if len(self.moments) == 3:
            largest = self.moments[2]
            second = moved(largest, tf.maximum(second - largest, 0.0))
        moved(self.weights, -rate * first / (tf.sqrt(second) + EPSILON))
