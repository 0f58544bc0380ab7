"""Adam and AMSGrad as Keras has them, over the weights of several members at once."""

from qnal.tf import tf

BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-7


class Adam:
    """Adam (Kingma & Ba 2015) or AMSGrad (Reddi et al. 2018), epsilon outside the correction.

    Args:
        weights: shape [members, weights]; each member has its own count of steps.
    """

    def __init__(self, weights: tf.Variable, learning_rate: float, amsgrad: bool) -> None:
        self.weights = weights
        self.learning_rate = learning_rate
        self.steps = tf.Variable(tf.zeros([weights.shape[0]], tf.int64))
        self.moments = [tf.Variable(tf.zeros_like(weights)) for _ in range(3 if amsgrad else 2)]

    def reset(self) -> None:
        """Forget all steps."""
        for variable in (self.steps, *self.moments):
            variable.assign(tf.zeros_like(variable))

    def apply(self, gradient: tf.Tensor, active: tf.Tensor | None = None) -> None:
        """One step of every member, or of those that are ``active``, shape [members]."""
        self.steps.assign_add(
            tf.ones_like(self.steps) if active is None else tf.cast(active, tf.int64)
        )
        t = tf.cast(self.steps, tf.float32)[:, None]
        rate = self.learning_rate * tf.sqrt(1 - BETA_2**t) / (1 - BETA_1**t)

        def moved(variable: tf.Variable, change: tf.Tensor) -> tf.Tensor:
            # Selected rather than multiplied by 0, so that a NaN stays where it is not wanted.
            if active is not None:
                change = tf.where(active[:, None], change, 0.0)
            return variable.assign_add(change)

        first = moved(self.moments[0], (gradient - self.moments[0]) * (1 - BETA_1))
        second = moved(self.moments[1], (tf.square(gradient) - self.moments[1]) * (1 - BETA_2))
        if len(self.moments) == 3:
            largest = self.moments[2]
            second = moved(largest, tf.maximum(second - largest, 0.0))
        moved(self.weights, -rate * first / (tf.sqrt(second) + EPSILON))
