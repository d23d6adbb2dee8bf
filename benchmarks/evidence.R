# The R side of evidence.py, which starts it:
#
#     Rscript benchmarks/evidence.R counts.tsv
#
# counts.tsv has the columns name, k, n, w. Of each data set and package that is installed one line
# is written, separated by tabs: package, name, milliseconds, a, b, log likelihood, a flag, words.
# The flag is 1 where the package says that it succeeded and warns of nothing, 0 where it does not
# and NA where it stops with an error; the words are what it prints. Lines of their own name each
# package and its version, or that it is missing.

repeats <- 5
patience <- 10

quietly <- function(package) {
  suppressWarnings(suppressMessages(requireNamespace(package, quietly = TRUE)))
}

# Every fit is given a row for each latent, but for bbmle, whose log density is written out and can
# be weighted; it returns the concentrations and what the package says. Concentrations are formed
# from the linear predictors, so that a probability or correlation that rounds to 1 loses nothing.
rows <- function(d) d[rep(seq_len(nrow(d)), d$w), ]

fits <- list(
  "VGAM betabinomial" = list(package = "VGAM", fit = function(d) {
    r <- VGAM::vglm(cbind(k, n - k) ~ 1, VGAM::betabinomial, data = rows(d))
    eta <- as.numeric(VGAM::predict(r)[1, ])
    list(a = plogis(eta[1]) * exp(-eta[2]), b = plogis(-eta[1]) * exp(-eta[2]),
         height = VGAM::logLik(r), good = TRUE,
         words = sprintf("mu %.6g, rho %.6g", plogis(eta[1]), plogis(eta[2])))
  }),
  "VGAM betabinomialff" = list(package = "VGAM", fit = function(d) {
    r <- VGAM::vglm(cbind(k, n - k) ~ 1, VGAM::betabinomialff, data = rows(d))
    eta <- as.numeric(VGAM::predict(r)[1, ])
    list(a = exp(eta[1]), b = exp(eta[2]), height = VGAM::logLik(r), good = TRUE, words = "")
  }),
  "bbmle mle2" = list(package = "bbmle", fit = function(d) {
    r <- bbmle::mle2(function(la, lb) -sum(d$w * density(d$k, d$n, exp(la), exp(lb))),
                     start = list(la = 0, lb = 0))
    at <- as.numeric(bbmle::coef(r))
    list(a = exp(at[1]), b = exp(at[2]), height = as.numeric(bbmle::logLik(r)),
         good = r@details$convergence == 0,
         words = sprintf("convergence %d", r@details$convergence))
  }),
  "glmmTMB betabinomial" = list(package = "glmmTMB", fit = function(d) {
    r <- glmmTMB::glmmTMB(cbind(k, n - k) ~ 1, family = glmmTMB::betabinomial(), data = rows(d))
    at <- as.numeric(r$fit$par)
    list(a = plogis(at[1]) * exp(at[2]), b = plogis(-at[1]) * exp(at[2]),
         height = as.numeric(stats::logLik(r)),
         good = r$fit$convergence == 0 && isTRUE(r$sdr$pdHess),
         words = paste0(r$fit$message, if (is.na(stats::logLik(r)))
           sprintf(", log lik NA, minus its objective %.9g", -r$fit$objective)))
  })
)

with_emdbook <- quietly("emdbook")
density <- if (with_emdbook) {
  function(k, n, a, b) emdbook::dbetabinom(k, size = n, shape1 = a, shape2 = b, log = TRUE)
} else {
  function(k, n, a, b) lchoose(n, k) + lbeta(k + a, n - k + b) - lbeta(a, b)
}

one <- function(fit, d) {
  said <- character()
  result <- withCallingHandlers(
    tryCatch({
      setTimeLimit(elapsed = patience, transient = TRUE)
      fit(d)
    }, error = function(e) list(a = NA, b = NA, height = NA, good = NA,
                                words = paste("error:", sub(
                                  "reached elapsed time limit.*",
                                  paste("not finished within", patience, "s"),
                                  conditionMessage(e)))),
    finally = setTimeLimit()),
    warning = function(x) {
      said <<- c(said, conditionMessage(x))
      invokeRestart("muffleWarning")
    })
  if (length(said)) {
    result$good <- if (is.na(result$good)) NA else FALSE
    result$words <- paste(c(result$words, paste("warning:", unique(said))), collapse = "; ")
  }
  result
}

line <- function(...) {
  cat(paste(c(...), collapse = "\t"), "\n", sep = "")
  flush(stdout())
}
number <- function(x) sprintf("%.17g", as.numeric(x))

tables <- read.delim(commandArgs(trailingOnly = TRUE)[1],
                     colClasses = c("character", rep("numeric", 3)))
line("version", sub(" *\\(.*", "", R.version.string))
for (package in c("VGAM", "bbmle", "emdbook", "glmmTMB")) {
  line("version", if (quietly(package)) paste(package, packageVersion(package))
       else paste(package, "is not installed"))
}
for (peer in names(fits)) {
  if (!quietly(fits[[peer]]$package)) next
  # Loaded, looked up and compiled once before anything is timed.
  one(fits[[peer]]$fit, data.frame(k = c(1, 3, 9, 4), n = 10, w = 1))
  for (name in unique(tables$name)) {
    d <- tables[tables$name == name, ]
    times <- numeric()
    for (i in seq_len(repeats)) {
      start <- as.numeric(Sys.time())
      result <- one(fits[[peer]]$fit, d)
      times <- c(times, 1000 * (as.numeric(Sys.time()) - start))
      if (sum(times) > 1000) break
    }
    line("answer", peer, name, number(median(times)), number(result$a), number(result$b),
         number(result$height), as.integer(result$good), gsub("[\t\n ]+", " ", result$words))
  }
}
