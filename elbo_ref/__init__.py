from elbo_ref.adam import Adam, ClippedAdam
from elbo_ref.beta import Beta
from elbo_ref.counts import Counts
from elbo_ref.evidence import (log_evidence, log_evidence_gradient, log_evidence_hessian, posterior)
from elbo_ref.guides import Parameter
from elbo_ref.objectives.exact import (elbo, elbo_gradient, elbo_variance, empty_guide_objective, empty_guide_objective_gradient)
from elbo_ref.pathwise import pathwise_gradient
from elbo_ref.svi import maximize_elbo
