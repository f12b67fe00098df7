"""What `feast apply` registers."""

from examples.underwriting.features.contracts import *  # noqa: F403
from examples.underwriting.features.customers import *  # noqa: F403
from examples.underwriting.features.entities import *  # noqa: F403
from examples.underwriting.features.payments import *  # noqa: F403
from examples.underwriting.features.scoring import *  # noqa: F403
from examples.underwriting.features.services import *  # noqa: F403
from examples.underwriting.features.streams import *  # noqa: F403
